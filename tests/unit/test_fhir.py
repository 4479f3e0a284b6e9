"""FHIR resources of readings: valid by two independent validators, and ids that state their reading."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st

from vitals.fhir import KINDS, Measured, device, observation, operation_outcome, patient
from vitals.fhir_ids import (
    ObservationKey,
    device_id,
    is_derived,
    observation_id,
    patient_id,
    read_observation_id,
)
from vitals.reading import MAX_COUNTER
from vitals.signs import SIGN_KEYS, SIGNS

TIME = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
BY_LETTERS = {kind.letters: kind for kind in KINDS}


def measured(**changes: Any) -> Measured:
    fields: dict[str, Any] = {
        "device": "bed-1", "time": TIME, "boot": 1795341000, "seq": 7, "ward": "icu-1", "patient": "p-1",
        "values": {"heart_rate": 72.0}, "sensor_off": [], "received_at": TIME + timedelta(seconds=1),
    }  # fmt: skip
    return Measured(**(fields | changes))


def require_valid(resource: dict[str, Any]) -> None:
    assert [str(issue) for issue in fhirkit.validate(json.dumps(resource))] == []
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_every_resource_of_many_generated_readings_is_valid() -> None:
    chance = random.Random(1)
    names = ["bed-1", "Bett 4 (Süd)", "x" * 200, "a/b?c", "..", "患者"]
    for _ in range(300):
        off = chance.sample(SIGN_KEYS, chance.randrange(4))
        values = {
            sign.key: round(chance.uniform(sign.low, sign.high), chance.randrange(3))
            for sign in SIGNS
            if sign.key not in off and chance.random() < 0.6
        }
        name, number = chance.choice(names), chance.choice([None, *names])
        reading = measured(
            device=name, patient=number, values=values, sensor_off=off, seq=-chance.randrange(2**63), boot=0,
            time=TIME + timedelta(microseconds=chance.randrange(10**12)),
        )  # fmt: skip
        kinds = list(reading.kinds())
        assert {key for kind in kinds for key in kind.keys} >= set(values) | set(off)
        for kind in kinds:
            require_valid(observation(reading, kind))
        require_valid(device(name, "icu-1", is_removed=False, model="M", patient=number, changed_at=TIME))
        require_valid(device(name, None, is_removed=True, model=None, patient=None, changed_at=None))
        require_valid(patient(name, TIME))
        require_valid(patient(name))
        require_valid(operation_outcome("invalid", name))


def test_an_observation_has_the_elements_of_the_vital_signs_profile() -> None:
    found = observation(measured(values={"spo2": 97.0}), BY_LETTERS["sp"])
    assert found["status"] == "final"
    assert found["category"][0]["coding"][0]["code"] == "vital-signs"
    assert [(coding["system"], coding["code"]) for coding in found["code"]["coding"]] == [
        ("http://loinc.org", "2708-6"),
        ("http://loinc.org", "59408-5"),
        ("urn:iso:std:iso:11073:10101", "150456"),
    ]
    assert found["subject"] == {"reference": "Patient/p-1"}
    assert found["effectiveDateTime"] == "2026-11-22T10:00:00.123456Z"
    assert found["issued"] == "2026-11-22T10:00:01.123456Z"
    assert found["valueQuantity"] == {"value": 97, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
    assert "dataAbsentReason" not in found
    assert found["device"] == {"reference": f"Device/{device_id('bed-1')}"}
    assert found["meta"]["profile"] == [
        "http://hl7.org/fhir/StructureDefinition/oxygensat",
        "http://hl7.org/fhir/StructureDefinition/vitalsigns",
    ]


def test_a_sensor_that_is_off_is_an_observation_without_a_value() -> None:
    (kind,) = measured(values={}, sensor_off=["spo2"]).kinds()
    found = observation(measured(values={}, sensor_off=["spo2"]), kind)
    assert found["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert "valueQuantity" not in found


def test_both_pressures_are_components_of_one_panel_and_a_missing_one_states_why() -> None:
    reading = measured(values={"systolic_bp": 120.0})
    (kind,) = reading.kinds()
    found = observation(reading, kind)
    assert found["code"]["coding"][0]["code"] == "85354-9"
    assert "valueQuantity" not in found
    assert "dataAbsentReason" not in found
    systolic, diastolic = found["component"]
    assert (systolic["code"]["coding"][0]["code"], systolic["valueQuantity"]["value"]) == ("8480-6", 120)
    assert diastolic["code"]["coding"][0]["code"] == "8462-4"
    assert diastolic["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_a_reading_without_a_patient_states_that_its_subject_is_unknown() -> None:
    found = observation(measured(patient=None), KINDS[0])
    assert found["subject"]["extension"][0]["valueCode"] == "unknown"


def test_every_sign_belongs_to_one_kind_with_its_own_letters() -> None:
    assert sorted(key for kind in KINDS for key in kind.keys) == sorted(SIGN_KEYS)
    assert len(BY_LETTERS) == len(KINDS)
    assert all(letters.isalpha() and len(letters) == 2 for letters in BY_LETTERS)


COUNTERS = st.integers(min_value=0, max_value=MAX_COUNTER)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(device=st.text(max_size=200), time=TIMES, boot=COUNTERS, seq=COUNTERS | COUNTERS.map(lambda n: -1 - n))
def test_an_id_of_an_observation_is_valid_and_states_its_reading(
    device: str, time: datetime, boot: int, seq: int
) -> None:
    key = ObservationKey(device_id(device), time, boot, seq, "hr")
    text = observation_id(key)
    assert len(text) <= 64
    assert all(letter.isascii() and (letter.isalnum() or letter in "-.") for letter in text)
    assert read_observation_id(text) == key


@given(text=st.text(max_size=80) | st.from_regex(r"d[a-z2-7]{16}(\.-?[0-9a-z]{1,14}){3}\.[a-z]{2}", fullmatch=True))
def test_any_other_text_is_no_id_of_an_observation(text: str) -> None:
    try:
        key = read_observation_id(text)
    except ValueError:
        return
    assert observation_id(key) == text


@pytest.mark.parametrize("number", ["p-1", "4711", "A.B-9", "a" * 64])
def test_a_patient_number_that_is_a_valid_id_is_the_id(number: str) -> None:
    assert patient_id(number) == number


@pytest.mark.parametrize("number", ["", "a b", "a" * 65, "ä", "a/b", ".", "..", "x-" + "a" * 26, "p_1", "p\n"])
def test_any_other_patient_number_has_a_derived_id(number: str) -> None:
    assert is_derived(patient_id(number))
    assert patient_id(number) != number
