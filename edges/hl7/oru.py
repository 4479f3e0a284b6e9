"""Read an observation report (ORU^R01): its patients, places and moments, and what its observations are.

The last step of the path of a message: segments -> `read_report` -> readings, each with its device. Segments are read
in their order; the structures of the versions are not enforced, because senders deviate from them.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property, lru_cache

from edges.config.code_tables import Code
from edges.config.places import Location, PlacedReading, place_or_problem
from edges.config.site import Place, Site, Source
from edges.hl7.acks import Error, Outcome
from edges.hl7.er7 import Message, Segment, Separators, component_of, element_of, value_of
from edges.hl7.origin import NULL, application_of, location_of, patient_number
from edges.hl7.times import parse_offset, parse_time
from edges.observations.episodic import CONTINUOUS, NONE, Episode, History, Measured
from edges.observations.observed import ALERT, Observation, Reason, Verdict, decide
from edges.observations.quantities import another_quantity
from edges.observations.time_of_receipt import find_time_ahead
from vitals.codec import MAX_AHEAD
from vitals.local_time import InvalidTime

_OBSERVATIONS = "ORU"
_EVENTS = ("R01", "R30", "R31", "R32")  # R30 to R32: of a point of care, whose order does not exist yet
_NO_RESULT = frozenset(("O", "I", "S", "X", "Y", "Z", "D", "W"))  # OBR-25 (table 0123): ordered, cancelled ...
_LABORATORY = frozenset(("BG", "CH", "CP", "HM", "IMM", "LAB", "MB", "SP", "TX"))  # OBR-24 (table 0074)
_ALARM = ("196616", "MDC_EVT_ALARM")  # OBR-4 of a report of an alert
_TREND = frozenset(("trend",))  # word of a report of values of the time without a connection
_SETTINGS = frozenset(("SETTING", "CONFIGURATION", "MSET", "ASET"))  # OBX-13 of Philips, OBX-17 of PCD-01
_NO_FLAGS: frozenset[str] = frozenset()
_WHOLE = {("ORU", "R40"): Reason.ALERT, ("ORU", "W01"): Reason.WAVEFORM}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message.

    outcome, error   for its acknowledgement
    episodes         values that the monitor may repeat, for `History.add` after the readings are kept
    measured         continuous signs that have a value, for the same
    """

    outcome: Outcome
    error: Error | None = None
    source: str = ""
    readings: list[PlacedReading] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of observations by reason; the sum is the number of OBX segments."""
        return dict(sorted(Counter(verdict.reason.value for verdict in self.verdicts).items()))


@dataclass(slots=True)
class _Group:
    """The segments of one patient, and what they say of it.

    observations   number of the segment, OBX, and its OBR
    location       an unknown place, which a later configuration may name
    problem        why no place is usable
    """

    pid: Segment | None = None
    pv1: Segment | None = None
    equipment: set[str] = field(default_factory=set)
    observations: list[tuple[int, Segment, Segment | None]] = field(default_factory=list)
    patient: str | None = None
    place: Place | None = None
    location: Location | None = None
    problem: str = ""


def read_report(message: Message, site: Site, received: datetime, known: History = NONE) -> Report:
    """Return the readings of a message, a verdict on each of its observations, and the outcome.

    received   the time of receipt, with an offset
    known      what was measured before
    """
    header = message.header
    kind, event = header.text(9), header.text(9, 2)
    if kind == _OBSERVATIONS and not event and header.text(9, 3) in ("", "ORU_R01"):
        event = "R01"  # of senders that follow HL7 2.2: the only event of the type then
    if not re.fullmatch(r"[A-Z]{3}", kind):
        text = f"MSH-9 is {header.raw(9)[:40]!a}, no type such as ORU^R01; a field may be missing before it"
        return Report(Outcome.ERROR, Error(101, text))
    whole = _WHOLE.get((kind, event))
    if kind != _OBSERVATIONS or (event not in _EVENTS and whole is None):
        text = f"messages of the type {header.raw(9)[:40]!a} are not read; ORU^R01 is"
        return Report(Outcome.REJECT, Error(200, text))
    if not header.text(10):
        return Report(Outcome.REJECT, Error(101, "MSH-10, the control id, is empty"))
    source = site.find_source(application_of(header), header.text(4))
    if whole is None and header.text(11) not in site.production:
        whole = Reason.NOT_PRODUCTION
    report = Report(Outcome.ACCEPT, source=source.name)
    groups = [group for group in _groups(message) if group.observations]
    for group in groups:
        group.patient = patient_number(group.pid, 3, site.patients)
        location = location_of(header, group.pv1, 3, group.equipment)
        group.place, group.location, problem = place_or_problem(site, location)
        group.problem = problem or group.problem
    for group in groups:
        if group.place and any(_clash(group, other) for other in groups):
            group.problem = f"the message has several patients at {group.place.ward}/{group.place.device}"
    clock = _Clock(header, site.tz, source.clock == "receipt", received)
    for group in _merged(groups):
        _read_group(group, clock, source, whole, report, known)
    return report


def _merged(groups: list[_Group]) -> list[_Group]:
    """Return the groups, those of one patient at one place as one: a sender may repeat PID before each report."""
    merged: dict[object, _Group] = {}
    for group in groups:
        usable = group.place is not None and not group.problem and (group.patient is not None or group.pid is None)
        key = (group.place.device, group.patient) if usable and group.place else id(group)
        if merged.setdefault(key, group) is not group:
            merged[key].observations += group.observations
    return list(merged.values())


def _clash(first: _Group, second: _Group) -> bool:
    """Whether two groups are of one device and not of one patient."""
    if first.place is None or second.place is None or first.place.device != second.place.device:
        return False
    return first.pid is not second.pid and (first.patient is None or first.patient != second.patient)


def _read_group(
    group: _Group, clock: "_Clock", source: Source, whole: Reason | None, report: Report, known: History
) -> None:
    segments = {id(obr): obr for _, _, obr in group.observations}
    orders = {key: _Order.read(obr) for key, obr in segments.items()}
    observations = [_observation(number, obx, obr, clock, orders[id(obr)]) for number, obx, obr in group.observations]
    if whole is not None:
        report.verdicts.extend(Verdict(observation, whole) for observation in observations)
        return
    place = None if group.problem else group.place

    def is_repeat(observation: Observation, sign: str, value: float) -> bool:
        by_change = source.episodic_without_time == "change"
        if place is None or sign in CONTINUOUS or not (observation.own_time or by_change):
            return False
        time = observation.time if observation.own_time else None
        episode = Episode(place.ward, place.device, sign, time, value)
        report.episodes.append(episode)
        return episode in known

    def had_value(sign: str) -> bool:
        return place is None or known.had_value(Measured(place.ward, place.device, sign, group.patient))

    readings, verdicts = decide(observations, source.table, group.patient, is_repeat, had_value)
    ward, device, problem = None, None, group.problem
    if group.place is not None and not problem:
        ward, device = group.place.ward, group.place.device
        signs = {sign for reading in readings for sign in CONTINUOUS if reading.value(sign) is not None}
        report.measured.extend(Measured(ward, device, sign, group.patient) for sign in sorted(signs))
    else:
        verdicts = [verdict.without_place(problem) for verdict in verdicts]
    report.readings.extend(PlacedReading(reading, ward, device, problem, group.location) for reading in readings)
    report.verdicts.extend(verdicts)


def _groups(message: Message) -> list[_Group]:
    """Return the patients of a message: each PID begins one, and a PV1 belongs to the PID before it."""
    groups = [_Group()]
    order: Segment | None = None
    for number, segment in enumerate(message.segments, 1):
        group = groups[-1]
        match segment.name:
            case "PID":
                order = None
                groups.append(_Group(segment))
            case "PV1":
                if group.pv1 is not None:
                    order = None
                    is_unclear = not group.observations and group.pv1.raw(3) != segment.raw(3)
                    groups.append(following := _Group(group.pid))
                    if is_unclear or (group.problem and not group.observations):
                        following.problem = "the patient has two places (PV1-3)"
                    group = following
                group.pv1 = segment
            case "OBR":
                order = segment
            case "OBX":
                group.observations.append((number, segment, order))
                for text in segment.repetitions(18):
                    group.equipment |= {component_of(text, segment.separators, part) for part in (1, 3)} - {""}
    return groups


class _Clock:
    """The times of observations: OBX-14, that of the header of the device's part, OBR-7, MSH-7."""

    def __init__(self, header: Segment, zone: tzinfo, by_receipt: bool, received: datetime) -> None:
        self._header = _stated(header, 7)
        self._zone = parse_offset(self._header) or zone
        self._by_receipt = by_receipt
        self._received = received
        self._parts: dict[tuple[int, str], str] = {}  # OBR and OBX-4 without trailing zeros -> OBX-14
        self._read: dict[str, tuple[datetime | None, str]] = {}

    def time_of(self, obx: Segment, obr: Segment | None) -> tuple[datetime | None, str, bool]:
        """Return the time of an observation, or None and the reason; and whether it is its own."""
        own = _stated(obx, 14) if obx.raw(14) else ""
        if own and not obx.raw(2) and (channel := _part(obx)):
            self._parts[id(obr), channel] = own
        if self._by_receipt:
            return self._received, "", False
        own = own or (self._of_part(obr, _part(obx)) if self._parts else "")
        text = own or (_stated(obr, 7) if obr else "") or self._header
        if text not in self._read:
            self._read[text] = self._parse(text)
        return *self._read[text], bool(own)

    def _parse(self, text: str) -> tuple[datetime | None, str]:
        if not text:
            return None, "neither OBX-14 nor OBR-7 nor MSH-7 states a time"
        try:
            time = parse_time(text, self._zone, self._received)
        except InvalidTime as error:
            return None, str(error)
        if problem := find_time_ahead(time, self._received, f"{text[:40]!a}"):
            return (time, "") if self._is_ahead else (None, problem)
        return time, ""

    @cached_property
    def _is_ahead(self) -> bool:
        """Whether all of the sender's clock is ahead. It is for alerts and ingest to judge, as that of a device is."""
        try:
            return not self._header or parse_time(self._header, self._zone, self._received) > self._received + MAX_AHEAD
        except InvalidTime:
            return False

    def _of_part(self, obr: Segment | None, channel: str) -> str:
        while channel:
            if text := self._parts.get((id(obr), channel)):
                return text
            channel = channel.rpartition(".")[0]
        return ""


