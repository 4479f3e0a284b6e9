"""Ways in which senders write one observation: read where nothing is in doubt, and no value where something is."""

from typing import Any

import pytest

from edges.hl7.er7 import parse_message
from edges.hl7.oru import Report, read_report
from edges.observations.observed import Reason
from tests.unit import test_edges_oru, test_fhir_incoming
from tests.unit.test_edges_oru import (
    BPM,
    DIA,
    HR,
    OBR,
    PERCENT,
    PLACE,
    PULSE,
    RECEIVED,
    SITE,
    SPO2,
    SYS,
    TEMP,
    message,
    obx,
    reasons,
    signs,
)
from tests.unit.test_fhir_incoming import CHANGES_MEANING, heart_rate, loinc, quantity, saturation, snomed

PID = "PID|||77^^^H^MR"
read_at_bed = test_edges_oru.read
read_fhir = test_fhir_incoming.read


def read(*lines: str, **header: str) -> Report:
    return read_report(parse_message(message(*lines, **header)), SITE, RECEIVED)


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        (HR, "72", "b/min", 72),
        (HR, "72", "#/min", 72),
        (HR, "72", "x/min", 72),
        (HR, "72", "beats / min", 72),
        (HR, "72", "/min^^UCUM^^^", 72),
        (HR, "72^^", BPM, 72),
        (SYS, "120", "Torr", 120),
        (SYS, "160", "mbar", 120),
        (TEMP, "36.6", "ºC", 36.6),
        (TEMP, "36.6", "Deg.C", 36.6),
        (TEMP, "98.6", "Degrees Fahrenheit", 37),
        ("147842^MDC_ECG_HEART_RATE^IEEE11073", "72", BPM, 72),
        ("8867-4^Heart rate by oximeter^LN", "72", BPM, 72),
        ("8480-6^NIBP-S^LN", "120", "mmHg", 120),
        ("8480-6^Systolic blood pressure--sitting^LN", "120", "mmHg", 120),
        ("8480-6^Systolic BP (mmHg), right arm^LN", "120", "mmHg", 120),
        ("8310-5^Temperature (°C)^LN", "36.6", "Cel", 36.6),
        ("59408-5^Pulse Ox^LN", "97", PERCENT, 97),
        ("8867-4^心率^LN", "72", BPM, 72),
        ("150344^T1^MDC", "36.6", "C", 36.6),
    ],
)
def test_a_spelling_that_leaves_no_doubt_is_read(code: str, value: str, unit: str, expected: float) -> None:
    [found] = signs(read_at_bed(obx(code, value, unit)))
    assert list(found.values()) == [expected]


@pytest.mark.parametrize(
    ("code", "value", "unit"),
    [
        ("147842&1^MDC_ECG_HEART_RATE^LN", "72", BPM),
        ("147842^MDC_ECG_HEART_RATE_MAX^IEEE11073", "72", BPM),
        ("8480-6^D^LN", "120", "mmHg"),
        ("8310-5^Temperature (F)^LN", "36.6", "Cel"),
        ("8480-6^Left ventricular systolic^LN", "120", "mmHg"),
        (HR, "72&", "&bpm"),
        (HR, "72^80", BPM),
        (HR, "1.2", "/s"),
        (TEMP, "36.6", "%"),
        (TEMP, "36.6", "Deg.K"),
    ],
)
def test_a_spelling_in_doubt_gives_no_value(code: str, value: str, unit: str) -> None:
    assert signs(read_at_bed(obx(code, value, unit))) == []


@pytest.mark.parametrize(
    "flag", ["Invalid", "^invalid", "ARTIFACT", "Sensor error", "QCF", "IND", "stale", "deleted", "void"]
)
def test_a_flag_that_is_written_out_counts(flag: str) -> None:
    assert reasons(read_at_bed(obx(HR, "72", BPM, flags=flag))) == [Reason.NO_VALUE]


