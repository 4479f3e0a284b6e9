"""Write a reading as an observation report (ORU^R01) of the IHE profile DEC, transaction PCD-01. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from edges.hl7.er7 import Separators
from vitals.reading import Reading
from vitals.signs import SIGNS

PROFILE = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
_MONITOR = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC"
_NAMES = {  # of ISO/IEEE 11073-10101, by code
    147842: "MDC_ECG_HEART_RATE",
    150456: "MDC_PULS_OXIM_SAT_O2",
    151562: "MDC_RESP_RATE",
    150364: "MDC_TEMP_BODY",
    150021: "MDC_PRESS_BLD_NONINV_SYS",
    150022: "MDC_PRESS_BLD_NONINV_DIA",
}
_UNITS = [sign.unit for sign in SIGNS]
_SEPARATORS = Separators()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a report states about its sender, its bed and the number of its patient.

    authority   of the number, CX.4
    """

    application: str
    unit: str
    bed: str
    authority: str = ""


def write_report(reading: Reading, origin: Origin, control_id: str, now: datetime) -> bytes:
    """Return the message for a reading. A sign whose sensor is off has OBX-11 X and no value.

    now   the time of the message, with an offset
    """
    time = _time(reading.time)
    patient = f"{_text(reading.patient_id)}^^^{_text(origin.authority)}" if reading.patient_id else ""
    segments = [
        f"MSH|^~\\&|{_text(origin.application)}||||{_time(now)}||ORU^R01^ORU_R01|{_text(control_id)}|P|2.6|||NE|AL||"
        f"UNICODE UTF-8|||{PROFILE}",
        f"PID|||{patient}",
        f"PV1||I|{_text(origin.unit)}^^{_text(origin.bed)}",
        f"OBR|1||{_text(control_id)}^{_text(origin.application)}|182777000^monitoring of patient^SCT|||{time}",
        f"OBX|1||{_MONITOR}|1.0.0.0|||||||X",
    ]
    for sign, value in zip(SIGNS, reading.values, strict=True):
        if value is None and sign.key not in reading.sensor_off:
            continue
        code = f"{sign.mdc}^{_NAMES.get(sign.mdc, '')}^MDC"
        place = f"1.{_UNITS.index(sign.unit) + 1}.1.{sign.mdc}"  # both pressures have one channel
        unit = f"{_text(sign.unit)}^{_text(sign.unit)}^UCUM"
        shown, status = ("", "X") if value is None else (f"{value:.{sign.decimals}f}", "R")
        segments.append(f"OBX|{len(segments) - 3}|NM|{code}|{place}|{shown}|{unit}|||||{status}|||{time}")
    return "".join(f"{segment}\r" for segment in segments).encode()


def _text(text: str) -> str:
    return _SEPARATORS.escape_text(text)


def _time(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03}+0000"
