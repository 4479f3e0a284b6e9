"""Read an admission message (ADT): which patient is admitted, moved, discharged, updated or merged, and where.

An ADT feed sends many events that concern no bed. They are accepted, with a reason, because a sender stops its queue at
a message that is rejected. Names and dates of birth are read for the age group only, and leave this module nowhere.
"""

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum

from msgspec import structs

from edges.admissions.admissions import AdmissionEvent
from edges.config.places import UnclearPlace, UnknownPlace, find_place
from edges.config.site import Site, Source
from edges.hl7.acks import Error, Outcome
from edges.hl7.er7 import Message, Segment
from edges.hl7.origin import NULL, application_of, location_of, patient_number
from edges.hl7.times import parse_offset, parse_time
from edges.observations.time_of_receipt import find_time_ahead
from vitals.age import age_group
from vitals.assignment import Profile
from vitals.local_time import InvalidTime
from vitals.reading import MAX_TEXT
from vitals.topics import DeviceAddress

_ADMIT, _TRANSFER, _DISCHARGE, _UPDATE, _MERGE = (
    frozenset({"A01", "A04", "A13"}),  # A04 registers an outpatient; A13 cancels a discharge: PV1-3 is where again
    # A06 and A07 change between outpatient and inpatient; A12 cancels a transfer: PV1-3 is where the patient is
    frozenset({"A02", "A06", "A07", "A12"}),
    frozenset({"A03", "A11"}),  # A11 cancels an admission
    frozenset({"A08", "A31"}),
    # A18, A30, A34 and A36 are those of versions before 2.3.1, A46 and A47 change a number
    frozenset({"A18", "A30", "A34", "A36", "A40", "A46", "A47"}),
)
_SWAP = "A17"  # of two patients: each one's PV1-3 is where the patient is now
EVENTS = _ADMIT | _TRANSFER | _DISCHARGE | _UPDATE | _MERGE | {_SWAP}
_DATE = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:\d{2,6}(?:\.\d{1,4})?(?:[+-]\d{4})?)?", re.ASCII)


