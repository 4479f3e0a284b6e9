"""FHIR R4 resources of readings, patients and devices. Pure: what a reading has becomes Observations of the vital signs
profile, each with an id that states its reading (`fhir_ids`).

Sources: hl7.org/fhir/R4/observation-vitalsigns.html and its profiles per sign; UCUM; IHE PCD mapping of a value that
was not measured: dataAbsentReason `not-performed`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from vitals.fhir_ids import ObservationKey, device_id, observation_id, patient_id
from vitals.signs import BLOOD_PRESSURE, DIASTOLIC, SIGN_KEYS, SIGNS, SYSTOLIC, Sign
from vitals.version import VERSION

Resource = dict[str, Any]

MEDIA_TYPE = "application/fhir+json"
LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT_EXTENSION = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
PROFILES = "http://hl7.org/fhir/StructureDefinition/"
PATIENT_SYSTEM = "urn:vitalflow:patient"
DEVICE_SYSTEM = "urn:vitalflow:device"
VITAL_SIGNS = "vital-signs"


def capability(software: str, about: str, date: str, formats: Sequence[str], rest: Resource) -> Resource:
    """Return a CapabilityStatement of this version; `rest`: what the server can do."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": software, "version": VERSION},
        "implementation": {"description": about},
        "fhirVersion": "4.0.1",
        "format": [*formats],
        "rest": [{"mode": "server", **rest}],
    }


@dataclass(frozen=True, slots=True)
class Kind:
    """One Observation of a reading: a sign, or the panel of both pressures, whose components `parts` are.

    letters   two letters that end the id of the Observation
    parts     the signs whose values it has
    """

    letters: str
    sign: Sign
    parts: tuple[Sign, ...]

    @property
    def is_panel(self) -> bool:
        """Return whether its values are components."""
        return self.parts != (self.sign,)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of its signs."""
        return tuple(part.key for part in self.parts)


@dataclass(frozen=True, slots=True)
class Measured:
    """A stored reading.

    patient      to whom it belongs; None: unknown
    values       by key of the sign; a sign without a value is None or missing
    received_at  when it arrived at ingest
    """

    device: str
    time: datetime
    boot: int
    seq: int
    ward: str
    patient: str | None
    values: Mapping[str, float | None]
    sensor_off: Sequence[str]
    received_at: datetime

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it of a row of `patient_vitals` with `patient` and `arrived_at`."""
        return cls(
            device=row["device_id"],
            **{name: row[name] for name in ("time", "boot", "seq", "ward", "patient")},
            values={key: row[key] for key in SIGN_KEYS},
            sensor_off=row["sensor_off"] or (),
            received_at=row["arrived_at"],
        )

    def kinds(self) -> Iterator[Kind]:
        """Yield the Observations that it has: those with a value, or a sensor that is off the patient."""
        for kind in KINDS:
            if any(self.values.get(key) is not None or key in self.sensor_off for key in kind.keys):
                yield kind


def _letters(sign: Sign) -> str:
    return sign.short.lower()[:2]


_PRESSURES = (SIGNS[SYSTOLIC], SIGNS[DIASTOLIC])
KINDS: tuple[Kind, ...] = (
    *(Kind(_letters(sign), sign, (sign,)) for sign in SIGNS if sign not in _PRESSURES),
    Kind(_letters(BLOOD_PRESSURE), BLOOD_PRESSURE, _PRESSURES),
)


def codings(sign: Sign) -> list[Resource]:
    """Return the codes of a sign in LOINC and MDC."""
    loinc = [{"system": LOINC, "code": code} for code in sign.loinc]
    return [*loinc, {"system": MDC, "code": str(sign.mdc)}]


# What is the same in each Observation is written once, and shared: a page has a hundred.
_CATEGORY = [{"coding": [{"system": CATEGORY, "code": VITAL_SIGNS, "display": "Vital Signs"}]}]
_CONCEPTS = {sign.key: {"coding": codings(sign), "text": sign.label} for sign in (*SIGNS, BLOOD_PRESSURE)}
_PROFILES = {
    kind.letters: list(dict.fromkeys((PROFILES + kind.sign.fhir_profile, PROFILES + "vitalsigns"))) for kind in KINDS
}


def observation(reading: Measured, kind: Kind) -> Resource:
    """Return one Observation of a reading."""
    key = ObservationKey(device_id(reading.device), reading.time, reading.boot, reading.seq, kind.letters)
    arrived = instant(reading.received_at)
    found: Resource = {
        "resourceType": "Observation",
        "id": observation_id(key),
        "meta": {"lastUpdated": arrived, "profile": _PROFILES[kind.letters]},
        "status": "final",
        "category": _CATEGORY,
        "code": _CONCEPTS[kind.sign.key],
        "subject": _unknown() if reading.patient is None else patient_reference(reading.patient),
        "effectiveDateTime": instant(reading.time),
        "issued": arrived,
        "device": {"reference": f"Device/{key.device}"},
    }
    if kind.is_panel:
        found["component"] = [{"code": _CONCEPTS[part.key], **_value(reading, part)} for part in kind.parts]
    else:
        found |= _value(reading, kind.sign)
    return found


def patient(number: str, changed_at: datetime | None = None) -> Resource:
    """Return a Patient, who is known by number only. `changed_at`: when the number was first known."""
    return {
        "resourceType": "Patient",
        "id": patient_id(number),
        **_meta(changed_at),
        "identifier": [{"system": PATIENT_SYSTEM, "value": number}],
    }


def device(
    name: str,
    ward: str | None,
    *,
    is_removed: bool,
    model: str | None,
    patient: str | None,
    changed_at: datetime | None,
) -> Resource:
    """Return a Device with its present ward and patient."""
    return {
        "resourceType": "Device",
        "id": device_id(name),
        **_meta(changed_at),
        "identifier": [{"system": DEVICE_SYSTEM, "value": name}],
        "status": "inactive" if is_removed else "active",
        "deviceName": [{"name": name, "type": "user-friendly-name"}],
        **({"modelNumber": model} if model else {}),
        **({"patient": patient_reference(patient)} if patient else {}),
        **({"location": {"display": ward}} if ward else {}),
    }


def operation_outcome(code: str, text: str) -> Resource:
    """Return an OperationOutcome with one error. `code`: of hl7.org/fhir/R4/valueset-issue-type.html."""
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def patient_reference(number: str) -> Resource:
    """Return a Reference to a Patient."""
    return {"reference": f"Patient/{patient_id(number)}"}


def instant(moment: datetime) -> str:
    """Return a time in UTC, to the microsecond if it has any."""
    return moment.astimezone(UTC).isoformat()[:-6] + "Z"


def _value(reading: Measured, sign: Sign) -> Resource:
    value = reading.values.get(sign.key)
    if value is None:
        reason = "not-performed" if sign.key in reading.sensor_off else "unknown"
        return {"dataAbsentReason": {"coding": [{"system": ABSENT, "code": reason}]}}
    number = int(value) if value.is_integer() else value
    return {"valueQuantity": {"value": number, "unit": sign.unit, "system": UCUM, "code": sign.unit}}


def _meta(changed_at: datetime | None) -> Resource:
    return {} if changed_at is None else {"meta": {"lastUpdated": instant(changed_at)}}


def _unknown() -> Resource:
    return {"extension": [{"url": ABSENT_EXTENSION, "valueCode": "unknown"}]}
