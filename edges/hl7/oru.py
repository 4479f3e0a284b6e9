"""Read an observation report (ORU^R01): its patients, places and moments, and what its observations are.

The last step of the path of a message: segments -> `read_report` -> readings, each with its device. Segments are read
in their order; the structures of the versions are not enforced, because senders deviate from them.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from edges.code_tables import Code
from edges.hl7.acks import Error, Outcome
from edges.hl7.er7 import Message, Segment, component_of, value_of
from edges.hl7.origin import NULL, application_of, location_of, patient_number
from edges.hl7.times import InvalidTime, parse_offset, parse_time
from edges.observed import Observation, Reason, Verdict, decide
from edges.places import Location, PlacedReading, UnclearPlace, UnknownPlace, find_place
from edges.site import Place, Site, Source
from vitals.codec import MAX_AHEAD

_OBSERVATIONS = "ORU"
_SETTINGS = frozenset(("SETTING", "CONFIGURATION", "MSET", "ASET"))  # OBX-13 of Philips, OBX-17 of PCD-01
_WHOLE = {("ORU", "R40"): Reason.ALERT, ("ORU", "W01"): Reason.WAVEFORM}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message.

    outcome, error   for its acknowledgement
    """

    outcome: Outcome
    error: Error | None = None
    source: str = ""
    readings: list[PlacedReading] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

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


def read_report(message: Message, site: Site, received: datetime) -> Report:
    """Return the readings of a message, a verdict on each of its observations, and the outcome.

    received   the time of receipt, with an offset
    """
    header = message.header
    kind, event = header.text(9), header.text(9, 2)
    if not re.fullmatch(r"[A-Z]{3}", kind):
        text = f"MSH-9 is {header.raw(9)[:40]!a}, no type such as ORU^R01; a field may be missing before it"
        return Report(Outcome.ERROR, Error(101, text))
    whole = _WHOLE.get((kind, event))
    if kind != _OBSERVATIONS or (event != "R01" and whole is None):
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
        try:
            group.place = find_place(site, location := location_of(header, group.pv1, 3, group.equipment))
        except UnclearPlace as error:
            group.problem = str(error)
        except UnknownPlace as error:
            group.problem, group.location = str(error), location
    for group in groups:
        if group.place and any(_clash(group, other) for other in groups):
            group.problem = f"the message has several patients at {group.place.ward}/{group.place.device}"
    clock = _Clock(header, site.tz, source.clock == "receipt", received)
    for group in groups:
        _read_group(group, clock, source, whole, report)
    return report


def _clash(first: _Group, second: _Group) -> bool:
    """Whether two groups are of one device and not of one patient."""
    if first.place is None or second.place is None or first.place.device != second.place.device:
        return False
    return first.pid is not second.pid and (first.patient is None or first.patient != second.patient)


def _read_group(group: _Group, clock: "_Clock", source: Source, whole: Reason | None, report: Report) -> None:
    observations = [_observation(*item, clock) for item in group.observations]
    if whole is not None:
        report.verdicts.extend(Verdict(observation, whole) for observation in observations)
        return
    readings, verdicts = decide(observations, source.table, group.patient)
    ward, device, problem = None, None, group.problem
    if group.place is not None and not problem:
        ward, device = group.place.ward, group.place.device
    else:
        verdicts = [
            Verdict(verdict.observation, Reason.UNKNOWN_PLACE, problem) if verdict.reason is Reason.USED else verdict
            for verdict in verdicts
        ]
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
                    groups.append(group := _Group(group.pid))
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
        self._header = _stated(header.text(7))
        self._zone = parse_offset(self._header) or zone
        self._by_receipt = by_receipt
        self._received = received
        self._parts: dict[tuple[int, str], str] = {}  # OBR and OBX-4 without trailing zeros -> OBX-14

    def time_of(self, obx: Segment, obr: Segment | None) -> datetime:
        """Return the time of an observation; raises InvalidTime."""
        own, channel = _stated(obx.text(14)), re.sub(r"(\.0+)+$", "", obx.text(4))
        if own and not obx.raw(2) and channel:
            self._parts[id(obr), channel] = own
        if self._by_receipt:
            return self._received
        text = own or self._of_part(obr, channel) or (_stated(obr.text(7)) if obr else "") or self._header
        if not text:
            raise InvalidTime("neither OBX-14 nor OBR-7 nor MSH-7 states a time")
        time = parse_time(text, self._zone, self._received)
        if time > self._received + MAX_AHEAD:
            raise InvalidTime(f"{text[:40]!a} is after the time of receipt; the sender's clock or the zone is wrong")
        return time

    def _of_part(self, obr: Segment | None, channel: str) -> str:
        while channel:
            if text := self._parts.get((id(obr), channel)):
                return text
            channel = channel.rpartition(".")[0]
        return ""


def _stated(text: str) -> str:
    """Return a time, empty for one that states that there is none: null, or zeros."""
    return "" if text == NULL or re.fullmatch(r"0+", text) else text


def _observation(number: int, obx: Segment, obr: Segment | None, clock: _Clock) -> Observation:
    time, problem = None, ""
    try:
        time = clock.time_of(obx, obr)
    except InvalidTime as error:
        problem = str(error)
    kind = obx.text(2).upper()
    values = tuple(value_of(text, obx.separators) for text in obx.repetitions(5))
    if kind == "SN" and (number_of_sn := _number_of_sn(obx)):
        kind, values = "NM", (number_of_sn,)
    return Observation(
        segment=number,
        codes=(_code(obx, 3, 1), _code(obx, 3, 4)),
        kind=kind,
        values=values,
        unit=_code(obx, 6, 1),
        other_unit=_code(obx, 6, 4),
        flags=_flags(obx),
        status=obx.raw(11).strip().upper(),
        time=time,
        time_problem=problem,
        channel=obx.text(4),
    )


def _flags(obx: Segment) -> frozenset[str]:
    """Return what qualifies the value: OBX-8, and the fields beside it, for senders that shift them."""
    texts = [component_of(text, obx.separators, 1) for text in obx.repetitions(8)]
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


def _code(obx: Segment, field: int, first: int) -> Code:
    """Return a code, or the alternate one; a field with repetitions is no code, since two could be meant."""
    if len(obx.repetitions(field)) > 1:
        return Code(obx.raw(field), "", "")
    return Code(obx.text(field, first), obx.text(field, first + 1), obx.text(field, first + 2))
