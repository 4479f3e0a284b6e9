"""Read data points of Open mHealth and of IEEE 1752.1: the body alone, with its header, or an array of them. Pure.

https://www.openmhealth.org/documentation/#/schema-docs and https://opensource.ieee.org/omh/1752 (schemas of heart rate,
blood pressure, oxygen saturation, respiratory rate and body temperature). A unit that the schema does not have refuses
the data point.
"""

from collections.abc import Callable
from datetime import datetime

from edges.observations.json_document import Element, InvalidDocument, object_of, text_of
from edges.observations.quantities import another_quantity
from edges.observations.times import parse_text
from edges.webhook.found import Values
from vitals.local_time import InvalidTime

_UNITS = {  # property -> unit of the schema -> unit here
    "heart_rate": {"beats/min": "beat/min"},
    "oxygen_saturation": {"%": "%"},
    "respiratory_rate": {"breaths/min": "breath/min"},
    "body_temperature": {"C": "Cel", "F": "[degF]", "K": "K"},
    "systolic_blood_pressure": {"mmHg": "mm[Hg]"},
    "diastolic_blood_pressure": {"mmHg": "mm[Hg]"},
}


def read(content: object) -> Values:
    """Return the values of a document; raises InvalidDocument."""
    points = content if isinstance(content, list) else [content]
    values, problems, good = Values(), [], 0
    for point in points:
        if not isinstance(point, dict):
            raise InvalidDocument("a data point is no object", 422)
        problem = _read_point(point, values)
        if problem:
            problems.append(problem)
        else:
            good += 1
    if problems and not good:
        raise InvalidDocument("; ".join(dict.fromkeys(problems))[:500], 422)
    return values


def _read_point(point: Element, values: Values) -> str:
    """Add the values of a data point; return why it is refused, or nothing."""
    header, body = object_of(point, "header"), object_of(point, "body")
    if not header and not body:
        body = point
    values.accounts = tuple(filter(None, (text_of(header, "user_id"),)))
    known = [name for name in _UNITS if name in body]
    problem = ""
    if not known:
        values.add_unknown(text_of(object_of(header, "schema_id"), "name") or next(iter(body), "data point"))
    for name in known:
        if body.get("descriptive_statistic") is not None:
            values.add_summary(name)
            continue
        quantity = object_of(body, name)
        unit = _UNITS[name].get(text_of(quantity, "unit"))
        if unit is None:
            expected = " or ".join(_UNITS[name])
            problem = f"{name} has the unit {quantity.get('unit')!a:.40}; the schema has {expected}"
        values.add(
            name,
            quantity.get("value"),
            unit or "",
            _time(body),
            absent=problem or _absent(body),
            record={**header, **body},
            site=text_of(body, "measurement_location"),
        )
    return problem


def _absent(body: Element) -> str:
    """Return why a value is not that of its sign."""
    frame = object_of(body, "effective_time_frame")
    if "date_time" not in frame and "time_interval" in frame:
        return "it is of a period, not of a moment"
    return another_quantity(text_of(body, key) for key in ("system", "measurement_method"))


def _time(body: Element) -> Callable[[], datetime]:
    frame = object_of(body, "effective_time_frame")
    interval = object_of(frame, "time_interval")

    def read_time() -> datetime:
        if "date_time" in frame:
            return parse_text(frame["date_time"])
        for key in ("start_date_time", "end_date_time"):
            if key in interval:
                return parse_text(interval[key])
        raise InvalidTime("it has no effective_time_frame with a date_time")

    return read_time
