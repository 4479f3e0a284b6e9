"""A dashboard in the one form that is kept, so that a change in Grafana's editor is a small difference on disk.

Second hop of `check`. Pure. Takes away what belongs to one Grafana and not to the dashboard (numbers of its database,
what somebody had chosen last, variables of an export) and points every query at our data source.
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
    """The same dashboard in the form that is kept; what comes in is left as it is."""
    kept: Json = _copied(dashboard)
    for key in (*_OF_ONE_GRAFANA, *_OF_AN_EXPORT):
        kept.pop(key, None)
    for variable in variables(kept):
        if variable.get("type") == "query":
            variable.pop("options", None)
            everything = {"text": ["All"], "value": ["$__all"]}
            variable["current"] = everything if variable.get("includeAll") else {}
    kept["panels"] = sorted(kept["panels"], key=_place)
    _number(kept["panels"])
    return kept


def panels(dashboard: Json) -> Iterator[Json]:
    """Every panel, also those folded into a row."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def variables(dashboard: Json) -> list[Json]:
    """The dashboard's variables."""
    found: list[Json] = dashboard.get("templating", {}).get("list", [])
    return found


def annotations(dashboard: Json) -> list[Json]:
    """The dashboard's annotation queries, Grafana's own among them."""
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


def _place(panel: Json) -> tuple[int, int]:
    place = panel.get("gridPos", {})
    return place.get("y", 0), place.get("x", 0)


def _number(listed: list[Json]) -> None:
    """A panel without a number, or with one that another has, gets the next free one: links and alerts name panels."""
    taken: set[int] = set()
    homeless = []
    for panel in listed:
        for each in (panel, *panel.get("panels", [])):
            if isinstance(each.get("id"), int) and each["id"] > 0 and each["id"] not in taken:
                taken.add(each["id"])
            else:
                homeless.append(each)
    for each in homeless:
        each["id"] = max(taken, default=0) + 1
        taken.add(each["id"])


_MIXED = {"type": "datasource", "uid": "-- Mixed --"}
