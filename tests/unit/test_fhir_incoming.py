"""Observations of FHIR: readings, one reason for each observation, and answers. The resources are our own."""

import copy
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edges.__main__ import app
from edges.config.site import Site
from edges.fhir.content import read_json
from edges.fhir.receive import Received, receive
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason
from vitals.codec import ANY_TIME, decode, encode
from vitals.fhir import KINDS, Measured, observation
from vitals.signs import SIGN_KEYS

NOW = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
SITE_CONTENT: dict[str, Any] = {
    "zone": "Europe/Berlin",
    "patients": {"authority": ["urn:oid:1.2.3", "MR"]},
    "place": [
        {"equipment": "Device/monitor-1", "ward": "icu-1", "device": "bed-1"},
        {"equipment": "urn:serials|A7", "ward": "icu-1", "device": "bed-2"},
        {"patient": "home-1", "ward": "home", "device": "cuff-1"},
        {"source": "spot", "ward": "icu-1", "device": "spot-1"},
    ],
    "source": [
        {"name": "spot", "token_file": "spot.token"},
        {"name": "slow clock", "token_file": "slow.token", "clock": "receipt"},
    ],
}
SITE = Site.model_validate(SITE_CONTENT)
UCUM = "http://unitsofmeasure.org"
MDC_SYSTEM = "urn:iso:std:iso:11073:10101"
ABSENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-performed"}]}
CHANGES_MEANING = [{"url": "http://example.org/negated", "valueBoolean": True}]


def loinc(code: str, display: str = "") -> dict[str, str]:
    return {"system": "http://loinc.org", "code": code, **({"display": display} if display else {})}


def mdc(code: str, display: str = "") -> dict[str, str]:
    return {"system": MDC_SYSTEM, "code": code, **({"display": display} if display else {})}


def snomed(code: str) -> dict[str, str]:
    return {"system": "http://snomed.info/sct", "code": code}


def quantity(value: object, unit: str = "/min", **rest: object) -> dict[str, object]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **rest}


def heart_rate(**changes: object) -> dict[str, Any]:
    """A resource; a change to None removes the key."""
    content = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [loinc("8867-4", "Heart rate")]},
        "subject": {"reference": "Patient/77"},
        "effectiveDateTime": "2026-11-29T10:00:00+01:00",
        "device": {"reference": "Device/monitor-1"},
        "valueQuantity": quantity(71),
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


def saturation(value: object, **changes: object) -> dict[str, Any]:
    code = {"coding": [loinc("59408-5"), loinc("2708-6")]}
    return heart_rate(code=code, valueQuantity=quantity(value, "%"), **changes)