def test_a_corrected_value_is_taken_in_place_of_the_one_of_its_moment() -> None:
    report = read_at_bed(obx(HR, "172", BPM), obx(HR, "72", BPM, status="C"))
    assert (signs(report), reasons(report)) == ([{"heart_rate": 72}], [Reason.OTHER_SOURCE, Reason.USED])


@pytest.mark.parametrize("earlier", ["P", "R"])
def test_a_final_value_is_taken_in_place_of_the_preliminary_one_of_its_moment(earlier: str) -> None:
    both = obx(SPO2, "97", PERCENT, status=earlier), obx(SPO2, "70", PERCENT)
    for lines in (both, both[::-1]):
        assert signs(read_at_bed(*lines)) == [{"spo2": 70}]


@pytest.mark.parametrize("status", ["D", "W"])
def test_a_value_that_its_message_deletes_is_none(status: str) -> None:
    values = (obx(HR, "172", BPM), obx(HR, "172", BPM, status=status))
    assert signs(read_at_bed(*values)) == []
    assert signs(read_at_bed(*values, obx(HR, "72", BPM))) == [{"heart_rate": 72}]


@pytest.mark.parametrize("kind", ["", "TX", "ST", "nm"])
def test_a_plain_number_is_read_whatever_its_type_of_text(kind: str) -> None:
    assert signs(read_at_bed(obx(HR, "72", BPM, kind=kind))) == [{"heart_rate": 72}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({25: "X"}, Reason.NO_VALUE),
        ({25: "S"}, Reason.NO_VALUE),
        ({15: "BLDA"}, Reason.NO_VALUE),
        ({24: "BG"}, Reason.NO_VALUE),
        ({4: "^Alarm limits"}, Reason.NO_VALUE),
        ({4: "^24 h average"}, Reason.NO_VALUE),
        ({4: "196616^MDC_EVT_ALARM^MDC"}, Reason.ALERT),
        ({4: "^Vital signs trend", 25: "F"}, Reason.USED),
        ({25: "A"}, Reason.USED),
        ({7: "20261129100000+0100~20261129095900+0100"}, Reason.NO_TIME),
        ({7: "20261129090000Z"}, Reason.USED),
        ({7: "20261129100000+01:00"}, Reason.USED),
        ({7: "2026-11-29T10:00:00.250+01:00"}, Reason.USED),
        ({7: "2026-11-29 10:00"}, Reason.USED),
        ({7: "2026-11-29"}, Reason.NO_TIME),
    ],
)
def test_what_the_report_states_counts_for_its_observations(fields: dict[int, str], expected: Reason) -> None:
    order = ["OBR", *("" for _ in range(25))]
    for field, text in {7: "20261129100000+0100", **fields}.items():
        order[field] = text
    report = read(PID, PLACE, "|".join(order), obx(SPO2, "97", PERCENT))
    assert reasons(report) == [expected]
    assert [f"{item.reading.time:%H:%M}" for item in report.readings] == ["09:00"] * (expected is Reason.USED)


@pytest.mark.parametrize(
    "line",
    [
        f"OBX|1|NM|{HR}||71|{BPM}|||||F||||||AVG^average^L",
        f"OBX|1|NM|{HR}|MAX|71|{BPM}|||||F",
        f"OBX|1|NM|MAXHR^Maximum heart rate^L^8867-4^Heart rate^LN||71|{BPM}|||||F",
        f"OBX|1|NM|FHR^Fetal HR^L^8867-4^Heart rate^LN||71|{BPM}|||||F",
        f"OBX|1|NM|{HR}||71|{BPM}|||||F|||||||||^Fetal scalp",
        f"OBX|1|NM|{HR}^HR-R^Resting heart rate^L||71|{BPM}|||||F",
        f"OBX|1|NM|{HR}^RestingHeartRate^^L||71|{BPM}|||||F",
        f"OBX|1|NM|{SPO2}^rSO2^Cerebral^L||71|{PERCENT}|||||F",
        f"OBX|1|NM|{SYS}^PAP S^PAP S^L||31|mmHg|||||F",
        f"OBX|1|NM|{SYS}^^Ankle systolic^L||91|mmHg|||||F",
        f"OBX|1|NM|{TEMP}^T2^Tskin^L||31.5|Cel|||||F",
        f"OBX|1|NM|{TEMP}|1.5.1^SKIN|31.5|Cel|||||F",
        f"OBX|1|NM|{TEMP}||31.5|Cel|||||F|||||||||38266002^Left foot^SCT",
    ],
)
def test_a_text_that_states_another_quantity_gives_no_value(line: str) -> None:
    assert reasons(read_at_bed(line)) == [Reason.NO_VALUE]


