"""Times of a FHIR search: prefixes and partial dates become sets of half-open ranges. Pure.

Source: hl7.org/fhir/R4/search.html#date. A partial date is the period of its precision: `2026-11` the whole month, a
time without a fraction its whole second. What is searched is an instant, so that every prefix has one meaning.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

Range = tuple[datetime, datetime]
"""From a time, inclusive, to another, exclusive."""

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
EVER: tuple[Range, ...] = ((FIRST, LAST),)

_DATE = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb)?(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(Z|[+\- ]\d\d:\d\d))?)?)?",
    re.ASCII,
)
EXPECTED = (
    "expected a prefix of eq ne gt lt ge le sa eb or none, and YYYY, YYYY-MM, YYYY-MM-DD or a time with an offset"
)


def read_date(text: str) -> tuple[Range, ...]:
    """Return the ranges that one value of a date parameter means; raises ValueError with the expected form."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(EXPECTED)
    try:
        start, end = _period(*found.groups()[1:])
    except (ValueError, OverflowError):
        raise ValueError(EXPECTED) from None
    ranges: tuple[Range, ...]
    match found[1]:
        case "ne":
            ranges = ((FIRST, start), (end, LAST))
        case "gt" | "sa":
            ranges = ((end, LAST),)
        case "lt" | "eb":
            ranges = ((FIRST, start),)
        case "ge":
            ranges = ((start, LAST),)
        case "le":
            ranges = ((FIRST, end),)
        case _:
            ranges = ((start, end),)
    return join(ranges)


def join(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the union of ranges, in order and apart from each other."""
    joined: list[Range] = []
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def common(one: Iterable[Range], other: Iterable[Range]) -> tuple[Range, ...]:
    """Return the times that are in both."""
    others = tuple(other)
    return join((max(a, c), min(b, d)) for a, b in one for c, d in others)


def includes(ranges: Iterable[Range], moment: datetime) -> bool:
    """Return whether a time is in one of the ranges."""
    return any(start <= moment < end for start, end in ranges)


def _period(
    year: str,
    month: str | None,
    day: str | None,
    hour: str | None,
    minute: str | None,
    second: str | None,
    fraction: str | None,
    offset: str | None,
) -> Range:
    start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    if month is None:
        return start, datetime(int(year) + 1, 1, 1, tzinfo=UTC)
    if day is None:
        return start, datetime(int(year) + int(month) // 12, int(month) % 12 + 1, 1, tzinfo=UTC)
    if hour is None or minute is None or offset is None:
        return start, start + timedelta(days=1)
    microseconds = int((fraction or "0").ljust(6, "0"))
    local = start.replace(hour=int(hour), minute=int(minute), second=int(second or 0), microsecond=microseconds)
    width = timedelta(minutes=1)
    if second is not None:
        width = timedelta(microseconds=10 ** (6 - len(fraction or "")))
    begin = local - _offset(offset)
    return begin, begin + width


def _offset(text: str) -> timedelta:
    """Return an offset to UTC. A space is a plus sign that the client did not encode."""
    if text == "Z":
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if text[0] == "-" else offset