def pressure(systolic: Mapping[str, Any], diastolic: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    components = [
        {"code": {"coding": [loinc(code)]}, **content}
        for code, content in (("8480-6", systolic), ("8462-4", diastolic))
    ]
    content = {"code": {"coding": [loinc("85354-9")]}, "valueQuantity": None, "component": components, **changes}
    return heart_rate(**content)


def mmhg(value: float) -> dict[str, Any]:
    return {"valueQuantity": quantity(value, "mm[Hg]")}


def bundle(kind: str, *resources: Mapping[str, Any]) -> dict[str, Any]:
    entries = [
        {
            "fullUrl": f"urn:uuid:{number}",
            "resource": resource,
            "request": {"method": "POST", "url": resource["resourceType"]},
        }
        for number, resource in enumerate(resources, 1)
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def read(content: object, source: str = "") -> Received:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return receive(body, SITE, SITE.source_named(source), NOW)


def signs(received: Received) -> list[dict[str, float]]:
    return [
        {key: value for key in SIGN_KEYS if (value := item.reading.value(key)) is not None}
        for item in received.report.readings
    ]


def reasons(received: Received) -> list[Reason]:
    return [verdict.reason for verdict in received.report.verdicts]


def test_an_observation_becomes_a_reading_of_its_device_and_patient() -> None:
    received = read(heart_rate())
    [item] = received.report.readings
    assert (item.ward, item.device, item.reading.patient_id) == ("icu-1", "bed-1", "77")
    assert item.reading.time == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    assert signs(received) == [{"heart_rate": 71}]
    assert received.answer.status == 201


@pytest.mark.parametrize(
    ("resource", "reason", "status"),
    [
        (heart_rate(status="cancelled"), Reason.NO_VALUE, 200),
        (heart_rate(status="entered-in-error"), Reason.NO_VALUE, 200),
        (heart_rate(status="registered"), Reason.NO_VALUE, 200),
        (heart_rate(status="unknown"), Reason.NO_VALUE, 200),
        (heart_rate(status=None), Reason.NO_VALUE, 200),
        (heart_rate(status=["final"]), Reason.NO_VALUE, 200),
        (heart_rate(dataAbsentReason=ABSENT), Reason.NO_VALUE, 200),
        (heart_rate(dataAbsentReason=ABSENT, valueQuantity=None), Reason.NO_VALUE, 200),
        (heart_rate(valueQuantity=None), Reason.NO_VALUE, 200),
        (heart_rate(valueQuantity={"unit": "/min"}), Reason.NO_VALUE, 200),
        (heart_rate(valueQuantity=[quantity(71)]), Reason.NO_VALUE, 200),
        (heart_rate(valueQuantity=quantity(71, comparator="<")), Reason.NO_VALUE, 200),
        (heart_rate(valueQuantity=quantity(71, comparator={})), Reason.NO_VALUE, 200),
        (heart_rate(modifierExtension=CHANGES_MEANING), Reason.NO_VALUE, 200),
        (heart_rate(implicitRules="http://example.org/rules"), Reason.NO_VALUE, 200),
        (heart_rate(interpretation=[{"coding": [{"code": "CAL"}]}]), Reason.NO_VALUE, 200),
        (heart_rate(bodySite={"text": "Fetal head"}), Reason.NO_VALUE, 200),
        (heart_rate(method={"text": "24 h mean"}), Reason.NO_VALUE, 200),
        (
            heart_rate(
                effectiveDateTime=None,
                effectivePeriod={"start": "2026-11-29T08:00:00Z", "end": "2026-11-29T09:00:00Z"},
            ),
            Reason.NO_VALUE,
            200,
        ),
        (
            heart_rate(effectiveDateTime=None, effectivePeriod={"start": "2026-11-29T08:00:00Z"}),
            Reason.NO_VALUE,
            200,
        ),
        (heart_rate(effectiveDateTime=None), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-11-29"), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-11"), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-11-29T10:00:00"), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-11-29T25:00:00Z"), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-02-30T10:00:00Z"), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime="2026-11-29T10:00:00Z"), Reason.NO_TIME, 422),  # an hour after receipt
        (heart_rate(effectiveInstant="2026-11-29T09:00:00Z"), Reason.NO_TIME, 422),  # beside effectiveDateTime
        (heart_rate(effectiveDateTime=1764406800), Reason.NO_TIME, 422),
        (heart_rate(effectiveDateTime=None, effectiveTiming={"event": ["2026-11-29T09:00:00Z"]}), Reason.NO_TIME, 422),
        (heart_rate(valueQuantity=quantity(71, "%")), Reason.UNKNOWN_UNIT, 200),
        (heart_rate(valueQuantity=quantity(71, "{breaths}/min")), Reason.UNKNOWN_UNIT, 200),
        (heart_rate(valueQuantity={"value": 71}), Reason.UNKNOWN_UNIT, 200),
        (heart_rate(valueQuantity={"value": 71, "code": "/min", "system": "urn:local"}), Reason.UNKNOWN_UNIT, 200),
        (
            heart_rate(valueQuantity={"value": 71, "unit": "kPa", "code": "/min", "system": UCUM}),
            Reason.UNKNOWN_UNIT,
            200,
        ),
        (heart_rate(valueQuantity=None, valueInteger=71), Reason.UNKNOWN_UNIT, 200),
        (heart_rate(valueQuantity=quantity(True)), Reason.UNREADABLE, 200),
        (heart_rate(valueQuantity=quantity("seventy")), Reason.UNREADABLE, 200),
        (heart_rate(valueQuantity=None, valueString="71"), Reason.UNREADABLE, 200),
        (heart_rate(valueString="71"), Reason.UNREADABLE, 200),
        (heart_rate(valueQuantity=None, valueRange={"low": quantity(60)}), Reason.UNREADABLE, 200),
        (heart_rate(valueQuantity=quantity(710)), Reason.IMPLAUSIBLE, 200),
        (saturation(0.97), Reason.IMPLAUSIBLE, 200),
        (heart_rate(valueQuantity=None, valueSampledData={"data": "1 2"}), Reason.WAVEFORM, 200),
        (heart_rate(valueQuantity=None, hasMember=[{"reference": "Observation/1"}]), Reason.HEADER, 200),
        (heart_rate(meta={"security": [{"code": "HTEST"}]}), Reason.NOT_PRODUCTION, 200),
        (heart_rate(code={"text": "Heart rate"}), Reason.UNMAPPED, 200),
        (heart_rate(code={"coding": [loinc("8884-9")]}), Reason.UNMAPPED, 200),
        (heart_rate(code={"coding": [snomed("364075005")]}), Reason.UNMAPPED, 200),
        (heart_rate(code={"coding": [{"system": "urn:local", "code": "8867-4"}]}), Reason.UNMAPPED, 200),
        (heart_rate(code={"coding": loinc("8867-4")}), Reason.UNMAPPED, 200),
        (heart_rate(code={"coding": [loinc("8867-4", "Respiratory rate")]}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [loinc("8867-4")], "text": "SpO2"}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [loinc("8867-4"), loinc("9279-1")]}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [loinc("8867-4"), mdc("151562")]}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [loinc("8867-4"), snomed("86290005")]}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [loinc("8867-4"), loinc("11111-1")]}), Reason.CONTRADICTION, 200),
        (heart_rate(code={"coding": [mdc("147842", "MDC_RESP_RATE")]}), Reason.CONTRADICTION, 200),
        (heart_rate(device={"reference": "Device/other"}), Reason.UNKNOWN_PLACE, 201),
    ],
)
def test_an_observation_that_is_no_value_has_its_reason(resource: dict[str, Any], reason: Reason, status: int) -> None:
    received = read(resource)
    assert reasons(received) == [reason]
    assert received.answer.status == status
    assert not [item for item in received.report.readings if item.device]
    assert json.loads(received.answer.body)["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (heart_rate(status="amended"), 71),
        (heart_rate(status="preliminary"), 71),
        (heart_rate(valueQuantity=quantity(0)), 0),
        (heart_rate(valueQuantity={"value": 71.5, "unit": "beats/minute", "system": UCUM, "code": "/min"}), 71.5),
        (heart_rate(valueQuantity={"value": 71, "unit": "bpm"}), 71),
        (heart_rate(valueQuantity=quantity(71, "{beats}/min")), 71),
        (heart_rate(valueQuantity=quantity(71, "{Herzschlaege}/min")), 71),
        (
            heart_rate(
                valueQuantity={"value": 71, "unit": "beats per min", "system": MDC_SYSTEM, "code": "264864"},
            ),
            71,
        ),
        (heart_rate(code={"coding": [loinc("8867-4"), mdc("147842", "ECG heart rate"), snomed("364075005")]}), 71),
        (heart_rate(code={"coding": [loinc("8867-4", "Herzfrequenz")], "text": "Puls"}), 71),
        (
            heart_rate(code={"coding": [loinc("8867-4"), {"system": "urn:local", "code": "hr"}], "text": "heart_rate"}),
            71,
        ),
        (heart_rate(effectiveDateTime=None, effectiveInstant="2026-11-29T09:00:00.000Z"), 71),
        (heart_rate(effectiveDateTime="2026-11-29T10:00+01:00"), 71),
        (
            heart_rate(
                effectiveDateTime=None,
                effectivePeriod={"start": "2026-11-29T09:00:00Z", "end": "2026-11-29T10:00:00+01:00"},
            ),
            71,
        ),
    ],
)
def test_a_value_is_taken_in_each_form_that_is_clear(resource: dict[str, Any], expected: float) -> None:
    received = read(resource)
    assert signs(received) == [{"heart_rate": expected}]
    assert received.report.readings[0].reading.time == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