class AdmissionReason(StrEnum):
    """What became of the event of a message."""

    USED = "used"
    NOT_READ = "not_read"  # another event than EVENTS
    NOT_PRODUCTION = "not_production"
    NOT_PERMITTED = "not_permitted"  # the site does not list the sender as one of admissions
    NO_PATIENT = "no_patient"  # no number of the site's authorities, or several
    NO_FORMER_PATIENT = "no_former_patient"  # of a merge
    NO_PLACE = "no_place"
    UNKNOWN_PLACE = "unknown_place"
    NO_TIME = "no_time"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class AdmissionVerdict:
    """What became of one event, and for which reason in a sentence; empty where the reason says all.

    name   of the event, such as A01
    """

    name: str
    reason: AdmissionReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AdmissionReport:
    """What became of an ADT message; `outcome` and `error` are for its acknowledgement."""

    outcome: Outcome
    error: Error | None = None
    source: str = ""
    events: Sequence[AdmissionEvent] = ()
    verdicts: Sequence[AdmissionVerdict] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of events by reason."""
        return dict(sorted(Counter(verdict.reason.value for verdict in self.verdicts).items()))


class _Unusable(Exception):
    def __init__(self, reason: AdmissionReason, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def is_admission(message: Message) -> bool:
    """Return whether it is an ADT message."""
    return message.header.text(9) == "ADT"


def read_admission(message: Message, site: Site, received: datetime) -> AdmissionReport:
    """Return the events of an ADT message, a verdict on each, and the outcome.

    received   the time of receipt, with an offset
    """
    header = message.header
    if not header.text(10):
        return AdmissionReport(Outcome.REJECT, Error(101, "MSH-10, the control id, is empty"))
    source = site.find_source(application_of(header), header.text(4))
    name = (header.text(9, 2) or _first(message, "EVN").text(1)).encode("ascii", "replace").decode()[:20]
    events: list[AdmissionEvent] = []
    verdicts: list[AdmissionVerdict] = []
    patients = _patients(message) if name in _MERGE | {_SWAP} else [message.segments]
    for patient in patients:
        try:
            event = _event(name, message, patient, site, source, received)
        except _Unusable as unusable:
            verdicts.append(AdmissionVerdict(name, unusable.reason, unusable.detail))
        else:
            events.append(event)
            detail = "" if event.profile or event.kind == "discharge" else "the date of birth is not known"
            verdicts.append(AdmissionVerdict(name, AdmissionReason.USED, detail))
    if name == _SWAP:
        if len(events) == len(patients) == 2:
            events, verdicts = [structs.replace(events[0], other=events[1])], verdicts[:1]
        elif events:
            detail = f"{len(patients)} patients, of whom {len(events)} can be moved; a swap is of two"
            verdicts = [
                AdmissionVerdict(name, AdmissionReason.CONTRADICTION, detail) if verdict.reason == "used" else verdict
                for verdict in verdicts
            ]
            events = []
    return AdmissionReport(Outcome.ACCEPT, None, source.name, events, verdicts)


def _event(
    name: str, message: Message, patient: Sequence[Segment], site: Site, source: Source, received: datetime
) -> AdmissionEvent:
    header, evn = message.header, _first(message, "EVN")
    if name not in EVENTS:
        raise _Unusable(AdmissionReason.NOT_READ)
    if header.text(11) not in site.production:
        raise _Unusable(AdmissionReason.NOT_PRODUCTION)
    if not source.admissions:
        raise _Unusable(AdmissionReason.NOT_PERMITTED, "the site lists no [[source]] of this sender with admissions")
    if evn.text(1) not in ("", name):
        raise _Unusable(AdmissionReason.CONTRADICTION, f"MSH-9 states {name}, and EVN-1 {evn.text(1)[:20]!a}")
    pid, pv1 = _only(patient, "PID"), _only(patient, "PV1")
    number = patient_number(pid, 3, site.patients)
    if number is None:
        raise _Unusable(AdmissionReason.NO_PATIENT, "PID-3 has not one number of the site's authorities")
    time = _time(header, evn, site.tz, source, received)
    profile = _age_group(pid.text(7) if pid else "", time.astimezone(site.tz).date())
    by = f"hl7:{source.name}"[:MAX_TEXT]
    if name in _MERGE:
        former = patient_number(_only(patient, "MRG"), 1, site.patients)
        if former is None:
            detail = "MRG-1 has not one number of the site's authorities"
            raise _Unusable(AdmissionReason.NO_FORMER_PATIENT, detail)
        return AdmissionEvent(
            kind="merge", time=time, by=by, patient_id=number, former_patient_id=former, profile=profile
        )
    if name in _UPDATE:
        return AdmissionEvent(kind="update", time=time, by=by, patient_id=number, profile=profile)
    if name in _TRANSFER or name == _SWAP:
        former_bed = _bed_before(header, pv1, site)
        bed = _bed(header, pv1, site, may_be_unknown=former_bed is not None)
        return AdmissionEvent(
            kind="transfer", time=time, by=by, patient_id=number, profile=profile, bed=bed, former_bed=former_bed
        )
    bed = _bed(header, pv1, site)
    if name in _DISCHARGE:
        return AdmissionEvent(kind="discharge", time=time, by=by, patient_id=number, bed=bed)
    return AdmissionEvent(kind="admit", time=time, by=by, patient_id=number, profile=profile, bed=bed)


def _patients(message: Message) -> list[list[Segment]]:
    """Return the segments of each patient of a merge: each PID begins one."""
    groups: list[list[Segment]] = [[]]
    for segment in message.segments:
        if segment.name == "PID" and any(other.name == "PID" for other in groups[-1]):
            groups.append([])
        groups[-1].append(segment)
    return groups


def _first(message: Message, name: str) -> Segment:
    """Return the first segment of a name; an empty one without it."""
    empty = Segment((name,), message.header.separators)
    return next((segment for segment in message.segments if segment.name == name), empty)


def _only(segments: Sequence[Segment], name: str) -> Segment | None:
    found = [segment for segment in segments if segment.name == name]
    if len(found) > 1:
        raise _Unusable(AdmissionReason.CONTRADICTION, f"{len(found)} segments {name}: which one is meant is unclear")
    return found[0] if found else None


def _states_place(pv1: Segment | None, field: int) -> bool:
    if pv1 is None:
        return False
    return bool(pv1.raw(field).replace(NULL, "").strip(pv1.separators.component + pv1.separators.subcomponent + " "))


def _bed(header: Segment, pv1: Segment | None, site: Site, *, may_be_unknown: bool = False) -> DeviceAddress | None:
    """Return the bed in PV1-3; None for a place without a monitor, if that is enough to know."""
    if not _states_place(pv1, 3):
        raise _Unusable(AdmissionReason.NO_PLACE, "PV1-3 states no place")
    try:
        return _address(header, pv1, 3, site)
    except UnknownPlace as error:
        if may_be_unknown and not isinstance(error, UnclearPlace):
            return None
        raise _Unusable(AdmissionReason.UNKNOWN_PLACE, str(error)) from None


def _bed_before(header: Segment, pv1: Segment | None, site: Site) -> DeviceAddress | None:
    try:
        return _address(header, pv1, 6, site) if _states_place(pv1, 6) else None
    except UnknownPlace:
        return None


def _address(header: Segment, pv1: Segment | None, field: int, site: Site) -> DeviceAddress:
    place = find_place(site, location_of(header, pv1, field))
    return DeviceAddress(place.ward, place.device)


def _time(header: Segment, evn: Segment, zone: tzinfo, source: Source, received: datetime) -> datetime:
    """Return when the event was recorded, at most `received`: EVN-2, else MSH-7."""
    if source.clock == "receipt":
        return received
    text = evn.text(2) or header.text(7)
    try:
        time = parse_time(text, parse_offset(header.text(7)) or zone, received)
    except InvalidTime as error:
        raise _Unusable(AdmissionReason.NO_TIME, str(error)) from None
    if problem := find_time_ahead(time, received, f"{text[:40]!a}"):
        raise _Unusable(AdmissionReason.NO_TIME, problem)
    return min(time, received)


def _age_group(text: str, today: date) -> Profile | None:
    """Return the age group of a date of birth; of one without month or day, the last possible date counts."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = (int(part) if part else 0 for part in match.groups())
    try:
        last = date(year, month or 12, day or monthrange(year, month or 12)[1])
    except ValueError:
        return None
    return age_group(last if day else min(last, today), today) if year <= today.year else None
