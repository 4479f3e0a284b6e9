"""Write readings as an observation report (ORU^R01) of the IHE profile DEC, transaction PCD-01. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edges.hl7.write import (
    MDC_NAMES,
    MONITOR,
    Origin,
    escape,
    write_header,
    write_message,
    write_patient,
    write_segment,
    write_time,
)
from vitals.reading import Reading
from vitals.signs import SIGNS, Sign

PROFILE = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
_UNITS = [sign.unit for sign in SIGNS]


@dataclass(frozen=True, slots=True)
class Measured:
    """A sign at a time; without a value its sensor is off."""

    sign: Sign
    value: float | None
    time: datetime


def measured_signs(reading: Reading) -> list[Measured]:
    """Return what a reading states: its values, and the signs whose sensor is off."""
    return [
        Measured(sign, value, reading.time)
        for sign, value in zip(SIGNS, reading.values, strict=True)
        if value is not None or sign.key in reading.sensor_off
    ]


def write_report(reading: Reading, origin: Origin, control_id: str, now: datetime) -> bytes:
    """Return the message for a reading. A sign whose sensor is off has OBX-11 X and no value.

    now   the time of the message, with an offset
    """
    return write_observations(measured_signs(reading), reading.patient_id, reading.time, origin, control_id, now)


def write_observations(
    measured: Sequence[Measured], patient: str | None, time: datetime, origin: Origin, control_id: str, now: datetime
) -> bytes:
    """Return the message for the signs of one patient, each with its time in OBX-14.

    time   of the message's newest value
    """
    order = f"{escape(control_id)}^{escape(origin.application)}"
    segments = [
        write_header(origin, "ORU^R01^ORU_R01", control_id, PROFILE, now, accept="NE", application="AL"),
        *write_patient(patient, origin),
        write_segment("OBR", {1: "1", 3: order, 4: "182777000^monitoring of patient^SCT", 7: write_time(time)}),
        write_segment("OBX", {1: "1", 3: MONITOR, 4: "1.0.0.0", 11: "X"}),
    ]
    for number, item in enumerate(measured, 2):
        sign, value = item.sign, item.value
        fields = {
            1: f"{number}",
            2: "NM",
            3: f"{sign.mdc}^{MDC_NAMES.get(sign.mdc, '')}^MDC",
            4: f"1.{_UNITS.index(sign.unit) + 1}.1.{sign.mdc}",  # both pressures have one channel
            5: "" if value is None else f"{value:.{sign.decimals}f}",
            6: f"{escape(sign.unit)}^{escape(sign.unit)}^UCUM",
            11: "X" if value is None else "R",
            14: write_time(item.time),
        }
        segments.append(write_segment("OBX", fields))
    return write_message(segments)
