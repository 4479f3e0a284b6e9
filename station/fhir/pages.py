"""Pages of the FHIR interface: the place where a page ends, and what the queries of the next one read. Pure.

A place is the key of the last Observation, never an offset, so that a deep page costs what the first one costs. It is
signed together with its search: a link that was changed is rejected. Its rights are those of the user who follows it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from station.fhir.times import FIRST, LAST, Range, common

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
MAX_SCANNED = 500_000  # readings behind one page; a page that would need more ends early, with a link to the next
MAX_LAST_PAGES = 20  # of one $lastn: one of each code, and those that end before its last Observation
MAX_QUERIES = 150  # of one page; as above
MAX_RUN = 3_000  # readings of one query: the planner may sort all of them for the first hundred
MAX_PARTS = 288  # of a day: five minutes
_MAC_SIZE = 12


class Place(NamedTuple):
    """Where a page ends: behind an Observation, by its key, or without a device before the readings of a time."""

    time: datetime
    device: str | None = None
    boot: int = 0
    seq: int = 0
    what: str = ""


class DeviceDay(NamedTuple):
    """A UTC day of a device, with the number of its readings of one patient and ward.

    letters   the kinds of Observations that they have; None: any, because there may be newer readings
    ward      None as well
    """

    start: datetime
    device: str
    patient: str | None
    ward: str | None
    readings: int
    letters: frozenset[str] | None = None


Where = TypeVar("Where", Place, str)


@dataclass(frozen=True, slots=True)
class Window:
    """Devices whose readings from `start` until before `end` one query reads. `readings`: about how many there are."""

    devices: tuple[str, ...]
    start: datetime
    end: datetime
    readings: int


class CursorKey:
    """Writes and checks places of pages; `secret` signs them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, place: Place | str, search: str) -> str:
        """Return a place in the result of a search as text: of an Observation, or the id of the last resource."""
        content = msgspec.json.encode(place)
        return base64.urlsafe_b64encode(self._mac(content, search) + content).decode().rstrip("=")

    def read(self, text: str, search: str, type: type[Where]) -> Where:
        """Return what `write` wrote for this search; raises ValueError for any other text."""
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        mac, content = content[:_MAC_SIZE], content[_MAC_SIZE:]
        if not hmac.compare_digest(mac, self._mac(content, search)):
            raise ValueError("it is not the next link of this search, or the station was started again; search anew")
        return msgspec.json.decode(content, type=type)

    def _mac(self, content: bytes, search: str) -> bytes:
        message = search.encode("utf-8", "surrogatepass") + b"\0" + content
        return hmac.digest(self._secret, message, hashlib.sha256)[:_MAC_SIZE]


def windows(
    days: Iterable[DeviceDay], dates: Iterable[Range], *, newest_first: bool, size: int = MAX_RUN
) -> Iterator[Window]:
    """Yield what to read, in the order of the result; each window is read completely before the next.

    A window has about `size` readings: adjacent days of the same devices, or a part of a day of many.
    """
    by_day: dict[datetime, dict[str, int]] = {}
    for day in days:
        devices = by_day.setdefault(day.start, {})
        devices[day.device] = devices.get(day.device, 0) + day.readings
    wanted = tuple(dates)
    run: Window | None = None
    for start in sorted(by_day, reverse=newest_first):
        devices = by_day[start]
        found = Window(tuple(sorted(devices)), start, start + DAY, sum(devices.values()))
        if run is not None:
            merged = _merged(run, found, size)
            if merged is not None:
                run = merged
                continue
            yield from _parts(run, wanted, newest_first, size)
        run = found
    if run is not None:
        yield from _parts(run, wanted, newest_first, size)


def from_place(dates: Iterable[Range], place: Place | None, *, newest_first: bool) -> tuple[Range, ...]:
    """Return the dates that are not before a place."""
    if place is None:
        return tuple(dates)
    return common(dates, [(FIRST, place.time + INSTANT)] if newest_first else [(place.time, LAST)])


def end_of(window: Window, *, newest_first: bool) -> Place:
    """Return the place behind a window."""
    return Place(window.start - INSTANT if newest_first else window.end)


def _merged(one: Window, other: Window, size: int) -> Window | None:
    is_adjacent = one.start == other.end or one.end == other.start
    readings = one.readings + other.readings
    if not is_adjacent or one.devices != other.devices or readings > size:
        return None
    return Window(one.devices, min(one.start, other.start), max(one.end, other.end), readings)


def _parts(window: Window, dates: tuple[Range, ...], newest_first: bool, size: int) -> Iterator[Window]:
    number = min(-(-window.readings // size), MAX_PARTS) or 1
    span = window.end - window.start
    bounds = [window.start + span * part // number for part in range(number + 1)]  # the last one is exactly the end
    parts = list(pairwise(bounds))
    for part in reversed(parts) if newest_first else parts:
        clipped = common([part], dates)
        for start, end in reversed(clipped) if newest_first else clipped:
            yield Window(window.devices, start, end, window.readings // number)
