"""Decide what becomes of a document of FHIR: an Observation, a Bundle or NDJSON. Pure.

The path of a document: bytes -> `read_document` -> `decide_document`: the readings with their devices, a verdict on
each observation, and what the sender gets for each entry.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from edges.config.places import Location, PlacedReading, place_or_problem
from edges.config.site import Place, Site, Source
from edges.fhir.content import read_json, read_lines
from edges.fhir.observations import Part, parts_of
from edges.fhir.references import Resources, equipment_of, patient_of
from edges.observations.json_document import Element, InvalidDocument, object_of, text_of
from edges.observations.observed import Reason, Verdict, decide

_BUNDLES = ("batch", "transaction", "collection", "searchset", "message", "document")
_STORED = (Reason.USED, Reason.OTHER_SOURCE, Reason.UNKNOWN_PLACE)  # kept as a reading, or beside one
_REFERRED = ("Encounter", "Location", "Organization", "Practitioner", "PractitionerRole")  # by Observations
_CONTEXT = ("Patient", "Device", "DeviceMetric", "OperationOutcome", "MessageHeader", "Composition", *_REFERRED)
_WITHDRAWN = "entered-in-error"  # in one document it counts for the other versions of its resource too
MAX_ENTRIES = 10_000


class Outcome(StrEnum):
    """What became of a document, or of one of its entries."""

    STORED = "stored"  # readings
    NOTHING = "nothing"  # accepted, and no reading
    PARTLY = "partly"  # a batch with readings, and with entries that are refused
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a document.

    path    such as "entry 2"; empty: the document is one resource
    refusal why it is not read, a sentence
    """

    path: str
    resource: Element
    full_url: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """The entries of a document; `bundle` is the type of the Bundle, empty for a resource, "ndjson" for lines."""

    bundle: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an entry; `problem` is a sentence for the sender, `code` that of the issue."""

    outcome: Outcome
    problem: str = ""
    code: str = "informational"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a document.

    paths    number of an observation -> where it is
    answers  one for each entry
    """

    outcome: Outcome
    readings: Sequence[PlacedReading]
    verdicts: Sequence[Verdict]
    paths: Mapping[int, str]
    answers: Sequence[Answer]

    @property
    def counts(self) -> dict[str, int]:
        """Number of observations by reason."""
        return dict(sorted(Counter(verdict.reason.value for verdict in self.verdicts).items()))


