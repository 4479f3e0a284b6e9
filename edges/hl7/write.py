"""Write HL7 v2 segments in the ER7 encoding with the usual separators: what all messages of ours share. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edges.config.site import Site
from edges.hl7.er7 import Separators

_SEPARATORS = Separators()
MDC_NAMES = {  # of ISO/IEEE 11073-10101, by code
    147842: "MDC_ECG_HEART_RATE",
    150456: "MDC_PULS_OXIM_SAT_O2",
    151562: "MDC_RESP_RATE",
    150364: "MDC_TEMP_BODY",
    150021: "MDC_PRESS_BLD_NONINV_SYS",
    150022: "MDC_PRESS_BLD_NONINV_DIA",
    150023: "MDC_PRESS_BLD_NONINV_MEAN",
}
APPLICATION = "VITALFLOW"
"""MSH-3 of what VitalFlow exports."""
MONITOR = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a message states about its sender, its bed and the number of its patient.

    authority   of the number, CX.4
    location    PV1-3 as it is sent, instead of unit, room, bed and facility
    """

    application: str
    unit: str
    bed: str
    authority: str = ""
    room: str = ""
    facility: str = ""
    location: str = ""


def find_origin(site: Site, application: str, ward: str, device: str) -> Origin:
    """Return the origin of a device's messages: its first place in the site, else ward and device as unit and bed."""
    authority = next((name for name in site.patients.authority if name), "")
    for place in site.place:
        if (place.ward, place.device) != (ward, device):
            continue
        if place.location is not None:
            return Origin(application, "", "", authority, location=place.location)
        if place.unit is not None or place.room is not None or place.bed is not None:
            parts = (place.room or "", place.facility or "")
            return Origin(application, place.unit or "", place.bed or "", authority, *parts)
    return Origin(application, ward, device, authority)


def write_message(segments: Iterable[str]) -> bytes:
    """Return the message of these segments, in UTF-8."""
    return "".join(f"{segment}\r" for segment in segments).encode("utf-8", "replace")


def write_segment(name: str, fields: Mapping[int, str]) -> str:
    """Return a segment with these fields, by number; the texts are escaped already."""
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def write_header(
    origin: Origin, kind: str, control_id: str, profile: str, now: datetime, *, accept: str, application: str
) -> str:
    """Return MSH.

    kind                  MSH-9, such as ORU^R01^ORU_R01
    accept, application   MSH-15 and MSH-16, which acknowledgements are wanted
    now                   the time of the message, with an offset
    """
    fields = {3: escape(origin.application), 7: write_time(now), 9: kind, 10: escape(control_id), 11: "P", 12: "2.6"}
    fields |= {15: accept, 16: application, 18: "UNICODE UTF-8", 21: profile}
    return f"MSH|^~\\&|{write_segment('', {number - 2: text for number, text in fields.items()})[1:]}"


def write_patient(patient: str | None, origin: Origin) -> list[str]:
    """Return PID and PV1."""
    number = f"{escape(patient)}^^^{escape(origin.authority)}" if patient else ""
    parts = (origin.unit, origin.room, origin.bed, origin.facility)
    location = origin.location or "^".join(map(escape, parts)).rstrip("^")
    return [f"PID|||{number}", f"PV1||I|{location}"]


def escape(text: str) -> str:
    """Return `text` as one subcomponent."""
    return _SEPARATORS.escape_text(text)


def write_time(moment: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03}+0000"
