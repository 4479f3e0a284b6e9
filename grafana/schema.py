"""A dashboard against the shape that Grafana's own source gives to classic JSON.

Beside `lint`, which knows what we want; this knows what Grafana reads. How the schema was made, and where it is laxer
than the source, is in schema/README.md.
"""

import json
from collections.abc import Iterator

from jsonschema import Draft7Validator

from grafana.files import FOLDER, Json

SCHEMA = FOLDER / "schema" / "dashboard.schema.json"


def check_shape(dashboard: Json) -> Iterator[str]:
    """Every place that has another shape than Grafana's source says, with the way to it."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for error in sorted(validator.iter_errors(dashboard), key=lambda error: list(map(str, error.absolute_path))):
        where = ".".join(map(str, error.absolute_path)) or "the dashboard"
        yield f"{where}: {error.message[:200]}"