@dataclass(slots=True)
class _Group:
    """The observations of one patient at one device.

    location   an unknown place, which a later configuration may name
    problem    why no place is usable
    """

    patient: str | None
    place: Place | None = None
    location: Location | None = None
    problem: str = ""
    parts: list[Part] = field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two groups that are one."""
        return self.patient, self.place and self.place.device, self.location, self.problem


def read_document(body: bytes) -> Document:
    """Return the entries of a body; raises InvalidDocument."""
    if lines := read_lines(body, MAX_ENTRIES):
        return Document("ndjson", tuple(_line(number, item) for number, item in enumerate(lines, 1)))
    content = read_json(body)
    kind = text_of(content, "resourceType")
    if kind != "Bundle":
        if kind != "Observation":
            raise InvalidDocument(f"{_of_type(kind)} is not read; Observation and Bundle are", 422, "not-supported")
        return Document("", (_entry("", content),))
    bundle = text_of(content, "type")
    if bundle not in _BUNDLES:
        raise InvalidDocument(
            f"a Bundle of the type {bundle[:40]!a} is not read; {', '.join(_BUNDLES)} are", 422, "not-supported"
        )
    entries = content.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise InvalidDocument("entry of the Bundle is no array of objects", 422)
    if len(entries) > MAX_ENTRIES:
        raise InvalidDocument(f"the Bundle has {len(entries)} entries; at most {MAX_ENTRIES} are read", 422, "too-long")
    interacts = bundle in ("batch", "transaction")
    return Document(bundle, tuple(_bundle_entry(number, item, interacts) for number, item in enumerate(entries, 1)))


def decide_document(document: Document, site: Site, source: Source, received: datetime) -> Report:
    """Return what becomes of a document.

    received   the time of receipt, with an offset
    """
    resources = Resources((entry.full_url, entry.resource) for entry in document.entries)
    groups: dict[tuple[object, ...], _Group] = {}
    paths: dict[int, str] = {}
    owners: dict[int, int] = {}
    verdicts: list[Verdict] = []
    withdrawn = {text_of(entry.resource, "id") for entry in document.entries if _is_withdrawn(entry.resource)} - {""}
    for index, entry in enumerate(document.entries):
        if entry.refusal or text_of(entry.resource, "resourceType") != "Observation":
            continue
        resource = entry.resource
        if text_of(resource, "id") in withdrawn:
            resource = {**resource, "status": _WITHDRAWN}
        parts = parts_of(resource, entry.path, len(paths) + 1, received, source.clock == "receipt")
        paths |= {part.observation.segment: part.path for part in parts}
        owners |= dict.fromkeys((part.observation.segment for part in parts), index)
        verdicts += [Verdict(part.observation, Reason.NOT_PRODUCTION) for part in parts if part.test]
        group = _group_of(entry.resource, resources, site, source)
        groups.setdefault(group.key, group).parts += [part for part in parts if not part.test]
    readings, lost = _decide_groups(list(groups.values()), source, verdicts)
    verdicts.sort(key=lambda verdict: verdict.observation.segment)
    by_entry: defaultdict[int, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_entry[owners[verdict.observation.segment]].append(verdict)
    answers = [_answer(entry, by_entry[index], lost) for index, entry in enumerate(document.entries)]
    outcome = _outcome(answers)
    if outcome is Outcome.PARTLY and document.bundle == "transaction":
        return Report(Outcome.REFUSED, [], _revoked(verdicts), paths, [_with_others(answer) for answer in answers])
    return Report(outcome, readings, verdicts, paths, answers)


def _is_withdrawn(resource: Element) -> bool:
    return text_of(resource, "resourceType") == "Observation" and text_of(resource, "status") == _WITHDRAWN


def _entry(path: str, resource: Element) -> Entry:
    kind = text_of(resource, "resourceType")
    known = kind in (*_CONTEXT, "Observation")
    return Entry(path, resource, refusal="" if known else f"{_of_type(kind)} is not read; Observation is")


def _line(number: int, item: Element | InvalidDocument) -> Entry:
    path = f"line {number}"
    return Entry(path, {}, refusal=str(item)) if isinstance(item, InvalidDocument) else _entry(path, item)


def _bundle_entry(number: int, item: Element, interacts: bool) -> Entry:
    resource, request = object_of(item, "resource"), object_of(item, "request")
    found = _entry(f"entry {number}", resource)
    refusal = found.refusal
    method, url = text_of(request, "method"), text_of(request, "url")
    kind = text_of(resource, "resourceType")
    if interacts and method not in ("POST", "PUT"):
        refusal = f"request.method is {method[:10]!a}; POST and PUT are read"
    elif interacts and not refusal and kind not in url.partition("?")[0].split("/")[-2:]:
        refusal = f"request.url is {url[:60]!a}, and the resource is {_of_type(kind)}"
    elif text_of(object_of(item, "search"), "mode") == "outcome" and kind == "Observation":
        refusal = "search.mode is outcome, and the resource is an Observation"
    return Entry(found.path, resource, text_of(item, "fullUrl"), refusal)


def _group_of(resource: Element, resources: Resources, site: Site, source: Source) -> _Group:
    patient = patient_of(resources.follow(resource, object_of(resource, "subject")), site.patients)
    device = resources.follow(resource, object_of(resource, "device"))
    equipment = equipment_of(device)
    if owner := object_of(device.resource, "source"):  # of a DeviceMetric: the Device that measures
        equipment |= equipment_of(resources.follow(device.resource, owner))
    location = Location(equipment=frozenset(equipment), patient=patient or "", source=source.name)
    return _Group(patient, *place_or_problem(site, location))


def _decide_groups(
    groups: Sequence[_Group], source: Source, verdicts: list[Verdict]
) -> tuple[list[PlacedReading], set[int]]:
    """Return the readings of all groups, and append a verdict on each observation.

    Also returns the numbers of observations that no later configuration of the site can place: they are not kept.
    """
    decided = [
        (group, *decide((part.observation for part in group.parts), source.table, group.patient)) for group in groups
    ]
    patients: defaultdict[tuple[str, datetime], set[str]] = defaultdict(set)
    for group, readings, _ in decided:
        if group.place is not None and group.patient is not None:
            for reading in readings:
                patients[group.place.device, reading.time].add(group.patient)
    clashes = {key for key, found in patients.items() if len(found) > 1}
    placed: list[PlacedReading] = []
    lost: set[int] = set()
    for group, readings, of_group in decided:
        if group.place is None:
            if group.location is None:
                lost |= {verdict.observation.segment for verdict in of_group}
            placed += [PlacedReading(reading, None, None, group.problem, group.location) for reading in readings]
            verdicts += [verdict.without_place(group.problem) for verdict in of_group]
            continue
        ward, device = group.place.ward, group.place.device
        problem = f"several patients are at {ward}/{device} at one time"
        for reading in readings:
            if (device, reading.time) in clashes:
                placed.append(PlacedReading(reading, None, None, problem))
            else:
                placed.append(PlacedReading(reading, ward, device))
        lost |= {verdict.observation.segment for verdict in of_group if (device, verdict.observation.time) in clashes}
        verdicts += [
            verdict.without_place(problem) if (device, verdict.observation.time) in clashes else verdict
            for verdict in of_group
        ]
    return placed, lost


def _answer(entry: Entry, verdicts: Sequence[Verdict], lost: Set[int]) -> Answer:
    if entry.refusal:
        return Answer(Outcome.REFUSED, entry.refusal, "not-supported")
    if not verdicts:
        return Answer(Outcome.NOTHING, f"{_of_type(text_of(entry.resource, 'resourceType'))} is not stored")
    unused = [verdict for verdict in verdicts if verdict.reason not in _STORED or verdict.observation.segment in lost]
    problem = "; ".join(dict.fromkeys(_sentence(verdict) for verdict in unused))
    if len(unused) < len(verdicts):
        return Answer(Outcome.STORED, problem)
    if any(verdict.reason is Reason.NO_TIME for verdict in verdicts):
        return Answer(Outcome.REFUSED, problem, "value")
    return Answer(Outcome.NOTHING, problem)


def _sentence(verdict: Verdict) -> str:
    code = next((str(code) for code in verdict.observation.codes if str(code)), "no code")
    return f"{code[:60]}: {verdict.reason.value}{', ' if verdict.detail else ''}{verdict.detail}"


def _outcome(answers: Sequence[Answer]) -> Outcome:
    outcomes = {answer.outcome for answer in answers}
    if Outcome.REFUSED in outcomes:
        return Outcome.PARTLY if Outcome.STORED in outcomes else Outcome.REFUSED
    return Outcome.STORED if Outcome.STORED in outcomes else Outcome.NOTHING


def _revoked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts of a transaction that is refused as a whole."""
    detail = "another entry of the transaction is refused"
    return [
        Verdict(verdict.observation, Reason.REFUSED, detail) if verdict.reason in _STORED else verdict
        for verdict in verdicts
    ]


def _with_others(answer: Answer) -> Answer:
    if answer.outcome is Outcome.REFUSED:
        return answer
    return Answer(Outcome.REFUSED, "another entry of the transaction is refused", "processing")


def _of_type(kind: str) -> str:
    return f"a resource of the type {kind[:40]!a}" if kind else "a resource without resourceType"
