"""Validate a dashboard against a JSON schema generated from Grafana's source.

This checks what Grafana can read, `lint` the project's rules. schema/README.md explains how the schema was generated.
"""

import copy
import json
from collections.abc import Iterator

from jsonschema import Draft7Validator

from grafana.canonical import panels
from grafana.files import FOLDER, Json

SCHEMA = FOLDER / "schema" / "dashboard.schema.json"


def check_shape(dashboard: Json) -> Iterator[str]:
    """Yield a message for every value that does not match the schema, with its path."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    found = list(_errors(validator, dashboard))
    yield from (f"{where or 'the dashboard'}: {message}" for where, message in found)
    if found:
        return
    for name, applied in _overrides(dashboard):
        yield from (
            f"{name}: {message}" for _, message in _errors(validator, {"uid": "", "title": "", "panels": [applied]})
        )


def _errors(validator: Draft7Validator, value: Json) -> Iterator[tuple[str, str]]:
    for error in sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path))):
        yield ".".join(map(str, error.absolute_path)), error.message[:200]


def _overrides(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Yield each override as a panel with it as default, because the schema has no type for the properties."""
    for panel in panels(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            applied = {"type": panel["type"], "fieldConfig": {"defaults": {}, "overrides": []}}
            for setting in override["properties"]:
                _set(applied["fieldConfig"]["defaults"], setting["id"].split("."), setting.get("value"))
            column = override["matcher"].get("options")
            yield f"panel {panel.get('id')} {panel.get('title', '')!r}, override of {column!r}", applied


def _set(defaults: Json, path: list[str], value: object) -> None:
    for key in path[:-1]:
        defaults = defaults.setdefault(key, {})
    defaults[path[-1]] = copy.deepcopy(value)