def test_digits_of_a_decimal_are_no_obstacle() -> None:
    text = json.dumps(heart_rate()).replace("71,", "71.000000000000000000000000000001,")
    assert signs(read(text.encode())) == [{"heart_rate": 71}]
    text = json.dumps(heart_rate()).replace("71,", f"{'9' * 5000},")
    assert reasons(read(text.encode())) == [Reason.UNREADABLE]


def test_a_component_without_a_value_does_not_hide_the_other() -> None:
    received = read(pressure(mmhg(107), {"dataAbsentReason": ABSENT}))
    assert signs(received) == [{"systolic_bp": 107}]
    assert reasons(received) == [Reason.USED, Reason.NO_VALUE]


def test_components_of_an_unknown_panel_are_no_values() -> None:
    mean = {"coding": [loinc("96607-7", "Blood pressure panel mean systolic and mean diastolic")]}
    assert signs(read(pressure(mmhg(109), mmhg(72), code=mean))) == []
    assert signs(read(pressure(mmhg(109), mmhg(72), code={"coding": [loinc("96607-7")]}))) == []
    assert signs(read(pressure(mmhg(109), mmhg(72), code={"text": "Average blood pressure"}))) == []
    assert signs(read(pressure(mmhg(109), mmhg(72), bodySite={"text": "Pulmonary artery"}))) == []


