"""Read when an Observation was made (`effective[x]`). A day is no time, and a period is no moment. Pure."""

from datetime import datetime

from edges.observations.json_document import Element
from edges.observations.time_of_receipt import find_time_ahead
from edges.observations.times import parse_text
from vitals.local_time import InvalidTime

_KEYS = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "effectiveTiming")


class Span(ValueError):
    """The value is of a period and not of a moment."""


def moment_of(resource: Element, received: datetime) -> datetime:
    """Return the moment of an Observation in UTC; raises InvalidTime or Span."""
    given = [key for key in _KEYS if resource.get(key) is not None]
    if len(given) != 1:
        raise InvalidTime(f"it has several times: {', '.join(given)}" if given else "it has no effectiveDateTime")
    value = resource[given[0]]
    if given[0] == "effectivePeriod" and isinstance(value, dict):
        start, end = value.get("start"), value.get("end")
        if start is None or end is None or parse_text(start) != parse_text(end):
            raise Span("it is of a period, not of a moment")
        value = start
    elif given[0] == "effectiveTiming":
        raise InvalidTime("effectiveTiming is not read; effectiveDateTime is")
    time = parse_text(value)
    if problem := find_time_ahead(time, received, f"{value!a:.42}"):
        raise InvalidTime(problem)
    return time
