"""A dashboard against the shape that Grafana's own source gives to classic JSON.

Beside `lint`, which knows what we want; this knows what Grafana reads. How the schema was made, and where it is laxer
than the source, is in schema/README.md.
"""

import copy
import json
from collections.abc import Iterator

from jsonschema import Draft7Validator

from grafana.canonical import panels
from grafana.files import FOLDER, Json

SCHEMA = FOLDER / "schema" / "dashboard.schema.json"


def check_shape(dashboard: Json) -> Iterator[str]:
    """Every place that has another shape than Grafana's source says, with the way to it."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    found = list(_errors(validator, dashboard))
    yield from (f"{where or 'the dashboard'}: {sentence}" for where, sentence in found)
    if found:
        return
    for name, applied in _overrides(dashboard):
        yield from (
            f"{name}: {sentence}" for _, sentence in _errors(validator, {"uid": "", "title": "", "panels": [applied]})
        )


def _errors(validator: Draft7Validator, value: Json) -> Iterator[tuple[str, str]]:
    for error in sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path))):
        yield ".".join(map(str, error.absolute_path)), error.message[:200]


def _overrides(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Each override, as a panel of which it is said as a whole: Grafana's source has no other shape for it."""
    for panel in panels(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            applied = {"type": panel["type"], "fieldConfig": {"defaults": {}, "overrides": []}}
            for told in override["properties"]:
                _set(applied["fieldConfig"]["defaults"], told["id"].split("."), told.get("value"))
            column = override["matcher"].get("options")
            yield f"panel {panel.get('id')} {panel.get('title', '')!r}, override of {column!r}", applied


def _set(defaults: Json, way: list[str], value: object) -> None:
    for key in way[:-1]:
        defaults = defaults.setdefault(key, {})
    defaults[way[-1]] = copy.deepcopy(value)