def test_pressures_are_converted_and_have_to_belong_together() -> None:
    kilopascal = [{"valueQuantity": quantity(value, "kPa")} for value in (16.0, 10.7)]
    assert signs(read(pressure(*kilopascal))) == [{"systolic_bp": 120, "diastolic_bp": 80}]
    assert reasons(read(pressure(mmhg(80), mmhg(120)))) == [Reason.CONTRADICTION] * 2


def test_observations_of_one_moment_are_one_reading() -> None:
    received = read(bundle("transaction", heart_rate(), saturation(96), pressure(mmhg(118), mmhg(74))))
    assert signs(received) == [{"heart_rate": 71, "spo2": 96, "systolic_bp": 118, "diastolic_bp": 74}]
    assert received.answer.status == 200
    answer = json.loads(received.answer.body)
    assert answer["type"] == "transaction-response"
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created"] * 3


def test_two_values_of_a_sign_at_one_moment_are_none() -> None:
    received = read(bundle("batch", saturation(96), saturation(80), heart_rate()))
    assert signs(received) == [{"heart_rate": 71}]
    assert reasons(received) == [Reason.CONTRADICTION, Reason.CONTRADICTION, Reason.USED]


def test_patients_never_share_a_reading_and_not_a_device_at_one_time() -> None:
    other = saturation(96, subject={"reference": "Patient/78"})
    received = read(bundle("batch", heart_rate(), other))
    assert reasons(received) == [Reason.UNKNOWN_PLACE] * 2
    responses = [entry["response"] for entry in json.loads(received.answer.body)["entry"]]
    assert [response["status"] for response in responses] == ["200 OK"] * 2  # 201 would be: stored
    assert "several patients" in responses[0]["outcome"]["issue"][0]["diagnostics"]
    later = {**other, "effectiveDateTime": "2026-11-29T09:01:00Z"}
    received = read(bundle("batch", heart_rate(), later))
    assert [(item.device, item.reading.patient_id) for item in received.report.readings] == [
        ("bed-1", "77"),
        ("bed-1", "78"),
    ]


