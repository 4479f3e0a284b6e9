"""Read documents of HC Webhook, an app that sends records of Health Connect. Pure.

https://github.com/mcnaveen/health-connect-webhook, MockPayloadBuilder.kt (Apache-2.0, 2026). One array of each type of
record; units are in the names of the keys.
"""

import re

from edges.observations.json_document import InvalidDocument, object_of, text_of
from edges.observations.times import parse_text
from edges.webhook.found import Values

_STATISTICS = frozenset(("min", "max", "avg", "mean", "minimum", "maximum", "average"))
_SKIN = {2: "finger", 7: "toe", 9: "wrist"}  # BodyTemperatureMeasurementLocation of Health Connect
_ENVELOPE = frozenset(("timestamp", "app_version", "test"))
_VALUES = {  # type of record -> (key, code, unit)
    "heart_rate": (("bpm", "heart_rate", "/min"),),
    "oxygen_saturation": (("percentage", "oxygen_saturation", "%"),),
    "respiratory_rate": (("rate", "respiratory_rate", "/min"),),
    "body_temperature": (("celsius", "body_temperature", "Cel"),),
    "blood_pressure": (
        ("systolic", "blood_pressure.systolic", "mm[Hg]"),
        ("diastolic", "blood_pressure.diastolic", "mm[Hg]"),
    ),
}


def read(content: object) -> Values:
    """Return the values of a document; raises InvalidDocument."""
    if not isinstance(content, dict) or not (content.keys() & _ENVELOPE or content.keys() & _VALUES.keys()):
        raise InvalidDocument("the document has no array of records: it is not of HC Webhook", 422)
    values = Values()
    for name, records in content.items():
        if name in _ENVELOPE:
            continue
        for record in records if isinstance(records, list) else [records]:
            expected = _VALUES.get(name, ())
            present = [one for one in expected if isinstance(record, dict) and one[0] in record]
            if not expected or not isinstance(record, dict):
                values.add_unknown(name)
            elif not present:
                values.add_summary(name) if _is_summary(record) else values.add_unknown(f"{name} without its value")
            metadata = object_of(record, "metadata")
            for key, code, unit in present:
                if _is_summary(record):
                    values.add_summary(code)
                    continue
                time = record.get("time")
                values.add(
                    code,
                    record[key],
                    unit,
                    lambda time=time: parse_text(time),  # type: ignore[misc]
                    record={**metadata, **record},
                    source=text_of(metadata, "data_origin"),
                    site=_site(record),
                )
    return values


def _is_summary(record: dict[str, object]) -> bool:
    """Return whether a record is of a period: its minimum, maximum or mean stands beside the value or in its place."""
    words = (word for key in record for word in re.split(r"[^a-z]+", re.sub("([A-Z])", r"_\1", key).lower()))
    return any(word in _STATISTICS for word in words)


def _site(record: dict[str, object]) -> str:
    places = [value for key, value in record.items() if key.replace("_", "").lower() == "measurementlocation"]
    return " ".join(_SKIN.get(place, "") if isinstance(place, int) else str(place) for place in places)
