"""Every query that a dashboard asks, with what is needed to ask it without Grafana. Pure.

Third hop of `check`: `macros` makes SQL of them, `asking` asks, `answers` judges what comes back. `bench queries` asks
them too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from grafana.canonical import annotations, panels, variables
from grafana.files import Json

Kind = Literal["panel", "variable", "annotation", "rule"]
MAX_POINTS = 1000  # a panel without a number of its own gets a point a pixel
INTERVAL = re.compile(r"(\d+)([smhd])")
_FIELD = re.compile(r"__data\.fields\.(\w+)")


@dataclass(frozen=True)
class Question:
    """One query. `names` are the columns that the panel's overrides and links speak of; `units` those whose unit the
    panel says, None where it says one for all.
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


def questions(dashboard: Json) -> Iterator[Question]:
    """The queries of variables, annotations and panels, in this order: as Grafana asks them."""
    uid = str(dashboard["uid"])
    for variable in variables(dashboard):
        if variable["type"] == "query":
            yield Question(uid, f"variable {variable['name']}", "variable", _sql_of(variable["query"]), "table")
    for annotation in annotations(dashboard):
        if "target" in annotation and annotation["target"].get("rawSql"):
            target = annotation["target"]
            yield Question(
                uid, f"annotation {annotation['name']}", "annotation", target["rawSql"], target.get("format", "")
            )
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            where = f"panel {panel.get('id')} {panel.get('title', '')!r} {target['refId']}"
            yield Question(
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
    """The columns that a panel's overrides name, those that bound a band, those that links carry elsewhere."""
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        if override["matcher"]["id"] == "byName":
            yield override["matcher"]["options"]
        for told in override["properties"]:
            if told["id"] == "custom.fillBelowTo":
                yield str(told.get("value"))
            if told["id"] == "links":
                yield from (name for link in told.get("value", []) for name in _FIELD.findall(link.get("url", "")))
    if "xField" in panel.get("options", {}):
        yield panel["options"]["xField"]


def seconds(interval: str) -> float:
    """The seconds of a panel's least interval, such as 1s, 1m or 1h; 1 for what is none, which `lint` names."""
    told = INTERVAL.fullmatch(interval)
    return float(told[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[told[2]] if told else 1.0


def _units(panel: Json) -> frozenset[str] | None:
    config = panel.get("fieldConfig", {})
    if config.get("defaults", {}).get("unit"):
        return None
    # A value that is shown as a word has no unit either.
    says = [o for o in config.get("overrides", []) if {told["id"] for told in o["properties"]} & {"unit", "mappings"}]
    return frozenset(str(override["matcher"].get("options")) for override in says)


def _sql_of(query: str | Json) -> str:
    return query if isinstance(query, str) else str(query.get("rawSql") or query.get("query") or "")
