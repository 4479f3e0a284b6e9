"""Admission messages: the event of each, why another is not used, and what `try` shows. The messages are our own."""

import json
import tomllib
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
from edges.hl7.adt import EVENTS, AdmissionReason, AdmissionReport, read_admission
from edges.hl7.er7 import InvalidMessage, parse_message
from vitals.topics import DeviceAddress

RECEIVED = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
TIME = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
SITE_TEXT = """
zone = "Europe/Berlin"
patients.authority = ["MR"]
[[place]]
unit = "ICU"
bed = "1"
ward = "icu-1"
device = "bed-1"
[[place]]
unit = "ICU"
bed = "2"
ward = "icu-1"
device = "bed-2"
[[place]]
unit = "TWICE"
bed = "1"
ward = "icu-1"
device = "bed-1"
[[place]]
unit = "TWICE"
bed = "1"
facility = "A"
ward = "icu-1"
device = "bed-2"
[[source]]
name = "his"
application = "HIS"
admissions = true
[[source]]
name = "monitors"
application = "GW"
[[source]]
name = "slow clock"
application = "SLOW"
admissions = true
clock = "receipt"
"""
SITE = Site.model_validate(tomllib.loads(SITE_TEXT))
BED_1, BED_2 = DeviceAddress("icu-1", "bed-1"), DeviceAddress("icu-1", "bed-2")
PID = "PID|1||77^^^H^MR||Muster^Max||19500101|M"
HERE, FROM_1_TO_2 = "PV1|1|I|ICU^^1", "PV1|1|I|ICU^^2|||ICU^^1"


def adt(
    event: str,
    *lines: str,
    application: str = "HIS",
    evn: str = "20261129100000+0100",
    processing: str = "P",
    encoding: str = "|^~\\&",
) -> bytes:
    header = f"MSH{encoding}|{application}|W|||20261129100100+0100||ADT^{event}|M-1|{processing}|2.5"
    return "".join(f"{line}\r" for line in (header, f"EVN||{evn}", *lines)).encode()


def read(event: str, *lines: str, **more: str) -> AdmissionReport:
    return read_content(adt(event, *lines, **more))


