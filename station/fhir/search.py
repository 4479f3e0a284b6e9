"""Searches of the FHIR interface: parameters become filters. Pure.

Source: hl7.org/fhir/R4/search.html. Values apart by a comma are alternatives; a repeated parameter restricts further. A
parameter that is not known is ignored and left out of the link `self`, or rejected in strict handling. A modifier or a
chain of a known one is rejected, because ignoring it would return what was not asked for.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from station.fhir.times import EVER, Range, common, join, read_date
from vitals.fhir import CATEGORY, DEVICE_SYSTEM, KINDS, PATIENT_SYSTEM, VITAL_SIGNS, Kind, codings
from vitals.signs import Sign

DEFAULT_COUNT, MAX_COUNT = 100, 1000
MAX_LAST = 100  # of $lastn
CURSOR = "_cursor"
STATUS_SYSTEM = "http://hl7.org/fhir/observation-status"
INCLUDES = {
    "Observation:device": "Device",
    "Observation:device:Device": "Device",
    "Observation:patient": "Patient",
    "Observation:patient:Patient": "Patient",
    "Observation:subject": "Patient",
    "Observation:subject:Patient": "Patient",
}
OBSERVATION_PARAMETERS = (
    "_id", "patient", "subject", "device", "code", "combo-code", "category", "date", "status", "_lastUpdated",
)  # fmt: skip
PATIENT_PARAMETERS = ("_id", "identifier", "_lastUpdated")
DEVICE_PARAMETERS = ("_id", "identifier", "patient")

Ids = frozenset[str] | None
"""Ids that may match; None: all."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_NO_IDS: frozenset[str] = frozenset()


class SearchRejected(ValueError):
    """A parameter that cannot be used, with the reason."""


@dataclass(slots=True)
class Search:
    """What a search restricts, and how its result is given.

    ids, patients, devices   ids of resources
    identifiers              identifiers of a Patient or a Device
    kinds                    the Observations that may match
    dates, updated           of `effectiveDateTime` and `meta.lastUpdated`
    count                    resources of a page; 0: only the total
    used                     the parameters that were understood, for the link `self`
    """

    ids: Ids = None
    patients: Ids = None
    devices: Ids = None
    identifiers: Ids = None
    kinds: tuple[Kind, ...] = KINDS
    dates: tuple[Range, ...] = EVER
    updated: tuple[Range, ...] = EVER
    is_newest_first: bool = True
    count: int = DEFAULT_COUNT
    needs_total: bool = False
    includes: frozenset[str] = _NO_IDS
    last: int = 1
    cursor: str | None = None
    used: list[tuple[str, str]] = field(default_factory=list)

    def query(self) -> str:
        """Return the understood parameters as the query of a URL, without the place of the page."""
        return urlencode([pair for pair in self.used if pair[0] != CURSOR])


def read_search(
    pairs: Iterable[tuple[str, str]], parameters: Sequence[str], *, is_strict: bool, is_lastn: bool = False
) -> Search:
    """Return what these pairs of a query mean; raises SearchRejected.

    parameters   the names that restrict this type of resource
    """
    search = Search()
    observations = parameters is OBSERVATION_PARAMETERS
    readers: dict[str, Callable[[Search, str], None]] = {name: _FILTERS[name] for name in parameters}
    if is_lastn:
        readers["max"] = _read_max
        del readers["_id"]
    else:
        readers |= {"_count": _read_count, "_total": _read_total, "_summary": _read_summary, CURSOR: _read_cursor}
        if observations:
            readers["_sort"] = _read_sort
    if observations:
        readers["_include"] = _read_include
    readers["_format"] = lambda *_: None  # of the response; checked by the route
    for name, value in pairs:
        if "\0" in value:
            raise SearchRejected(f"{name} has a character that no value has")
        base, _, modifier = name.partition(":")
        reader = readers.get(base)
        if reader is None:
            if base.partition(".")[0] in readers:
                raise SearchRejected(f"{name[:100]}: chained parameters are not supported")
            if is_strict:
                raise SearchRejected(
                    f"the parameter {name[:100]!r} is not supported here; metadata lists those that are"
                )
            continue
        if modifier and modifier != {"patient": "Patient", "subject": "Patient", "device": "Device"}.get(base):
            raise SearchRejected(f"{name[:100]}: the modifier is not supported")
        if not value:
            continue  # as the specification says: without a value a parameter is not used
        try:
            reader(search, value)
        except ValueError as error:
            raise SearchRejected(f"{name}={value[:200]!r}: {error}") from None
        search.used.append((name, value))
    return search


# --- parameters that restrict ---


def _read_ids(search: Search, value: str) -> None:
    search.ids = _both(search.ids, {text for text in split(value) if _ID.fullmatch(text)})


def _read_patient(search: Search, value: str) -> None:
    search.patients = _both(search.patients, _references("Patient", value))