def test_the_patient_is_the_identifier_of_the_sites_authority() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:other", "value": "9"}, {"system": "urn:oid:1.2.3", "value": "MRN-5"}],
    }
    by_url = heart_rate(subject={"reference": "urn:uuid:2"})
    [item] = read(bundle("transaction", by_url, patient)).report.readings
    assert item.reading.patient_id == "MRN-5"
    [item] = read(bundle("transaction", by_url, {**patient, "identifier": patient["identifier"][:1]})).report.readings
    assert item.reading.patient_id is None
    twice = [*patient["identifier"], {"system": "urn:oid:1.2.3", "value": "MRN-6"}]
    [item] = read(bundle("transaction", by_url, {**patient, "identifier": twice})).report.readings
    assert item.reading.patient_id is None
    logical = {"identifier": {"type": {"coding": [{"code": "MR"}]}, "value": "MRN-7"}}
    [item] = read(heart_rate(subject=logical)).report.readings
    assert item.reading.patient_id == "MRN-7"
    contained = heart_rate(subject={"reference": "#p"}, contained=[{**patient, "id": "p"}])
    [item] = read(contained).report.readings
    assert item.reading.patient_id == "MRN-5"
    for reference in ("Patient/77", "https://ehr.example/fhir/Patient/77/_history/2"):
        [item] = read(heart_rate(subject={"reference": reference})).report.readings
        assert item.reading.patient_id == "77"
    for subject in ({"reference": "Device/monitor-1"}, {"reference": "urn:uuid:9"}, {"display": "77"}, None):
        [item] = read(heart_rate(subject=subject)).report.readings
        assert item.reading.patient_id is None


def test_the_device_is_found_by_identifier_metric_patient_and_source() -> None:
    def device_of(content: object, source: str = "") -> str | None:
        [item] = read(content, source).report.readings
        return item.device

    device = {"resourceType": "Device", "identifier": [{"system": "urn:serials", "value": "A7"}]}
    metric = {"resourceType": "DeviceMetric", "source": {"reference": "urn:uuid:3"}}
    by_metric = heart_rate(device={"reference": "urn:uuid:2"})
    assert device_of(bundle("transaction", by_metric, metric, device)) == "bed-2"
    assert device_of(heart_rate(device={"identifier": device["identifier"][0]})) == "bed-2"
    assert device_of(heart_rate(device=None, subject={"reference": "Patient/home-1"})) == "cuff-1"
    assert device_of(heart_rate(device=None), "spot") == "spot-1"
    assert device_of(heart_rate(), "spot") is None  # two places fit
    assert device_of(heart_rate(device=None)) is None


def test_the_time_of_receipt_is_taken_where_the_clock_of_the_source_is_wrong() -> None:
    [item] = read(heart_rate(effectiveDateTime="2012-01-01T00:00:00Z"), "slow clock").report.readings
    assert item.reading.time == NOW


def test_contained_members_of_a_panel_are_read_with_the_status_of_the_panel() -> None:
    panel = heart_rate(valueQuantity=None, hasMember=[{"reference": "#1"}], contained=[heart_rate(id="1")])
    received = read(panel)
    assert signs(received) == [{"heart_rate": 71}]
    assert reasons(received) == [Reason.HEADER, Reason.USED]
    assert received.report.paths == {1: "", 2: "contained 1"}
    assert signs(read({**panel, "status": "entered-in-error"})) == []


def test_a_transaction_is_all_or_nothing_and_a_batch_is_not() -> None:
    entries = heart_rate(), saturation(96, effectiveDateTime="2026-11-29")
    received = read(bundle("transaction", *entries))
    assert (received.report.outcome, received.answer.status) == ("refused", 422)
    assert not received.report.readings
    assert reasons(received) == [Reason.REFUSED, Reason.NO_TIME]
    received = read(bundle("batch", *entries))
    assert received.report.outcome == "partly"
    assert signs(received) == [{"heart_rate": 71}]
    statuses = [entry["response"]["status"] for entry in json.loads(received.answer.body)["entry"]]
    assert statuses == ["201 Created", "422 Unprocessable Entity"]


def test_a_version_that_is_entered_in_error_withdraws_the_others_of_its_document() -> None:
    withdrawn = heart_rate(id="5", status="entered-in-error")
    received = read(bundle("batch", heart_rate(id="5", valueQuantity=quantity(180)), withdrawn, heart_rate(id="6")))
    assert (signs(received), received.report.counts) == ([{"heart_rate": 71}], {"no_value": 2, "used": 1})


