"""Read when an Observation was made (`effective[x]`). A day is no time, and a period is no moment. Pure."""

import re
from datetime import UTC, datetime

from edges.observations.json_document import Element
from edges.observations.time_of_receipt import find_time_ahead
from vitals.fields import BadField, parse_time

_TIME_OF_DAY = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_KEYS = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "effectiveTiming")


class NoMoment(ValueError):
    """There is no time, or none that can be; the text is one sentence."""


class Span(ValueError):
    """The value is of a period and not of a moment."""


def moment_of(resource: Element, received: datetime) -> datetime:
    """Return the moment of an Observation in UTC; raises NoMoment or Span."""
    given = [key for key in _KEYS if resource.get(key) is not None]
    if len(given) != 1:
        raise NoMoment(f"it has several times: {', '.join(given)}" if given else "it has no effectiveDateTime")
    value = resource[given[0]]
    if given[0] == "effectivePeriod" and isinstance(value, dict):
        start, end = value.get("start"), value.get("end")
        if start is None or end is None or _parse(start) != _parse(end):
            raise Span("it is of a period, not of a moment")
        value = start
    elif given[0] == "effectiveTiming":
        raise NoMoment("effectiveTiming is not read; effectiveDateTime is")
    time = _parse(value)
    if problem := find_time_ahead(time, received, f"{value!a:.42}"):
        raise NoMoment(problem)
    return time


def _parse(value: object) -> datetime:
    match = _TIME_OF_DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise NoMoment(f"{value!a:.42} is no time with an offset, such as 2026-11-27T10:15:00+01:00")
    minute, second, offset = match.groups()
    try:
        return parse_time(f"{minute}{second or ':00'}{offset}").astimezone(UTC)
    except (BadField, OverflowError):
        raise NoMoment(f"{value!a:.42} is no time of the calendar") from None
