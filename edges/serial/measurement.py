"""What a decoder finds in the bytes of a port: a packet, a line or a moment of several lines. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from edges.observations.observed import Reason
from vitals.fields import format_number
from vitals.recording.choice import NO_RATE, NO_SATURATION
from vitals.signs import BY_KEY

OXIMETER = ("heart_rate", "spo2")
"""The signs of a pulse oximeter."""


class Unmeasured(Struct, frozen=True):
    """A sign that a device spoke of without a value that counts, in its own words, and why in a sentence."""

    sign: str
    text: str
    reason: Reason
    detail: str


class Measurement(Struct, frozen=True):
    """What a device said at one moment.

    values       sign -> value in the unit of `vitals.signs`
    sensor_off   signs whose sensor is off the patient
    clock        the device's own clock, which has no zone
    """

    values: Mapping[str, float]
    sensor_off: tuple[str, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    clock: datetime | None = None


class Decoder(Protocol):
    """Finds measurements in a stream of bytes, however it is divided."""

    @property
    def noise(self) -> int:
        """Number of bytes outside of packets and lines."""

    @property
    def damaged(self) -> int:
        """Number of packets and lines that are not whole, or contradict themselves."""

    def feed(self, data: bytes) -> list[Measurement]:
        """Return what is complete with these bytes."""

    def flush(self) -> list[Measurement]:
        """Return what is complete because the port was quiet after it."""


def measured(found: Mapping[str, float | None], clock: datetime | None = None) -> Measurement:
    """Return a measurement of signs; None, 0, and what no sensor can measure of a patient, is no value."""
    values: dict[str, float] = {}
    unmeasured: list[Unmeasured] = []
    if (found.get("spo2") or 0) > NO_SATURATION and NO_RATE <= (found.get("heart_rate") or 0) <= BY_KEY[
        "heart_rate"
    ].high:
        found = {**found, "heart_rate": None}
    for sign, value in found.items():
        problem = _find_problem(sign, value)
        if problem is None and value is not None:
            values[sign] = value
        elif problem is not None:
            unmeasured.append(Unmeasured(sign, "" if value is None else format_number(value), *problem))
    return Measurement(values, (), tuple(unmeasured), clock)


def _find_problem(sign: str, value: float | None) -> tuple[Reason, str] | None:
    if value is None:
        return Reason.NO_VALUE, "the device states that there is none"
    if value == 0:
        return Reason.NO_VALUE, "0 means that there is none"
    known = BY_KEY[sign]
    if not known.low <= value <= known.high:
        expected = f"{known.low:g} to {known.high:g} {known.unit}"
        return Reason.IMPLAUSIBLE, f"{sign} {format_number(value)} is outside {expected}"
    if known.unit == "%" and value <= 1:
        return Reason.IMPLAUSIBLE, f"{sign} {format_number(value)} % may be a fraction, or no measurement"
    return None


def without_value(detail: str, clock: datetime | None = None) -> Measurement:
    """Return a measurement of a device that states why it has no value."""
    return Measurement({}, (), tuple(Unmeasured(sign, "", Reason.NO_VALUE, detail) for sign in OXIMETER), clock)


def off(clock: datetime | None = None) -> Measurement:
    """Return the measurement of a pulse oximeter whose sensor is off the patient."""
    return Measurement({}, OXIMETER, (), clock)