@pytest.mark.parametrize(
    "request_of_entry",
    [{"method": "DELETE", "url": "Observation/1"}, {"method": "POST", "url": "Patient"}, {}, None],
)
def test_an_entry_that_creates_no_observation_is_refused(request_of_entry: object) -> None:
    content = bundle("batch", heart_rate())
    content["entry"][0]["request"] = request_of_entry
    received = read(content)
    assert (received.report.outcome, received.report.verdicts) == ("refused", [])


@pytest.mark.parametrize(("kind", "first"), [("message", "MessageHeader"), ("document", "Composition")])
def test_a_message_and_a_document_are_read(kind: str, first: str) -> None:
    received = read(bundle(kind, {"resourceType": first}, heart_rate()))
    assert signs(received) == [{"heart_rate": 71}]
    assert [answer.outcome for answer in received.report.answers] == ["nothing", "stored"]


def test_a_searchset_and_lines_are_read() -> None:
    outcome = {"resource": {"resourceType": "OperationOutcome", "issue": []}, "search": {"mode": "outcome"}}
    found = {"resource": heart_rate(), "search": {"mode": "match"}}
    assert signs(read({"resourceType": "Bundle", "type": "searchset", "entry": [found, outcome]})) == [
        {"heart_rate": 71}
    ]
    lines = b"\n".join(json.dumps(item).encode() for item in (heart_rate(), saturation(97))) + b"\r\n\n"
    assert signs(read(lines)) == [{"heart_rate": 71, "spo2": 97}]


