"""Bring a dashboard into canonical form, so that a change in Grafana's editor gives a small diff. Pure.

Removes what belongs to one Grafana installation (ids of its database, the last selection, variables of an export) and
sets the data source of every query.
"""

import re
from collections.abc import Iterator
from typing import Any

from grafana.files import Json

DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "vitalflow"}
GRAFANA = {"type": "grafana", "uid": "-- Grafana --"}

_OF_ONE_GRAFANA = ("id", "version", "iteration", "gnetId", "weekStart", "liveNow")
_OF_AN_EXPORT = ("__inputs", "__requires", "__elements")
_BLANKS = re.compile(r"[ \t]+$", re.MULTILINE)


def canonical(dashboard: Json) -> Json:
    """Return the dashboard in canonical form; the argument is not changed."""
    kept: Json = _copied(dashboard)
    for key in (*_OF_ONE_GRAFANA, *_OF_AN_EXPORT):
        kept.pop(key, None)
    for variable in variables(kept):
        if variable.get("type") == "query":
            variable.pop("options", None)
            everything = {"text": ["All"], "value": ["$__all"]}
            variable["current"] = everything if variable.get("includeAll") else {}
    kept["panels"] = sorted(kept["panels"], key=_position)
    _assign_ids(kept["panels"])
    return kept


def panels(dashboard: Json) -> Iterator[Json]:
    """Yield every panel, including those collapsed into a row."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def variables(dashboard: Json) -> list[Json]:
    """Return the variables of the dashboard."""
    found: list[Json] = dashboard.get("templating", {}).get("list", [])
    return found


def annotations(dashboard: Json) -> list[Json]:
    """Return the annotations of the dashboard, including Grafana's own."""
    found: list[Json] = dashboard.get("annotations", {}).get("list", [])
    return found


def _copied(value: Any, key: str = "") -> Any:
    if key == "datasource":
        return dict(value if value in (GRAFANA, _MIXED) else DATASOURCE)
    if isinstance(value, dict):
        return {name: _copied(below, name) for name, below in value.items()}
    if isinstance(value, list):
        return [_copied(below) for below in value]
    if isinstance(value, str) and key in ("rawSql", "query", "definition"):
        return _BLANKS.sub("", value).strip()
    return value


def _position(panel: Json) -> tuple[int, int]:
    position = panel.get("gridPos", {})
    return position.get("y", 0), position.get("x", 0)


def _assign_ids(listed: list[Json]) -> None:
    """Give panels without an id, or with a duplicate one, the next free id. Links and alert rules refer to ids."""
    taken: set[int] = set()
    without_id = []
    for panel in listed:
        for item in (panel, *panel.get("panels", [])):
            if isinstance(item.get("id"), int) and item["id"] > 0 and item["id"] not in taken:
                taken.add(item["id"])
            else:
                without_id.append(item)
    for item in without_id:
        item["id"] = max(taken, default=0) + 1
        taken.add(item["id"])


_MIXED = {"type": "datasource", "uid": "-- Mixed --"}
