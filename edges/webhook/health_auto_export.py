"""Read documents of Health Auto Export, an app that sends data of Apple Health. Pure.

https://github.com/Lybron/health-auto-export/wiki/API-Export---JSON-Format (January 2026). Metrics are in
`data.metrics`, or flat in `data`, as its MQTT export has them. Names are English or localised; a name that is not
English is not known. A point with Min, Avg and Max that differ is of a period.
"""

import re
from collections.abc import Iterator

from edges.observations.json_document import Element, InvalidDocument, text_of
from edges.observations.times import parse_text
from edges.webhook.found import Values

_SUMMARY = ("min", "avg", "max")
_DEFAULT_UNITS = {"heart_rate": "/min", "respiratory_rate": "/min", "blood_oxygen_saturation": "%"}
_PRESSURE = "blood_pressure"
_WHOLE_HOUR = re.compile(r"[T ]\d\d?:00:00(?:\.0+)?\b")
_MIDNIGHT = re.compile(r"[T ](?:00:00:00(?:\.0+)?(?! ?[AP])|12:00:00(?:\.0+)?\s?AM)", re.IGNORECASE)


def read(content: object) -> Values:
    """Return the values of a document; raises InvalidDocument."""
    values = Values()
    for name, units, point, by_period in _points(content, values):
        keys = {key.casefold(): value for key, value in point.items()}
        time, source = keys.get("date"), text_of(keys, "source")
        unit = units or _DEFAULT_UNITS.get(name, "")

        def add(
            code: str,
            value: object,
            time: object = time,
            unit: str = unit,
            source: str = source,
            point: Element = point,
        ) -> None:
            values.add(code, value, unit, lambda: parse_text(time), record=point, source=source)

        statistics = [keys[key] for key in _SUMMARY if keys.get(key) is not None]
        if name == _PRESSURE:
            given = [key for key in ("systolic", "diastolic") if key in keys]
            for key in given:
                add(f"{name}.{key}", keys[key])
            if not given:
                values.add_unknown(name)
        elif by_period or _ends(keys, "start") != _ends(keys, "end") or _is_summary(statistics, keys.get("qty")):
            values.add_summary(name)
        else:
            add(name, statistics[0] if statistics else keys.get("qty"))
    return values


def _is_summary(statistics: list[object], quantity: object) -> bool:
    """Return whether a point is of a period: only one with an equal minimum, mean and maximum is of a moment."""
    if not statistics:
        return False
    given = statistics if quantity is None else [*statistics, quantity]
    return len(statistics) < len(_SUMMARY) or any(value != given[0] for value in given)


def _ends(keys: Element, name: str) -> object:
    return keys.get(name, keys.get(f"{name}date"))


def _is_by_period(points: list[object]) -> bool:
    """Return whether all points are of whole days or hours: the app dates a mean at the begin, to the second."""
    times = [
        value for point in points if isinstance(point, dict) for key, value in point.items() if key.casefold() == "date"
    ]
    begin = _MIDNIGHT if len(times) < 2 else _WHOLE_HOUR
    return bool(times) and all(isinstance(time, str) and begin.search(time) for time in times)


def _points(content: object, values: Values) -> Iterator[tuple[str, str, Element, bool]]:
    """Iterate over name, unit and content of each point, and whether its metric is one of whole days or hours.

    Adds what is no metric to `values`.
    """
    data = content.get("data") if isinstance(content, dict) and "data" in content else content
    metrics = data
    if isinstance(data, dict) and data.keys() & {"metrics", *_OTHERS}:
        metrics = data.get("metrics") or []
        for key, items in data.items():
            if key != "metrics":
                for _ in items if isinstance(items, list) else [items]:
                    values.add_unknown(key)
    if not isinstance(metrics, list):
        raise InvalidDocument("the document has no array data.metrics or data: it is not of Health Auto Export", 422)
    for metric in metrics:
        name, units = text_of(metric, "name"), text_of(metric, "units")
        if not isinstance(metric, dict) or not name:
            values.add_unknown("metric without a name")
            continue
        points = metric.get("data", [metric])
        points = points if isinstance(points, list) else [points]
        by_period = _is_by_period(points)
        for point in points:
            if isinstance(point, dict):
                yield name, text_of(point, "units") or units, point, by_period
            else:
                values.add_unknown(name)


_OTHERS = frozenset(
    ("workouts", "stateOfMind", "medications", "symptoms", "cycleTracking", "ecg", "heartRateNotifications")
)