def _part(obx: Segment) -> str:
    return re.sub(r"(\.0+)+$", "", obx.text(4))


def _stated(segment: Segment, field: int) -> str:
    """Return a time, empty for one that states that there is none: null, or zeros. Several are no time."""
    text = segment.raw(field)
    if segment.separators.find_mark(text) and len(set(segment.repetitions(field))) < 2:
        text = segment.text(field)
    text = text.strip()
    return "" if text == NULL or not text.strip("0") else text


def _observation(number: int, obx: Segment, obr: Segment | None, clock: _Clock, order: "_Order") -> Observation:
    separators = obx.separators
    kind = obx.text(2).upper()
    values = tuple([value_of(text, separators) for text in obx.repetitions(5)])
    if kind == "SN" and (number_of_sn := _number_of_sn(obx)):
        kind, values = "NM", (number_of_sn,)
    elif not kind and any(values):
        kind = "NM"  # a sender that leaves the type out; a value that is no plain number is none
    if order.is_alert:
        kind = ALERT
    time, problem, own_time = clock.time_of(obx, obr)
    unit, other_unit = _codes(obx.raw(6), separators)
    code, channel, site = obx.raw(3), obx.raw(4), obx.raw(20)
    return Observation(
        segment=number,
        codes=_codes(code, separators),
        kind=kind,
        values=values,
        unit=unit,
        other_unit=other_unit,
        flags=_flags(obx),
        status=obx.raw(11).strip().upper(),
        time=time,
        time_problem=problem,
        channel=obx.text(4),
        absent=order.absent or _another_quantity(code, channel, obx.raw(17), site),
        site=f"{code} {channel} {site}",
        own_time=own_time,
    )


