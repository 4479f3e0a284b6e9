"""Observation reports: readings, and one reason for each observation. The messages are our own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edges.__main__ import app
from edges.config.site import Site
from edges.hl7.acks import Outcome
from edges.hl7.er7 import InvalidMessage, parse_message
from edges.hl7.oru import Report, read_report
from edges.observations.episodic import History
from edges.observations.observed import Reason
from vitals.codec import ANY_TIME, decode, encode
from vitals.signs import SIGN_KEYS

RECEIVED = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
SITE_CONTENT: dict[str, Any] = {
    "zone": "Europe/Berlin",
    "patients": {"authority": ["MR", ""]},
    "place": [
        {"unit": "ICU", "bed": "1", "ward": "icu-1", "device": "bed-1"},
        {"unit": "ICU", "bed": "2", "ward": "icu-1", "device": "bed-2"},
        {"location": "^^&7", "ward": "icu-1", "device": "bed-7"},
    ],
    "source": [
        {"name": "nc3a", "application": "NC3A", "codes": ["comen_nc3a"], "no_value": [-5]},
        {"name": "slow clock", "application": "SLOW", "clock": "receipt"},
        {"name": "comen", "application": "NC5", "codes": ["comen"]},
        {"name": "lines", "application": "ART", "codes": ["mdc_arterial"]},
        {"name": "no times", "application": "SPOT", "episodic_without_time": "change"},
        {"name": "minus", "application": "AQ", "codes": ["northern"]},
    ],
}
SITE = Site.model_validate(SITE_CONTENT)

HR = "147842^MDC_ECG_HEART_RATE^MDC"
PULSE = "149530^MDC_PULS_OXIM_PULS_RATE^MDC"
SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC"
TEMP = "150344^MDC_TEMP^MDC"
SYS, DIA = "150021^MDC_PRESS_BLD_NONINV_SYS^MDC", "150022^MDC_PRESS_BLD_NONINV_DIA^MDC"
BPM, PERCENT = "264864^MDC_DIM_BEAT_PER_MIN^MDC", "262688^MDC_DIM_PERCENT^MDC"
MMHG, DEGC = "266016^MDC_DIM_MMHG^MDC", "268192^MDC_DIM_DEGC^MDC"
PLACE = "PV1||I|ICU^^1"
OBR = "OBR|1||||||20261129100000+0100"


def obx(
    code: str,
    value: str,
    unit: str,
    *,
    channel: str = "",
    flags: str = "",
    status: str = "F",
    time: str = "",
    kind: str = "NM",
) -> str:
    return f"OBX|1|{kind}|{code}|{channel}|{value}|{unit}||{flags}|||{status}|||{time}"


def message(*lines: str, application: str = "GW", kind: str = "ORU^R01^ORU_R01", processing: str = "P") -> bytes:
    header = f"MSH|^~\\&|{application}|W|||20261129100100+0100||{kind}|M-1|{processing}|2.6"
    return "".join(f"{line}\r" for line in (header, *lines)).encode()


def read(*lines: str, **header: str) -> Report:
    return read_report(parse_message(message("PID|||77^^^H^MR", PLACE, OBR, *lines, **header)), SITE, RECEIVED)


def signs(report: Report) -> list[Mapping[str, float]]:
    values = [{key: item.reading.value(key) for key in SIGN_KEYS} for item in report.readings if item.device]
    return [{key: value for key, value in found.items() if value is not None} for found in values]


def reasons(report: Report) -> list[Reason]:
    return [verdict.reason for verdict in report.verdicts]


def test_a_report_becomes_a_reading_of_its_bed_and_patient() -> None:
    report = read(obx(HR, "71", BPM), obx(SPO2, "97", PERCENT), obx(SYS, "120", MMHG), obx(DIA, "80", MMHG))
    [item] = report.readings
    assert (item.ward, item.device, item.reading.patient_id) == ("icu-1", "bed-1", "77")
    assert item.reading.time == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    assert signs(report) == [{"heart_rate": 71, "spo2": 97, "systolic_bp": 120, "diastolic_bp": 80}]
    assert report.outcome is Outcome.ACCEPT
    assert report.counts == {"used": 4}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (obx(SPO2, "35", MMHG), Reason.UNKNOWN_UNIT),
        (obx(SPO2, "97", ""), Reason.UNKNOWN_UNIT),
        (obx(SPO2, "97", "%^percent^UCUM^kPa"), Reason.UNKNOWN_UNIT),
        (obx(HR, "71", "264928^MDC_DIM_RESP_PER_MIN^MDC"), Reason.UNKNOWN_UNIT),
        (obx("150456^MDC_AWAY_CO2_ET^MDC", "35", PERCENT), Reason.CONTRADICTION),
        (obx("999^Potassium^L", "5", "mmol/L"), Reason.UNMAPPED),
        (obx(SPO2, "", PERCENT), Reason.NO_VALUE),
        (obx(SPO2, '""', PERCENT), Reason.NO_VALUE),
        (obx(SPO2, "?", PERCENT), Reason.UNREADABLE),
        (obx(SPO2, "97~98", PERCENT), Reason.UNREADABLE),
        (obx(SPO2, "97^98", PERCENT), Reason.UNREADABLE),
        (obx(SPO2, "97&98", PERCENT), Reason.UNREADABLE),
        (obx(f"{SPO2}~{PULSE}", "97", PERCENT), Reason.UNMAPPED),
        (obx(SPO2, "97", f"{PERCENT}~{BPM}"), Reason.UNKNOWN_UNIT),
        (obx(SPO2, "97", PERCENT, status="F~X"), Reason.NO_VALUE),
        (obx(TEMP, "36,5", DEGC), Reason.UNREADABLE),
        (obx(SPO2, "97", PERCENT, kind="SN"), Reason.UNREADABLE),
        (obx(SPO2, "97 %", PERCENT, kind=""), Reason.UNREADABLE),
        (obx(SPO2, "0.97", PERCENT), Reason.IMPLAUSIBLE),
        (obx(SPO2, "8388607", PERCENT), Reason.NO_VALUE),
        (obx(TEMP, "384.5", DEGC), Reason.IMPLAUSIBLE),
        (obx(HR, "-100", BPM), Reason.IMPLAUSIBLE),
        (obx("131329^MDC_ECG_ELEC_POTL_I^MDC", "0^1^2", "", kind="NA"), Reason.WAVEFORM),
        (obx("69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC", "", "", kind="", status="X"), Reason.HEADER),
        (obx(SPO2, "97", PERCENT, time="20261129"), Reason.NO_TIME),
        (obx(SPO2, "97", PERCENT, time="20261130100000"), Reason.NO_TIME),
    ],
)
def test_an_observation_without_a_value_that_is_certain_has_a_reason_and_no_value(line: str, reason: Reason) -> None:
    report = read(line, obx(HR, "71", BPM))
    assert reasons(report) == [reason, Reason.USED]
    assert signs(report) == [{"heart_rate": 71}]


@pytest.mark.parametrize("status", ["X", "D", "W", "I", "N", "S", "U", "x"])
def test_only_final_preliminary_raw_and_corrected_values_count(status: str) -> None:
    assert reasons(read(obx(SPO2, "97", PERCENT, status=status))) == [Reason.NO_VALUE]


@pytest.mark.parametrize("flag", ["INV", "NAV", "CAL", "TEST", "DEMO", "BUSY", "L~INV", "inv", "H~CAL^x^y"])
def test_a_value_that_is_flagged_as_no_measurement_does_not_count(flag: str) -> None:
    assert reasons(read(obx(SPO2, "97", PERCENT, flags=flag))) == [Reason.NO_VALUE]


@pytest.mark.parametrize("flag", ["QUES", "L", "HH", "N", ""])
def test_a_limit_or_a_question_keeps_the_value(flag: str) -> None:
    assert signs(read(obx(SPO2, "97", PERCENT, flags=flag))) == [{"spo2": 97}]


def test_the_best_source_is_taken_then_the_lowest_position() -> None:
    report = read(
        obx(PULSE, "70", BPM, channel="1.1.1.1"),
        obx(HR, "71", BPM, channel="1.9.1.1"),
        obx(TEMP, "33.1", DEGC, channel="1.10.1.1"),
        obx(TEMP, "36.7", DEGC, channel="1.9.1.1"),
    )
    assert signs(report) == [{"heart_rate": 71, "temperature": 36.7}]
    assert reasons(report) == [Reason.OTHER_SOURCE, Reason.USED, Reason.OTHER_SOURCE, Reason.USED]


def test_the_next_source_is_taken_where_the_best_one_has_no_value() -> None:
    assert signs(read(obx(HR, "71", BPM, flags="INV"), obx(PULSE, "70", BPM))) == [{"heart_rate": 70}]


def test_two_values_of_one_time_and_position_are_a_contradiction() -> None:
    assert reasons(read(obx(TEMP, "33.1", DEGC), obx(TEMP, "36.7", DEGC))) == [Reason.CONTRADICTION] * 2
    assert signs(read(obx(TEMP, "36.7", DEGC), obx(TEMP, "36.7", DEGC))) == [{"temperature": 36.7}]


def test_pressures_of_two_measurements_never_meet() -> None:
    line = (obx(SYS, "120", MMHG, channel="1.1.1.1"), obx(DIA, "80", MMHG, channel="1.2.1.2"))
    assert signs(read(*line)) == [{"systolic_bp": 120}]
    arterial = obx("150034^MDC_PRESS_BLD_ART_DIA^MDC", "60", MMHG, channel="1.1.1.2")
    assert signs(read(line[0], arterial, application="ART")) == [{"systolic_bp": 120}]


def test_a_diastolic_pressure_that_is_not_the_lower_one_removes_both() -> None:
    assert reasons(read(obx(SYS, "80", MMHG), obx(DIA, "120", MMHG))) == [Reason.CONTRADICTION] * 2


def test_each_moment_is_a_reading_of_its_own() -> None:
    cuff = "20261129094500"
    report = read(obx(HR, "71", BPM), obx(SYS, "120", MMHG, time=cuff), obx(DIA, "80", MMHG, time=cuff))
    assert signs(report) == [{"systolic_bp": 120, "diastolic_bp": 80}, {"heart_rate": 71}]
    assert report.readings[0].reading.time == datetime(2026, 11, 29, 8, 45, tzinfo=UTC)


def test_the_time_of_a_part_of_the_device_is_that_of_its_values() -> None:
    header = obx("150020^MDC_PRESS_BLD_NONINV^MDC", "", "", kind="", channel="1.0.1", time="20261129094500+0100")
    report = read(header, obx(SYS, "120", MMHG, channel="1.0.1.1"), obx(HR, "71", BPM, channel="1.0.2.1"))
    assert [item.reading.time.minute for item in report.readings] == [45, 0]


def test_a_source_with_a_wrong_clock_has_the_time_of_receipt() -> None:
    [item] = read(obx(HR, "71", BPM, time="20130101000000"), application="SLOW").readings
    assert item.reading.time == RECEIVED


@pytest.mark.parametrize("stamp", ["20261129110100+0100", "20261129100100", "20611129110100", ""])
def test_values_of_a_sender_whose_whole_clock_is_ahead_are_published_for_alerts_to_judge(stamp: str) -> None:
    """As those of a device: alerts count by arrival, and ingest rejects them with the reason."""
    ahead = message("PID|||77^^^H^MR", PLACE, "OBR|1||||||20261129110000+0100", obx(SPO2, "70", PERCENT))
    report = read_report(parse_message(ahead.replace(b"20261129100100+0100", stamp.encode())), SITE, RECEIVED)
    is_ahead = stamp != "20261129100100"
    assert reasons(report) == [Reason.USED if is_ahead else Reason.NO_TIME]
    assert signs(report) == ([{"spo2": 70}] if is_ahead else [])


def test_a_vendors_scale_and_numbers_for_no_value_apply_to_that_vendor_only() -> None:
    lines = (
        obx("40^HR", "7800", "0002-4182^bpm^MDIL"),
        obx("100^T1", "3650", "0401-0b54^C^MDIL"),
        obx("188^SPO2", "-1000", "0002-4bb8^%^MDIL"),
        obx(SPO2, "-5", PERCENT),
    )
    report = read(*lines, application="NC3A")
    assert signs(report) == [{"heart_rate": 78, "temperature": 36.5}]
    assert reasons(report)[2:] == [Reason.NO_VALUE, Reason.NO_VALUE]
    assert reasons(read(*lines)) == [Reason.UNMAPPED] * 3 + [Reason.IMPLAUSIBLE]


def test_consciousness_is_read_by_its_words() -> None:
    [item] = read(obx("2267^COMEN_ACVPU^99COMEN", "Alert", ""), obx(HR, "71", BPM)).readings
    assert item.reading.consciousness == "A"
    coded = obx("1^MNDRY_EWS_LOC_AVPU^99MNDRY", "60036^MNDRY_SCORE_LOC_AVPU_VOICE^99MNDRY", "", kind="CWE")
    assert [item.reading.consciousness for item in read(coded, obx(HR, "71", BPM)).readings] == ["V"]
    assert reasons(read(obx("2267^COMEN_ACVPU^99COMEN", "Not Alert", ""))) == [Reason.UNREADABLE]


def test_consciousness_without_a_sign_of_its_time_is_no_reading() -> None:
    report = read(obx("2267^COMEN_ACVPU^99COMEN", "Alert", ""))
    assert (report.readings, reasons(report)) == ([], [Reason.NO_VALUE])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("^97", [97]), ("=^97", [97]), (">^97", []), ("^97^-^99", []), ("^97^:", []), ("^97~^98", []), ("97", [])],
)
def test_a_structured_number_is_a_value_if_it_states_one_exactly(value: str, expected: list[float]) -> None:
    assert [found["spo2"] for found in signs(read(obx(SPO2, value, PERCENT, kind="SN")))] == expected


@pytest.mark.parametrize(("access", "method"), [("SETTING", ""), ("", "ASET^x^MDC"), ("", "AMEAS~MSET")])
def test_a_setting_of_the_device_is_no_measurement(access: str, method: str) -> None:
    line = f"OBX|1|NM|{HR}||71|{BPM}|||||F||{access}||||{method}"
    assert reasons(read(line)) == [Reason.NO_VALUE]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [("|F", Reason.USED), ("|X", Reason.NO_VALUE), ("X", Reason.NO_VALUE), ("||||D", Reason.NO_VALUE)],
)
def test_a_status_in_a_field_beside_its_own_counts(fields: str, expected: Reason) -> None:
    assert reasons(read(f"OBX|1|NM|{HR}||71|{BPM}||{fields}")) == [expected]


@pytest.mark.parametrize("null", ["00000000", "00000000000000", '""'])
def test_a_time_that_states_that_there_is_none_is_that_of_the_group(null: str) -> None:
    [item] = read(obx(HR, "71", BPM, time=null)).readings
    assert item.reading.time == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


def test_a_leap_second_is_the_next_second() -> None:
    [item] = read(obx(HR, "71", BPM, time="20261129095960+0100")).readings
    assert item.reading.time == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("", "utf-8"),
        ("", "latin-1"),
        ("ASCII", "gb18030"),
        ("8859/1", "latin-1"),
        ("8859/1", "utf-8"),
        ("UNICODE UTF-8", "utf-8-sig"),
        ("GB 18030-2000", "gb18030"),
        ("KS X 1001", "euc_kr"),
        ("BIG-5", "big5"),
        ("SJIS", "shift_jis"),
    ],
)
def test_the_degree_sign_is_read_in_every_character_set(charset: str, encoding: str) -> None:
    unit = "\u2103" if encoding in ("gb18030", "euc_kr", "big5", "shift_jis") else "°C"
    text = message(PLACE, OBR, obx(TEMP, "36.5", unit)).decode().replace("|2.6\r", f"|2.6||||||{charset}\r")
    assert signs(read_report(parse_message(text.encode(encoding)), SITE, RECEIVED)) == [{"temperature": 36.5}]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_message_in_utf_16_is_read(encoding: str, mark: str) -> None:
    text = mark + message("PID|||7Ł^^^H^MR", PLACE, OBR, obx(TEMP, "36.5", "℃")).decode()
    for content in (text.encode(encoding), b"\x0b" + text.strip().encode(encoding) + b"\x1c\r"):
        [item] = read_report(parse_message(content), SITE, RECEIVED).readings
        assert (item.reading.patient_id, item.reading.value("temperature")) == ("7Ł", 36.5)


def test_kanji_in_another_field_hide_no_value() -> None:
    lines = ["PID|||77^^^H^MR||\u5c71\u7530", PLACE, OBR, obx(HR, "71", BPM)]
    text = message(*lines).decode().replace("|2.6\r", "|2.6||||||ASCII~ISO IR87\r")
    report = read_report(parse_message(text.encode("iso2022_jp")), SITE, RECEIVED)
    assert signs(report) == [{"heart_rate": 71}]


@pytest.mark.parametrize("processing", ["T", "D", ""])
def test_a_message_that_is_not_production_is_accepted_and_gives_no_reading(processing: str) -> None:
    report = read(obx(HR, "71", BPM), processing=processing)
    assert (report.outcome, report.readings, reasons(report)) == (Outcome.ACCEPT, [], [Reason.NOT_PRODUCTION])


@pytest.mark.parametrize(
    ("kind", "outcome", "expected"),
    [
        ("ORU^R40^ORU_R40", Outcome.ACCEPT, [Reason.ALERT]),
        ("ORU^W01", Outcome.ACCEPT, [Reason.WAVEFORM]),
        ("ADT^A08", Outcome.REJECT, []),
        ("QRY^R02", Outcome.REJECT, []),
        ("ORU^R30^ORU_R30", Outcome.ACCEPT, [Reason.USED]),
        ("ORU^R31", Outcome.ACCEPT, [Reason.USED]),
        ("ORU^R03", Outcome.REJECT, []),
        ("P", Outcome.ERROR, []),
        ("", Outcome.ERROR, []),
    ],
)
def test_only_observation_reports_give_readings(kind: str, outcome: Outcome, expected: list[Reason]) -> None:
    report = read(obx(HR, "71", BPM), kind=kind)
    assert (report.outcome, reasons(report)) == (outcome, expected)
    assert signs(report) == [{"heart_rate": 71}] * (expected == [Reason.USED])
    assert (report.error is None) == (outcome is Outcome.ACCEPT)


def test_a_place_that_is_unknown_keeps_the_reading_without_a_device() -> None:
    parsed = parse_message(message("PV1||I|ICU^^9", OBR, obx(HR, "71", BPM)))
    report = read_report(parsed, SITE, RECEIVED)
    [item] = report.readings
    assert (item.device, item.reading.patient_id, reasons(report)) == (None, None, [Reason.UNKNOWN_PLACE])


def test_a_bed_in_a_subcomponent_is_found_by_the_whole_field() -> None:
    report = read_report(parse_message(message("PV1||I|^^&7", OBR, obx(HR, "71", BPM))), SITE, RECEIVED)
    assert report.readings[0].device == "bed-7"


def test_two_patients_of_one_message_never_meet() -> None:
    lines = ("PID|||1", PLACE, OBR, obx(HR, "71", BPM), "PID|||2", "PV1||I|ICU^^2", OBR, obx(SPO2, "97", PERCENT))
    report = read_report(parse_message(message(*lines)), SITE, RECEIVED)
    found = [(item.device, item.reading.patient_id) for item in report.readings]
    assert (found, signs(report)) == ([("bed-1", "1"), ("bed-2", "2")], [{"heart_rate": 71}, {"spo2": 97}])
    same_bed = (*lines[:5], PLACE, *lines[6:])
    report = read_report(parse_message(message(*same_bed)), SITE, RECEIVED)
    assert [(item.device, item.problem) for item in report.readings] == [
        (None, "the message has several patients at icu-1/bed-1")
    ] * 2
    assert reasons(report) == [Reason.UNKNOWN_PLACE] * 2
    same_patient = (*same_bed[:4], "PID|||1", *same_bed[5:])
    report = read_report(parse_message(message(*same_patient)), SITE, RECEIVED)
    assert [item.device for item in report.readings] == ["bed-1"]
    assert signs(report) == [{"heart_rate": 71, "spo2": 97}]
    without_place = (*lines[:5], *lines[6:])
    report = read_report(parse_message(message(*without_place)), SITE, RECEIVED)
    assert [item.device for item in report.readings] == ["bed-1", None]


@pytest.mark.parametrize(
    ("pid", "patient"),
    [
        ("8^^^X^AN~77^^^H^MR", "77"),
        ("77^^^MR&1.2&ISO", "77"),
        ("5", "5"),
        ("1^^^A^MR~2^^^B^MR", None),
        ("8^^^X^AN", None),
        ('""', None),
        ("", None),
    ],
)
def test_the_patients_number_is_that_of_the_sites_authority(pid: str, patient: str | None) -> None:
    lines = (f"PID|||{pid}||Name^Other", PLACE, OBR, obx(HR, "71", BPM))
    [item] = read_report(parse_message(message(*lines)), SITE, RECEIVED).readings
    assert item.reading.patient_id == patient


@given(
    st.lists(
        st.tuples(
            st.sampled_from([HR, PULSE, SPO2, TEMP, SYS, DIA, "x^y^z", SPO2.replace("150456", "147842")]),
            st.sampled_from(["", "0", "50", "97.5", "1e3", "-1", "x", "9" * 30, "1~2"]) | st.text(max_size=4),
            st.sampled_from([BPM, PERCENT, MMHG, DEGC, "", "kPa", "266016^%^MDC"]),
            st.sampled_from(["F", "X", "", "R"]),
            st.sampled_from(["", "20261129100000", "2026", "20261129100000+9900"]),
        ),
        max_size=8,
    )
)
def test_every_observation_has_one_reason_and_every_reading_is_valid(
    parts: list[tuple[str, str, str, str, str]],
) -> None:
    lines = [obx(code, value, unit, status=status, time=time) for code, value, unit, status, time in parts]
    content = message("PID|||77", PLACE, OBR, *lines)
    try:
        parsed = parse_message(content)
    except InvalidMessage:
        return
    report = read_report(parsed, SITE, RECEIVED)
    assert len(report.verdicts) == sum(segment.name == "OBX" for segment in parsed.segments)
    assert reasons(report).count(Reason.USED) == sum(map(len, signs(report)))
    for item in report.readings:
        assert decode(encode(item.reading), ANY_TIME).readings == [item.reading]


CUFF = (
    obx(SYS, "120", MMHG, time="20261129094500"),
    obx(DIA, "80", MMHG, time="20261129094500"),
)


def after(known: History, *lines: str, **header: str) -> Report:
    """Read a message as the next one of a sender whose readings are kept."""
    content = message("PID|||77^^^H^MR", PLACE, OBR, *lines, **header)
    report = read_report(parse_message(content), SITE, RECEIVED, known)
    known.add(report.episodes, report.measured)
    return report


def test_the_last_cuff_value_is_stored_once_though_each_message_repeats_it() -> None:
    known = History()
    assert signs(after(known, obx(HR, "71", BPM), *CUFF))[0] == {"systolic_bp": 120, "diastolic_bp": 80}
    report = after(known, obx(HR, "71", BPM), *CUFF)
    assert signs(report) == [{"heart_rate": 71}]
    assert reasons(report) == [Reason.USED, Reason.SAME_AGAIN, Reason.SAME_AGAIN]
    later = [line.replace("094500", "095500") for line in CUFF]
    assert {"systolic_bp": 120, "diastolic_bp": 80} in signs(after(known, *later))
    corrected = after(known, obx(SYS, "118", MMHG, time="20261129094500", status="C"))
    assert signs(corrected) == [{"systolic_bp": 118}]


def test_a_cuff_value_is_a_repeat_only_of_its_own_bed() -> None:
    known = History()
    after(known, *CUFF)
    other = message("PID|||78^^^H^MR", "PV1||I|ICU^^2", OBR, *CUFF)
    assert signs(read_report(parse_message(other), SITE, RECEIVED, known)) == [{"systolic_bp": 120, "diastolic_bp": 80}]


def test_a_repeated_cuff_value_is_known_beside_the_values_of_an_arterial_line() -> None:
    known = History()
    for second in range(10, 40):
        line = obx("150033^MDC_PRESS_BLD_ART_SYS^MDC", "110", MMHG, time=f"202611291000{second}")
        report = after(known, *CUFF, line)
    assert reasons(report) == [Reason.SAME_AGAIN, Reason.SAME_AGAIN, Reason.USED]


def test_a_sign_without_a_sensor_is_news_only_if_the_patient_had_a_value_of_it() -> None:
    known = History()
    without = obx(SPO2, "", PERCENT, status="X")
    report = after(known, obx(HR, "71", BPM), without)
    assert [item.reading.sensor_off for item in report.readings] == [()]
    assert reasons(report) == [Reason.USED, Reason.NO_VALUE]
    after(known, obx(SPO2, "97", PERCENT))
    for _ in range(2):
        [item] = after(known, without).readings
        assert item.reading.sensor_off == ("spo2",)
    other = message("PID|||78^^^H^MR", PLACE, OBR, without)
    assert read_report(parse_message(other), SITE, RECEIVED, known).readings == []
    [item] = read_report(parse_message(message(PLACE, OBR, without)), SITE, RECEIVED, known).readings
    assert item.reading.sensor_off == ("spo2",)


def test_the_same_value_of_a_continuous_sign_is_no_repeat() -> None:
    known = History()
    for _ in range(2):
        assert signs(after(known, obx(SPO2, "97", PERCENT, time="20261129100000"))) == [{"spo2": 97}]


def test_without_a_time_of_its_own_a_value_is_a_repeat_only_if_the_site_says_so() -> None:
    lines = (obx(SYS, "120", MMHG), obx(DIA, "80", MMHG))
    for application, expected in (("GW", Reason.USED), ("SPOT", Reason.SAME_AGAIN)):
        known = History()
        after(known, *lines, application=application)
        assert reasons(after(known, *lines, application=application)) == [expected] * 2
    assert signs(after(known, obx(SYS, "121", MMHG), application="SPOT")) == [{"systolic_bp": 121}]


def test_a_value_that_was_not_kept_is_no_repeat() -> None:
    known = History()
    for _ in range(2):
        content = message("PID|||77^^^H^MR", PLACE, OBR, *CUFF)
        assert reasons(read_report(parse_message(content), SITE, RECEIVED, known)) == [Reason.USED] * 2


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((obx(SPO2, "", PERCENT, status="X"), obx(HR, "71", BPM)), ("spo2",)),
        ((obx(SPO2, "-100", PERCENT),), ("spo2",)),
        ((obx(SPO2, "97", PERCENT, flags="OFF"),), ("spo2",)),
        ((obx(SPO2, "", PERCENT, status="X"), obx(SPO2, "97", PERCENT, channel="1.2")), ()),
        ((obx(SPO2, "97", PERCENT, time="20261129095950"), obx(SPO2, "", PERCENT, status="X")), ("spo2",)),
        ((obx(SPO2, "", PERCENT, status="X", time="20261129095950"), obx(SPO2, "97", PERCENT)), ()),
        ((obx(PULSE, "", BPM, status="X"), obx(HR, "71", BPM, time="20261129095950")), ()),
        ((obx(SPO2, "", PERCENT), obx(HR, "71", BPM)), ()),
        ((obx(SPO2, "97", PERCENT, flags="INV"), obx(HR, "71", BPM)), ()),
        ((obx(SYS, "", MMHG, status="X"), obx(TEMP, "", DEGC, status="X"), obx(HR, "71", BPM)), ()),
        ((obx(HR, "", BPM, status="X"), obx(PULSE, "70", BPM)), ()),
        ((obx("150456^MDC_AWAY_CO2_ET^MDC", "", PERCENT, status="X"), obx(HR, "71", BPM)), ()),
    ],
)
def test_a_continuous_sign_whose_sender_states_no_value_has_its_sensor_off(
    lines: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    item = read(*lines, application="AQ").readings[-1]
    assert item.reading.sensor_off == expected
    assert decode(encode(item.reading), ANY_TIME).readings == [item.reading]


def written(folder: Path, content: bytes) -> list[str]:
    (folder / "message.hl7").write_bytes(content)
    place = '[[place]]\nunit = "ICU"\nbed = "1"\nward = "icu-1"\ndevice = "bed-1"\n'
    (folder / "site.toml").write_text('zone = "UTC"\npatients.authority = ["MR"]\n' + place)
    return ["hl7", "try", str(folder / "message.hl7"), "--site", str(folder / "site.toml")]


def test_try_prints_readings_what_is_not_used_and_the_acknowledgement(tmp_path: Path) -> None:
    content = message("PID|||77^^^H^MR", PLACE, OBR, obx(HR, "71", BPM), obx(SPO2, "35", MMHG))
    words = written(tmp_path, content)
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0
    [shown] = json.loads(done.stdout)["messages"]
    [found] = shown["readings"]
    assert (found["ward"], found["device"], found["patient"]) == ("icu-1", "bed-1", "77")
    assert found["reading"] == {"time": "2026-11-29T09:00:00Z", "patient_id": "77", "heart_rate": 71.0}
    [unused] = shown["not_used"]
    assert (unused["segment"], unused["value"], unused["reason"]) == (6, "35", "unknown_unit")
    assert shown["counts"] == {"unknown_unit": 1, "used": 1}
    assert "\rMSA|AA|M-1\r" in shown["acknowledgements"][0]
    assert 'icu-1/bed-1: {"time"' in CliRunner().invoke(app, words).stdout


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x00\xff\xfe", message() + b"MSH|^~", b"BHS|^~\\&\rBTS|3\r", message() + b"DSC|1\r"]
)
def test_a_file_that_is_no_message_is_one_sentence_and_exit_code_2(tmp_path: Path, content: bytes) -> None:
    done = CliRunner().invoke(app, [*written(tmp_path, content), "--json"])
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "message.hl7" in done.stderr


def test_a_message_of_a_batch_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    good = message(PLACE, OBR, obx(HR, "71", BPM))
    done = CliRunner().invoke(app, [*written(tmp_path, b"BHS|^~\\&\r" + good + b"MSH||\r" + good), "--json"])
    assert done.exit_code == 2
    assert [item["readable"] for item in json.loads(done.stdout)["messages"]] == [True, False, True]
    assert "message 2:" in done.stderr
