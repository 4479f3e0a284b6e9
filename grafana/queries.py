"""List the queries of a dashboard with what is needed to execute them without Grafana. Pure.

`macros` expands them, `execute` runs them, `result_checks` checks the results. `bench queries` runs them too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from grafana.canonical import annotations, panels, variables
from grafana.files import Json

Kind = Literal["panel", "variable", "annotation", "rule"]
MAX_POINTS = 1000  # of a panel that sets none; Grafana uses its width in pixels
INTERVAL = re.compile(r"(\d+)([smhd])")
_FIELD = re.compile(r"__data\.fields\.(\w+)")


@dataclass(frozen=True)
class Query:
    """One query. `names`: columns that the panel's overrides and links name. `units`: columns for which the panel sets
    the unit; None if it sets one for all.
    """

    dashboard: str
    where: str
    kind: Kind
    sql: str
    format: str
    max_points: int = MAX_POINTS
    min_interval_s: float = 1.0
    names: frozenset[str] = frozenset()
    units: frozenset[str] | None = None

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.where}"


def queries(dashboard: Json) -> Iterator[Query]:
    """Yield the queries of variables, annotations and panels, in the order in which Grafana executes them."""
    uid = str(dashboard["uid"])
    for variable in variables(dashboard):
        if variable["type"] == "query":
            yield Query(uid, f"variable {variable['name']}", "variable", _sql_of(variable["query"]), "table")
    for annotation in annotations(dashboard):
        if "target" in annotation and annotation["target"].get("rawSql"):
            target = annotation["target"]
            yield Query(
                uid, f"annotation {annotation['name']}", "annotation", target["rawSql"], target.get("format", "")
            )
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            where = f"panel {panel.get('id')} {panel.get('title', '')!r} {target['refId']}"
            yield Query(
                uid,
                where,
                "panel",
                target["rawSql"],
                target["format"],
                panel.get("maxDataPoints", MAX_POINTS),
                seconds(panel.get("interval", "1s")),
                frozenset(named(panel)),
                _units(panel),
            )


def named(panel: Json) -> Iterator[str]:
    """Yield the columns that a panel names: in overrides, as the limit of a band, and in links."""
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        if override["matcher"]["id"] == "byName":
            yield override["matcher"]["options"]
        for setting in override["properties"]:
            if setting["id"] == "custom.fillBelowTo":
                yield str(setting.get("value"))
            if setting["id"] == "links":
                yield from (name for link in setting.get("value", []) for name in _FIELD.findall(link.get("url", "")))
    if "xField" in panel.get("options", {}):
        yield panel["options"]["xField"]


def seconds(interval: str) -> float:
    """Return the seconds of an interval such as 1s, 1m or 1h; 1 for an invalid one, which `lint` reports."""
    found = INTERVAL.fullmatch(interval)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]] if found else 1.0


def _units(panel: Json) -> frozenset[str] | None:
    config = panel.get("fieldConfig", {})
    if config.get("defaults", {}).get("unit"):
        return None
    # A value that is mapped to a word needs no unit.
    sets = [
        o for o in config.get("overrides", []) if {setting["id"] for setting in o["properties"]} & {"unit", "mappings"}
    ]
    return frozenset(str(override["matcher"].get("options")) for override in sets)


def _sql_of(query: str | Json) -> str:
    return query if isinstance(query, str) else str(query.get("rawSql") or query.get("query") or "")