def read_content(content: bytes) -> AdmissionReport:
    return read_admission(parse_message(content), SITE, RECEIVED)


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("A01", (PID, HERE), {"kind": "admit", "bed": BED_1, "profile": "adult"}),
        ("A13", (PID, HERE), {"kind": "admit", "bed": BED_1}),
        ("A04", (PID, "PV1|1|E|ICU^^1"), {"kind": "admit", "bed": BED_1}),
        ("A06", (PID, FROM_1_TO_2), {"kind": "transfer", "bed": BED_2, "former_bed": BED_1}),
        ("A07", (PID, "PV1|1|O|CLINIC|||ICU^^1"), {"kind": "transfer", "bed": None, "former_bed": BED_1}),
        ("A31", (PID,), {"kind": "update", "profile": "adult"}),
        *(
            (name, (PID, "MRG|33^^^H^MR"), {"kind": "merge", "former_patient_id": "33"})
            for name in ("A18", "A36", "A47")
        ),
        ("A02", (PID, FROM_1_TO_2), {"kind": "transfer", "bed": BED_2, "former_bed": BED_1}),
        ("A02", (PID, "PV1|1|I|ICU^^2"), {"kind": "transfer", "bed": BED_2, "former_bed": None}),
        ("A02", (PID, "PV1|1|I|WARD^^9|||ICU^^1"), {"kind": "transfer", "bed": None, "former_bed": BED_1}),
        ("A12", (PID, "PV1|1|I|ICU^^1|||ICU^^2"), {"kind": "transfer", "bed": BED_1, "former_bed": BED_2}),
        ("A03", (PID, HERE), {"kind": "discharge", "bed": BED_1}),
        ("A11", (PID, HERE), {"kind": "discharge", "bed": BED_1}),
        ("A08", (PID, HERE), {"kind": "update", "profile": "adult", "bed": None}),
        ("A40", (PID, "MRG|33^^^H^MR"), {"kind": "merge", "former_patient_id": "33", "bed": None}),
    ],
)
def test_a_message_becomes_the_event_of_its_patient(
    name: str, lines: tuple[str, ...], expected: dict[str, Any]
) -> None:
    report = read(name, *lines)
    [event] = report.events
    assert report.outcome is Outcome.ACCEPT
    assert (event.patient_id, event.time, event.by) == ("77", TIME, "hl7:his")
    assert {key: getattr(event, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "lines", "header", "reason"),
    [
        ("A05", (PID, HERE), {}, AdmissionReason.NOT_READ),
        ("A28", (PID,), {}, AdmissionReason.NOT_READ),
        ("A04", (PID, "PV1|1|O|CLINIC"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A07", (PID, "PV1|1|O|"), {}, AdmissionReason.NO_PLACE),
        ("", (PID, HERE), {}, AdmissionReason.NOT_READ),
        ("A01", (PID, HERE), {"application": "GW"}, AdmissionReason.NOT_PERMITTED),
        ("A01", (PID, HERE), {"application": "OTHER"}, AdmissionReason.NOT_PERMITTED),
        ("A01", (PID, HERE), {"processing": "T"}, AdmissionReason.NOT_PRODUCTION),
        ("A01", (HERE,), {}, AdmissionReason.NO_PATIENT),
        ("A01", ("PID|1||77^^^H^PI", HERE), {}, AdmissionReason.NO_PATIENT),
        ("A01", ("PID|1||77^^^H^MR~78^^^H^MR", HERE), {}, AdmissionReason.NO_PATIENT),
        ("A01", (PID, PID, HERE), {}, AdmissionReason.CONTRADICTION),
        ("A01", (PID, HERE, FROM_1_TO_2), {}, AdmissionReason.CONTRADICTION),
        ("A01", (PID,), {}, AdmissionReason.NO_PLACE),
        ("A03", (PID,), {}, AdmissionReason.NO_PLACE),
        ("A01", (PID, 'PV1|1|I|""^""'), {}, AdmissionReason.NO_PLACE),
        ("A01", (PID, "PV1|1|I|ICU^^3"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A01", (PID, "PV1|1|I|ICU^7^1"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A01", (PID, "PV1|1|I|TWICE^^1^A"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A02", (PID, "PV1|1|I|WARD^^9"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A02", (PID, "PV1|1|I|TWICE^^1^A|||ICU^^1"), {}, AdmissionReason.UNKNOWN_PLACE),
        ("A02", (PID, "PV1|1|I||||ICU^^1"), {}, AdmissionReason.NO_PLACE),
        ("A40", (PID,), {}, AdmissionReason.NO_FORMER_PATIENT),
        ("A40", (PID, "MRG|33^^^H^MR~34^^^H^MR"), {}, AdmissionReason.NO_FORMER_PATIENT),
        ("A01", (PID, HERE), {"evn": "20261130"}, AdmissionReason.NO_TIME),
        ("A01", (PID, HERE), {"evn": "20261129120000+0100"}, AdmissionReason.NO_TIME),
    ],
)
def test_an_event_that_is_not_clear_is_accepted_and_not_used(
    name: str, lines: tuple[str, ...], header: dict[str, str], reason: AdmissionReason
) -> None:
    report = read(name, *lines, **header)
    assert (report.outcome, list(report.events)) == (Outcome.ACCEPT, [])
    assert [verdict.reason for verdict in report.verdicts] == [reason]
    assert report.counts == {reason.value: 1}


def test_another_event_in_evn_than_in_the_header_is_not_used() -> None:
    content = adt("A03", PID, HERE).replace(b"EVN||", b"EVN|A01|")
    report = read_content(content)
    assert [verdict.reason for verdict in report.verdicts] == [AdmissionReason.CONTRADICTION]


@pytest.mark.parametrize(
    ("birth", "group"),
    [
        ("20261120", "neonate"),
        ("20261101120000+0100", "infant"),
        ("20200101", "child-5-11"),
        ("1950", "adult"),
        ("201103", "child-12-15"),
        ("2026", "neonate"),
        ("", None),
        ('""', None),
        ("20270101", None),
        ("20261399", None),
        ("yesterday", None),
    ],
)
def test_the_date_of_birth_gives_the_age_group_only(birth: str, group: str | None) -> None:
    report = read("A01", f"PID|1||77^^^H^MR||Muster^Max||{birth}|M", HERE)
    assert report.events[0].profile == group
    assert report.verdicts[0].detail == ("" if group else "the date of birth is not known")
    assert "Muster" not in repr(report)
    assert len(birth) < 8 or birth not in repr(report)


def test_a_swap_moves_each_of_two_patients_to_the_others_bed() -> None:
    report = read("A17", PID, "PV1|1|I|ICU^^2", "PID|1||88^^^H^MR", "PV1|1|I|ICU^^1")
    [event] = report.events
    assert event.other is not None
    assert (event.kind, event.patient_id, event.bed) == ("transfer", "77", BED_2)
    assert (event.other.patient_id, event.other.bed, report.counts) == ("88", BED_1, {"used": 1})


def test_a_swap_of_which_one_place_is_unknown_moves_no_patient() -> None:
    report = read("A17", PID, "PV1|1|I|ICU^^2", "PID|1||88^^^H^MR", "PV1|1|I|WARD^^9")
    assert (list(report.events), report.counts) == ([], {"contradiction": 1, "unknown_place": 1})


def test_each_pair_of_a_merge_is_an_event() -> None:
    other = "PID|1||88^^^H^MR"
    report = read("A40", PID, "MRG|33^^^H^MR", other, "MRG|34^^^H^PI", other, "MRG|35^^^H^MR")
    assert [(event.patient_id, event.former_patient_id) for event in report.events] == [("77", "33"), ("88", "35")]
    assert report.counts == {"no_former_patient": 1, "used": 2}


def test_the_separators_of_the_message_are_used() -> None:
    content = adt("A02", PID, FROM_1_TO_2).decode().translate(str.maketrans("|^~&", "#!*%"))
    [event] = read_content(content.encode()).events
    assert (event.bed, event.former_bed) == (BED_2, BED_1)


def test_a_place_with_bytes_outside_the_character_set_is_unknown() -> None:
    content = adt("A01", PID, "PV1|1|I|ICU^^1^Sued").replace(b"Sued", b"S\xfcd")
    report = read_content(content)
    assert [verdict.reason for verdict in report.verdicts] == [AdmissionReason.UNKNOWN_PLACE]


def test_a_sender_without_a_right_clock_states_no_time() -> None:
    [event] = read("A01", PID, HERE, application="SLOW", evn="").events
    assert event.time == RECEIVED


def test_a_clock_that_is_a_little_ahead_is_not_after_the_receipt() -> None:
    [event] = read("A01", PID, HERE, evn="20261129100800+0100").events
    assert event.time == RECEIVED


def test_a_header_without_a_control_id_is_rejected() -> None:
    content = adt("A01", PID, HERE).replace(b"|M-1|", b"||")
    report = read_content(content)
    assert (report.outcome, list(report.events)) == (Outcome.REJECT, [])


@given(
    st.sampled_from(sorted(EVENTS)),
    st.lists(st.sampled_from(["PID", "PV1", "MRG", "EVN", "|", "^", "77", "\x00", "ü"])),
)
def test_no_message_raises_another_error(name: str, parts: list[str]) -> None:
    try:
        message = parse_message(adt(name, "".join(parts)))
    except InvalidMessage:
        return
    report = read_admission(message, SITE, RECEIVED)
    assert len(report.verdicts) >= 1


def try_file(tmp_path: Path, *messages: bytes, as_json: bool = True) -> Any:
    file, site_file = tmp_path / "message.hl7", tmp_path / "site.toml"
    file.write_bytes(b"FHS|^~\\&\rBHS|^~\\&\r" + b"".join(messages) + b"BTS|\rFTS|\r")
    site_file.write_text(SITE_TEXT, encoding="utf-8")
    arguments = ["hl7", "try", str(file), "--site", str(site_file), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Muster" not in result.output
    return json.loads(result.output)["messages"] if as_json else result.output


def past(content: bytes, minute: int) -> bytes:
    return content.replace(b"2026112910", b"2025112910").replace(b"EVN||202511291000", b"EVN||2025112910%02d" % minute)


def test_try_shows_the_assignments_of_a_file_in_their_order(tmp_path: Path) -> None:
    shown = try_file(
        tmp_path, past(adt("A01", PID, HERE), 1), past(adt("A02", PID, FROM_1_TO_2), 2), past(adt("A05", PID, HERE), 3)
    )
    [admitted], moved = shown[0]["admissions"][0]["assignments"], shown[1]["admissions"][0]["assignments"]
    assert admitted == {
        "ward": "icu-1",
        "device": "bed-1",
        "assignment": {
            "patient_id": "77",
            "profile": "adult",
            "spo2_scale": None,
            "by": "hl7:his",
            "time": "2025-11-29T09:01:00Z",
            "in_use_since": None,
        },
    }
    assert [(step["device"], step["assignment"]["patient_id"]) for step in moved] == [("bed-2", "77"), ("bed-1", None)]
    assert (shown[2]["outcome"], shown[2]["counts"]) == ("AA", {"not_read": 1})


def test_try_presumes_the_patient_where_the_event_says_that_a_bed_is_left(tmp_path: Path) -> None:
    text = try_file(tmp_path, past(adt("A03", PID, HERE), 1), as_json=False)
    assert "if patient 77 is assigned to icu-1/bed-1:" in text
    assert '"patient_id": null' in text