def _read_device(search: Search, value: str) -> None:
    search.devices = _both(search.devices, _references("Device", value))


def _read_code(search: Search, value: str) -> None:
    search.kinds = tuple(kind for kind in search.kinds if _matches(value, _codes(kind.sign)))


def _read_combo_code(search: Search, value: str) -> None:
    search.kinds = tuple(
        kind for kind in search.kinds if any(_matches(value, _codes(sign)) for sign in (kind.sign, *kind.parts))
    )


def _read_category(search: Search, value: str) -> None:
    if not _matches(value, [(CATEGORY, VITAL_SIGNS)]):
        search.kinds = ()


def _read_status(search: Search, value: str) -> None:
    if not _matches(value, [(STATUS_SYSTEM, "final")]):
        search.kinds = ()


def _read_date(search: Search, value: str) -> None:
    search.dates = common(search.dates, _dates(value))


def _read_updated(search: Search, value: str) -> None:
    search.updated = common(search.updated, _dates(value))


def _read_identifier(search: Search, value: str) -> None:
    wanted = set()
    for text in split(value):
        system, code = _token(text)
        if system in (None, PATIENT_SYSTEM, DEVICE_SYSTEM) and code:
            wanted.add(text if system is None else f"{system}|{code}")
    search.identifiers = _both(search.identifiers, wanted)


def is_identified(identifiers: Ids, system: str, value: str) -> bool:
    """Return whether the identifier of a resource is one of those that were asked for."""
    if identifiers is None:
        return True
    return any(_token(text) in ((None, value), (system, value)) for text in identifiers)


# --- parameters of the result ---


def _read_count(search: Search, value: str) -> None:
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        raise ValueError("expected a number, 0 or more")
    search.count = min(int(value), MAX_COUNT)


def _read_max(search: Search, value: str) -> None:
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value[:9]) <= MAX_LAST or len(value) > 9:
        raise ValueError(f"expected a number from 1 to {MAX_LAST}")
    search.last = int(value)


def _read_total(search: Search, value: str) -> None:
    if value not in ("none", "estimate", "accurate"):
        raise ValueError("expected none, estimate or accurate")
    search.needs_total = search.needs_total or value != "none"


def _read_summary(search: Search, value: str) -> None:
    if value not in ("count", "false"):
        raise ValueError("expected count or false")
    if value == "count":
        search.count = 0


def _read_sort(search: Search, value: str) -> None:
    if value not in ("date", "-date"):
        raise ValueError("expected date or -date")
    search.is_newest_first = value == "-date"


def _read_include(search: Search, value: str) -> None:
    if value not in INCLUDES:
        raise ValueError("expected Observation:device, Observation:patient or Observation:subject")
    search.includes |= {INCLUDES[value]}


def _read_cursor(search: Search, value: str) -> None:
    search.cursor = value


_FILTERS: dict[str, Callable[[Search, str], None]] = {
    "_id": _read_ids,
    "patient": _read_patient,
    "subject": _read_patient,
    "device": _read_device,
    "code": _read_code,
    "combo-code": _read_combo_code,
    "category": _read_category,
    "status": _read_status,
    "date": _read_date,
    "_lastUpdated": _read_updated,
    "identifier": _read_identifier,
}


# --- values ---


def split(value: str) -> list[str]:
    r"""Return the alternatives of a value; `\,` is a comma of a value."""
    return [part for part in re.findall(r"(?:[^,\\]|\\.?)+", value, re.DOTALL) if part]


def _token(text: str) -> tuple[str | None, str]:
    """Return system and code; None: any system. The code is empty for `system|`."""
    parts = [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in re.split(r"(?<!\\)\|", text)]
    if len(parts) > 2:
        raise ValueError("expected CODE or SYSTEM|CODE")
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _matches(value: str, codes: Sequence[tuple[str, str]]) -> bool:
    """Return whether one of the tokens in a value is one of these codes."""
    return any(
        wanted in (None, system) and (code == found or (wanted is not None and not code))
        for wanted, code in [_token(text) for text in split(value)]
        for system, found in codes
    )


def _dates(value: str) -> tuple[Range, ...]:
    return join(one for text in split(value) for one in read_date(text))


def _codes(sign: Sign) -> list[tuple[str, str]]:
    return [(coding["system"], coding["code"]) for coding in codings(sign)]


def _references(kind: str, value: str) -> set[str]:
    """Return the ids in references to resources of one type; a reference to another type matches nothing."""
    found = set()
    for text in split(value):
        *before, identity = text.split("/")
        if not _ID.fullmatch(identity):
            raise ValueError(f"expected an id or {kind}/ID")
        if not before or before[-1] == kind:
            found.add(identity)
    return found


def _both(known: Ids, wanted: Iterable[str]) -> frozenset[str]:
    return frozenset(wanted) if known is None else known & frozenset(wanted)