def test_a_line_that_cannot_be_read_refuses_only_itself() -> None:
    lines = [json.dumps(heart_rate()).encode(), b'{"resourceType": "Observation",', json.dumps(saturation(97)).encode()]
    received = read(b"\n".join(lines))
    assert signs(received) == [{"heart_rate": 71, "spo2": 97}]
    assert received.report.outcome == "partly"
    statuses = [entry["response"]["status"] for entry in json.loads(received.answer.body)["entry"]]
    assert statuses == ["201 Created", "422 Unprocessable Entity", "201 Created"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b'{"resourceType":"Observation",', 400),
        (b"[]", 400),
        (b"71", 400),
        (b"\xff\xfe{}", 400),
        (b'{"resourceType":"Observation","value":NaN}', 400),
        (b'{"resourceType":"Observation","status":"final","status":"cancelled"}', 400),
        (b"[" * 100_000, 400),
        (b'{"resourceType":"Observation","x":' + b"[" * 201 + b"]" * 201 + b"}", 400),
        (b"<Observation/>", 415),
        (b'{"resourceType":"Patient"}', 422),
        (b"{}", 422),
        (b'{"resourceType":"Bundle"}', 422),
        (b'{"resourceType":"Bundle","type":"history","entry":[]}', 422),
        (b'{"resourceType":"Bundle","type":"batch","entry":{}}', 422),
        (b'{"resourceType":"Observation",\n{"resourceType"', 400),
        (b"{}\n" * 10_001, 422),
        (b'{"resourceType":"Observation","component":[' + b"{}," * 10_000 + b"{}]}", 422),
        (b'{"resourceType":"Observation","device":{"reference":"Device/\\ud800"}}', 400),
        (b'{\n"resourceType":"Observation",\n"contained":[\n{"resourceType":"Observation"}', 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_a_sentence(body: bytes, status: int) -> None:
    with pytest.raises(InvalidDocument) as error:
        read(body)
    assert error.value.status == status


def test_a_resource_with_more_identifiers_than_are_read_is_no_device_and_no_patient() -> None:
    def read_with(number: int) -> list[tuple[str | None, str | None]]:
        more = [{"value": f"number {index}"} for index in range(number)]
        device = {"resourceType": "Device", "id": "monitor-1", "identifier": more}
        patient = {
            "resourceType": "Patient",
            "id": "77",
            "identifier": [{"system": "urn:oid:1.2.3", "value": "M"}, *more],
        }
        readings = read(bundle("batch", device, patient, heart_rate())).report.readings
        return [(item.device, item.reading.patient_id) for item in readings]

    assert read_with(10) == [("bed-1", "M")]
    assert read_with(1000) == [(None, None)]


def test_a_key_that_is_there_twice_is_found_at_a_cost_that_grows_with_the_size() -> None:
    def cost(number: int) -> float:
        pairs = ",".join(f'"{key}":0' for key in [*range(number), number - 1])
        began = time.thread_time()
        with pytest.raises(InvalidDocument, match=f"key '{number - 1}' twice"):
            read_json(f"{{{pairs}}}".encode())
        return time.thread_time() - began

    assert min(cost(16_000) for _ in range(3)) < 40 * min(cost(1000) for _ in range(3))  # by pairs of keys: 256


def test_what_the_station_serves_is_read_back() -> None:
    values = dict(zip(SIGN_KEYS, (71.0, 96.0, 15.0, 36.8, 118.0, 74.0), strict=True))
    measured = Measured(
        device="bed-1",
        ward="icu-1",
        time=datetime(2026, 11, 29, 9, 0, tzinfo=UTC),
        boot=1,
        seq=1,
        received_at=NOW,
        patient="77",
        values=values,
        sensor_off=(),
    )
    received = read(bundle("batch", *(observation(measured, kind) for kind in KINDS)))
    assert signs(received) == [values]


def _paths(content: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


_WHOLE = bundle("batch", pressure(mmhg(118), mmhg(74)), saturation(96), {"resourceType": "Device", "id": "monitor-1"})
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.sampled_from(["final", "8867-4", "%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "coding", "value"]), inner),
    max_leaves=5,
)


@settings(max_examples=300)
@given(path=st.sampled_from(_paths(_WHOLE)), replacement=_JSON)
def test_a_changed_element_leaves_valid_readings_and_one_reason_for_each_observation(
    path: tuple[Any, ...], replacement: Any
) -> None:
    content: Any = [copy.deepcopy(_WHOLE)]
    target = content
    for key in (0, *path[:-1]) if path else ():
        target = target[key]
    target[path[-1] if path else 0] = replacement
    try:
        received = read(json.dumps(content[0]).encode("utf-8", "replace"))
    except InvalidDocument:
        return
    segments = [verdict.observation.segment for verdict in received.report.verdicts]
    assert segments == list(range(1, len(received.report.paths) + 1))
    for item in received.report.readings:
        assert not decode(encode(item.reading), ANY_TIME).problems
    json.loads(received.answer.body)


def test_try_prints_readings_and_the_answer(tmp_path: Path) -> None:
    site, file = tmp_path / "site.toml", tmp_path / "body.json"
    site.write_text('zone = "UTC"\n[[place]]\nequipment = "Device/monitor-1"\nward = "w"\ndevice = "d"\n')
    content = heart_rate(effectiveDateTime="2026-01-01T00:00:00Z")
    file.write_text(json.dumps(content), encoding="utf-8")
    result = CliRunner().invoke(app, ["fhir", "try", str(file), "--site", str(site), "--json"])
    assert result.exit_code == 0, result.output
    [shown] = json.loads(result.stdout)["messages"]
    assert (shown["outcome"], shown["status"], shown["counts"]) == ("stored", 201, {"used": 1})
    assert shown["readings"] == [
        {
            "ward": "w",
            "device": "d",
            "patient": "77",
            "reading": {"time": "2026-01-01T00:00:00Z", "patient_id": "77", "heart_rate": 71.0},
        }
    ]
    result = CliRunner().invoke(app, ["fhir", "try", str(file), "--site", str(site)])
    assert "  w/d: " in result.stdout
    file.write_text("{", encoding="utf-8")
    result = CliRunner().invoke(app, ["fhir", "try", str(file), "--site", str(site), "--json"])
    assert (result.exit_code, json.loads(result.stdout)["messages"][0]["status"]) == (2, 400)