@dataclass(frozen=True, slots=True)
class _Order:
    """What an OBR states of its observations.

    absent   why they are no measurements; empty if it states nothing of that kind
    """

    is_alert: bool = False
    absent: str = ""

    @classmethod
    def read(cls, obr: Segment | None) -> "_Order":
        """Return what an OBR states; None for observations without one."""
        if obr is None:
            return cls()
        absent = _another_quantity(obr.raw(4))
        if any(obr.fields[15:]):
            status = obr.text(25).upper()
            if status in _NO_RESULT:
                absent = f"the status of its report (OBR-25) is {status}"
            elif obr.raw(15) or obr.text(24).upper() in _LABORATORY:
                absent = "it is of a specimen (OBR-15, OBR-24), not of the patient at this moment"
        is_alert = not {obr.text(4), obr.text(4, 2)}.isdisjoint(_ALARM)
        return cls(is_alert, absent)


@lru_cache(maxsize=4096)  # a sender repeats them in every message
def _another_quantity(*texts: str) -> str:
    return another_quantity(texts, _TREND)


def _flags(obx: Segment) -> frozenset[str]:
    """Return what qualifies the value: OBX-8, and the fields beside it, for senders that shift them."""
    fields = obx.fields
    if not any(fields[8:11] + fields[12:14] + fields[17:18]):
        return _NO_FLAGS
    texts = [
        component_of(text, obx.separators, 1) or component_of(text, obx.separators, 2) for text in obx.repetitions(8)
    ]
    texts += [obx.text(field) for field in (9, 10, 12)]
    flags = {part.upper() for text in texts for part in re.findall(r"\w+|[<>]", text)}
    access = obx.text(13).upper()
    methods = {component_of(text, obx.separators, 1).upper() for text in obx.repetitions(17)}
    if access in _SETTINGS or methods & _SETTINGS:
        flags.add("SETTING")
    return frozenset(flags)


def _number_of_sn(obx: Segment) -> str:
    """Return the number of a structured numeric value (type SN) that states one exactly; empty for any other."""
    if len(obx.repetitions(5)) != 1:
        return ""
    comparator, number, separator, other = (obx.text(5, component) for component in range(1, 5))
    return number if comparator in ("", "=") and not separator and not other else ""


@lru_cache(maxsize=4096)  # a sender repeats its codes and units in every message
def _codes(field: str, separators: Separators) -> tuple[Code, Code]:
    """Return code and alternate code of a field; one with repetitions is no code, since two could be meant."""
    segment = Segment(("", field), separators)
    if len(segment.repetitions(1)) > 1:
        return Code(field, "", ""), Code(field, "", "")
    parts = [element_of(field, separators, component) for component in range(1, 7)]
    return Code(*parts[:3]), Code(*parts[3:])