@pytest.mark.parametrize("site", ["83738005^Index finger structure^SCT", "^Left index finger", "^Recovery room"])
def test_the_finger_of_an_oximeter_and_the_place_of_a_patient_are_no_other_quantity(site: str) -> None:
    assert signs(read_at_bed(f"OBX|1|NM|{SPO2}||91|{PERCENT}|||||F|||||||||{site}")) == [{"spo2": 91}]


def test_names_of_segments_are_read_in_any_form() -> None:
    assert signs(read_at_bed(" " + obx(HR, "72", BPM), obx(SPO2, "97", PERCENT).lower())) == [
        {"heart_rate": 72, "spo2": 97}
    ]


def test_two_beds_in_one_field_are_no_place() -> None:
    report = read(PID, "PV1||I|ICU^^1~ICU^^2", OBR, obx(HR, "72", BPM))
    assert reasons(report) == [Reason.UNKNOWN_PLACE]
    assert signs(read(PID, "PV1||I|ICU^^1~ICU^^1", OBR, obx(HR, "72", BPM))) == [{"heart_rate": 72}]


def test_a_number_of_several_parts_is_not_that_of_another_patient() -> None:
    [item] = read("PID|||77&8^^^H^MR", PLACE, OBR, obx(HR, "72", BPM)).readings
    assert item.reading.patient_id != "77"


def test_a_local_name_of_another_sign_is_a_contradiction() -> None:
    codes = [f"{HR}^SPO2^SPO2^L", f"{HR}^PULSE^PULSE^L", f"{SPO2}^HR^HR^L", f"{SPO2}^PULSEOX^PulseOx^L"]
    found = [reasons(read_at_bed(obx(code, "91", PERCENT if SPO2 in code else BPM))) for code in codes]
    assert found == [[Reason.CONTRADICTION], [Reason.USED]] * 2


def test_two_places_of_one_patient_are_no_place() -> None:
    two = read(PID, PLACE, "PV1||I|ICU 1^^2", OBR, obx(HR, "72", BPM))
    again = read(PID, PLACE, PLACE, OBR, obx(HR, "72", BPM))
    assert (reasons(two), reasons(again)) == ([Reason.UNKNOWN_PLACE], [Reason.USED])


def test_reports_of_one_patient_at_one_bed_are_read_as_one() -> None:
    report = read(PID, PLACE, OBR, obx(PULSE, "75", BPM), PID, PLACE, OBR, obx(HR, "72", BPM), obx(DIA, "80", "mmHg"))
    assert signs(report) == [{"heart_rate": 72, "diastolic_bp": 80}]


def test_a_message_without_an_event_is_an_observation_report() -> None:
    assert signs(read(PID, PLACE, OBR, obx(HR, "72", BPM), kind="ORU")) == [{"heart_rate": 72}]


@pytest.mark.parametrize("fields", ["||||||X", "|||||||X"])
def test_a_sign_that_has_no_type_and_no_value_is_off(fields: str) -> None:
    report = read_at_bed(f"OBX|1||{SPO2}|1.2.3.4{fields}", obx(HR, "72", BPM))
    assert [item.reading.sensor_off for item in report.readings] == [("spo2",)]


