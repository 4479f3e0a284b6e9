"""Read events of Terra, which passes on the data of many providers. Pure.

https://docs.tryterra.co/reference/health-and-fitness-api/data-models: samples with a time count, whatever the type of
the event. Averages and the like are left out, and so are events about the account.
"""

from collections.abc import Iterator

from edges.observations.json_document import Element, InvalidDocument, object_of, objects_of, text_of
from edges.observations.times import parse_text
from edges.webhook.found import Values

_DATA = frozenset(("activity", "athlete", "body", "daily", "menstruation", "nutrition", "sleep"))
_SAMPLES = (  # path, code, unit, and the keys of the value
    (("oxygen_data", "saturation_samples"), "saturation_samples", "%", ("percentage",)),
    (
        ("respiration_data", "oxygen_saturation_data", "samples"),
        "saturation_samples",
        "%",
        ("percentage", "oxygen_saturation_percentage"),
    ),
    (("heart_data", "heart_rate_data", "detailed", "hr_samples"), "hr_samples", "/min", ("bpm",)),
    (("heart_rate_data", "detailed", "hr_samples"), "hr_samples", "/min", ("bpm",)),
    (("respiration_data", "breaths_data", "samples"), "breaths_data", "/min", ("breaths_per_min",)),
    (
        ("temperature_data", "body_temperature_samples"),
        "body_temperature_samples",
        "Cel",
        ("temperature_celsius", "temperature_c"),
    ),
)
_PRESSURES = ("blood_pressure_data", "blood_pressure_samples")


def read(content: object) -> Values:
    """Return the values of a document; raises InvalidDocument."""
    kind = text_of(content, "type").lower()
    if not isinstance(content, dict) or not kind:
        raise InvalidDocument("the document has no type: it is not of Terra", 422)
    values = Values()
    user = object_of(content, "user")
    values.accounts = tuple(filter(None, (text_of(user, key) for key in ("user_id", "reference_id"))))
    if kind not in _DATA:
        values.add_notice(kind)
    for item in objects_of(content, "data"):
        before = len(values.found)
        for path, code, unit, keys in _SAMPLES:
            for sample in _samples(item, path):
                value = next((sample[key] for key in keys if key in sample), None)
                _add(code, value, unit, sample, values)
        for sample in _samples(item, _PRESSURES):
            for key in ("systolic_bp", "diastolic_bp"):
                if key in sample:
                    _add(f"blood_pressure_samples.{key}", sample[key], "mm[Hg]", sample, values)
        if len(values.found) == before:
            values.add_unknown(f"{kind} without samples of a sign")
    return values


def _samples(item: Element, path: tuple[str, ...]) -> Iterator[Element]:
    for key in path[:-1]:
        item = object_of(item, key)
    return objects_of(item, path[-1])


def _add(code: str, value: object, unit: str, sample: Element, values: Values) -> None:
    # A saturation is of the blood or of a muscle (SmO2), by `type`, a number that the models of Terra do not
    # explain (OxygenSaturationSample of terra-api 2.1.0).
    is_typed = code == "saturation_samples" and sample.get("type") is not None
    absent = "its type may be that of a muscle" if is_typed else ""
    values.add(code, value, unit, lambda: parse_text(sample.get("timestamp")), absent=absent, record=sample)