SKIN: dict[str, Any] = {"code": {"coding": [loinc("8310-5")]}, "valueQuantity": quantity(31.5, "Cel")}
ABSENT = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "error"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"focus": [{"reference": "Patient/fetus"}]},
        {"specimen": {"reference": "Specimen/1"}},
        {"category": [{"coding": [{"code": "laboratory"}]}]},
        {"subject": {"reference": "Group/7"}},
        {"subject": {"reference": "https://ehr.example/Location/7"}},
        {"interpretation": {"coding": [{"code": "INV"}]}},
        {"interpretation": [{"text": "Invalid"}]},
        {"interpretation": [{"coding": [{"code": "QCF"}]}]},
        {"valueQuantity": {**quantity(71), "_value": {"extension": ABSENT}}},
        {"extension": ABSENT},
        {"valueQuantity": {**quantity(71), "extension": ABSENT}},
        {"modifierExtension": CHANGES_MEANING},
        {**SKIN, "bodySite": {"text": "Left foot"}},
        {**SKIN, "bodySite": {"coding": [snomed("39937001")]}},
        {**SKIN, "code": {**SKIN["code"], "text": "Skin temperature"}},
        {"code": {"coding": [loinc("8867-4")], "text": "Resting heart rate"}},
        {"code": {"coding": [loinc("9279-1")], "text": "Ventilator rate"}},
        {"code": {"coding": [loinc("8867-4"), {"system": "apple", "code": "HKRestingHeartRate"}]}},
        {**SKIN, "method": {"text": "Skin sensor"}},
        {"code": {"coding": [loinc("9279-1")], "text": "Mandatory breath rate"}},
        {"interpretation": [{"coding": [{"display": "Invalid"}]}]},
        {**SKIN, "code": {**SKIN["code"], "text": "Blanket temperature"}},
    ],
)
def test_an_observation_of_fhir_in_doubt_gives_no_value(changes: dict[str, object]) -> None:
    report = read_fhir(heart_rate(**changes)).report
    assert (report.readings, report.counts) == ([], {"no_value": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"focus": [{"reference": "Patient/77"}]},
        {"code": {"coding": [{"system": "https://loinc.org/", "code": "8867-4"}]}},
        {"code": {"coding": [{"system": "http://loinc.org|2.77", "code": "8867-4"}, snomed("364075005")]}},
        {"code": {"coding": [loinc("8867-4", "Heart rate by oximeter")]}},
        {"code": {"coding": [loinc("8867-4"), loinc("8716-3", "Vital signs")]}},
        {"valueQuantity": {"value": 71, "code": "/min"}},
        {"valueQuantity": {"value": 71, "unit": "beats / min"}},
        {"valueQuantity": {"value": 71, "system": "https://unitsofmeasure.org", "code": "/min"}},
        {"interpretation": [{"coding": [{"code": "H"}], "text": "High"}]},
    ],
)
def test_an_observation_of_fhir_without_doubt_is_read(changes: dict[str, object]) -> None:
    [item] = read_fhir(heart_rate(**changes)).report.readings
    assert item.reading.value("heart_rate") == 71


@pytest.mark.parametrize(
    ("first", "last"),
    [("final", "amended"), ("final", "corrected"), ("preliminary", "final")],
)
def test_of_two_observations_of_a_moment_the_more_final_one_is_taken(first: str, last: str) -> None:
    later = {"resource": heart_rate(status=last, valueQuantity=quantity(80))}
    entries = [later, {"resource": heart_rate(status=first)}]
    [item] = read_fhir({"resourceType": "Bundle", "type": "collection", "entry": entries}).report.readings
    assert item.reading.value("heart_rate") == 80


@pytest.mark.parametrize("url", ["Observation", "/Observation", "Observation/7", "https://ehr.example/Observation?a=b"])
def test_an_entry_names_its_type_in_each_form_of_a_url(url: str) -> None:
    entry = {"resource": heart_rate(), "request": {"method": "POST", "url": url}}
    encounter = {"resource": {"resourceType": "Encounter"}, "request": {"method": "POST", "url": "Encounter"}}
    content = {"resourceType": "Bundle", "type": "transaction", "entry": [encounter, entry]}
    assert [item.device for item in read_fhir(content).report.readings] == ["bed-1"]


def test_a_saturation_of_blood_is_no_pulse_oximetry() -> None:
    assert read_fhir(saturation(97, specimen={"display": "Arterial blood"})).report.readings == []
