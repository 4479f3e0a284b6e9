"""Check dashboards against the project's rules, without a database. Pure: each rule yields messages."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from grafana.canonical import DATASOURCE, annotations, canonical, panels, variables
from grafana.files import FOLDER, Json, text_of
from grafana.lint_queries import WITHOUT_QUERIES, check_sql, check_targets, name_of
from grafana.palette import MEANING
from grafana.queries import INTERVAL

SCHEMA_VERSION: Final = 42
COLUMNS: Final = 24  # of Grafana's grid
CHARTS: Final = frozenset({"timeseries", "barchart"})  # have one unit; in other panels each column has its own
REDUCERS: Final = frozenset({"lastNotNull", "last", "first", "min", "max", "mean", "sum", "count"})
PANEL_TYPES: Final = frozenset({"timeseries", "stat", "table", "state-timeline", "barchart", "text", "row"})
PROMETHEUS_ALERTS: Final = "http://localhost:9090/alerts"  # the only page outside Grafana; docs/dashboards.md names it
_LINK = re.compile(r"^/d/([\w-]+)")
_SET_BY_LINK = re.compile(r"[?&]var-(\w+)=")
_UNITS = FOLDER / "schema" / "units.txt"
_RELATIVE_TIME = re.compile(r"now(-\d+[smhdwMy])?(/[dwMy])?")
_FREE_UNIT = re.compile(r"(suffix|prefix|count|time|si|currency):.+")


def check_dashboards(found: Mapping[Path, Json], on_disk: Mapping[Path, str]) -> Iterator[str]:
    """Yield a message for every finding in every dashboard, with its file name.

    `on_disk`: the texts of the files, to check for canonical form, which `--write` restores.
    """
    for path, dashboard in found.items():
        if text_of(canonical(dashboard)) != on_disk[path]:
            yield f"{path.name}: not in canonical form; vitalflow grafana check --write rewrites it"
        for rule in RULES:
            for message in rule(dashboard):
                yield f"{path.name}: {message}"
        if dashboard.get("uid") != f"vitalflow-{path.stem}":
            yield f"{path.name}: its uid is {dashboard.get('uid')!r}, expected 'vitalflow-{path.stem}'"
    yield from _across_dashboards(found)


def _head(dashboard: Json) -> Iterator[str]:
    wanted = {"schemaVersion": SCHEMA_VERSION, "graphTooltip": 1, "timezone": "browser", "editable": True}
    for key, value in wanted.items():
        if dashboard.get(key) != value:
            yield f"{key} is {dashboard.get(key)!r}, expected {value!r}"
    if not dashboard.get("title") or not dashboard.get("description"):
        yield "it has no title or no description"
    if "vitalflow" not in dashboard.get("tags", []):
        yield "it lacks the tag vitalflow, by which dashboards link to each other"
    offered = dashboard.get("timepicker", {}).get("refresh_intervals", [])
    if dashboard.get("refresh") not in offered:
        yield f"it refreshes every {dashboard.get('refresh')!r}, which is not in its own list {offered}"
    for interval in offered:
        if not INTERVAL.fullmatch(interval):
            yield f"it offers to refresh every {interval!r}; expected a number with s, m, h or d"
    for key in ("from", "to"):
        value = dashboard.get("time", {}).get(key)
        if not _RELATIVE_TIME.fullmatch(str(value)):
            yield f"its range has {key} {value!r}; expected a relative time such as now-1h"


def _panels(dashboard: Json) -> Iterator[str]:
    numbers = Counter(panel.get("id") for panel in panels(dashboard))
    for number, times in numbers.items():
        if times > 1 or not isinstance(number, int) or number < 1:
            yield f"panel id {number!r} occurs {times} times; ids must be unique and 1 or more"
    for panel in panels(dashboard):
        name = name_of(panel)
        if panel["type"] not in PANEL_TYPES:
            yield f"{name} is of the type {panel['type']!r}; expected one of {', '.join(sorted(PANEL_TYPES))}"
        if not panel.get("title", "").strip():
            yield f"{name} has no title"
        if panel["type"] == "row":
            continue
        if len(panel.get("description", "")) < 20:
            yield f"{name} has no description"
        if panel["type"] not in WITHOUT_QUERIES and not _defaults(panel).get("noValue"):
            yield f"{name} has no noValue, so that missing data would have the text and colour of an alarm"
        if "interval" in panel and not INTERVAL.fullmatch(str(panel["interval"])):
            yield f"{name} has the least interval {panel['interval']!r}; expected a number with s, m, h or d"
        for reducer in panel.get("options", {}).get("reduceOptions", {}).get("calcs", []):
            if reducer not in REDUCERS:
                yield f"{name} shows the {reducer!r} of its values; expected one of {', '.join(sorted(REDUCERS))}"
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            if override["matcher"]["id"] != "byName":
                yield f"{name} matches a column by {override['matcher']['id']!r}; only byName can be checked"


def _defaults(panel: Json) -> Json:
    defaults: Json = panel.get("fieldConfig", {}).get("defaults", {})
    return defaults


def _missing_values(dashboard: Json) -> Iterator[str]:
    """Check that a missing value has no colour: Grafana gives it that of the base step, unless it is mapped."""
    for panel in panels(dashboard):
        if panel["type"] not in ("stat", "table"):
            continue
        overrides = panel.get("fieldConfig", {}).get("overrides", [])
        columns = {str(o["matcher"].get("options")): o["properties"] for o in overrides}
        for name, properties in {"a column without an override": [], **columns}.items():
            settings = _defaults(panel) | {each["id"]: each.get("value") for each in properties}
            if _colours_missing(panel, settings):
                yield (
                    f"{name_of(panel)}: a missing value in {name!r} has the colour of the base step; map null+nan to a"
                    " text and transparent"
                )


def _colours_missing(panel: Json, settings: Json) -> bool:
    cell = settings.get("custom.cellOptions", settings.get("custom", {}).get("cellOptions", {})).get("type", "auto")
    colours = panel["options"].get("colorMode", "none") if panel["type"] == "stat" else cell
    if colours in ("none", "auto") or settings.get("color", {}).get("mode", "thresholds") != "thresholds":
        return False
    neutral = {"transparent"} if "background" in colours else {"transparent", "text"}
    steps = settings.get("thresholds", {}).get("steps", [])
    mapped = any(
        each["type"] == "special"
        and each["options"]["match"] == "null+nan"
        and each["options"]["result"].get("color") in neutral
        for each in [*settings.get("mappings", []), *_defaults(panel).get("mappings", [])]
    )
    return not mapped and bool(steps) and steps[0]["color"] not in neutral


def _regions(dashboard: Json) -> Iterator[str]:
    """Check that annotations are restricted to panels that exist."""
    known = {panel.get("id") for panel in panels(dashboard)}
    for annotation in annotations(dashboard):
        unknown = set(annotation.get("filter", {}).get("ids", [])) - known
        if unknown:
            yield f"the annotation {annotation['name']!r} is for the panels {sorted(unknown)}, which do not exist"


def _positions(dashboard: Json) -> Iterator[str]:
    yield from _overlaps(dashboard["panels"])
    for row in dashboard["panels"]:  # collapsed panels are positioned as if no other row were open
        yield from _overlaps(row.get("panels", []))


def _overlaps(listed: Iterable[Json]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in listed:
        position = panel.get("gridPos", {})
        try:
            x, y, width, height = (int(position[key]) for key in ("x", "y", "w", "h"))
        except KeyError:
            yield f"{name_of(panel)} has no position"
            continue
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > COLUMNS:
            yield f"{name_of(panel)} is outside the grid of {COLUMNS} columns: {position}"
            continue
        overlapped = {taken[cell] for cell in _cells(x, y, width, height) if cell in taken}
        for other in sorted(overlapped):
            yield f"{name_of(panel)} overlaps {other}"
        taken |= dict.fromkeys(_cells(x, y, width, height), name_of(panel))


def _cells(x: int, y: int, width: int, height: int) -> list[tuple[int, int]]:
    return [(column, line) for column in range(x, x + width) for line in range(y, y + height)]


def _sources(dashboard: Json) -> Iterator[str]:
    for where, value in values_of(dashboard, "datasource"):
        own = where.startswith("annotations") and value == {"type": "grafana", "uid": "-- Grafana --"}
        if value != DATASOURCE and not own:
            yield f"{where} is {value!r}, expected {DATASOURCE!r}"
    for panel in panels(dashboard):
        if panel["type"] not in WITHOUT_QUERIES and panel.get("datasource") is None:
            yield f"{name_of(panel)} names no data source"


def _units(dashboard: Json) -> Iterator[str]:
    known = frozenset(_UNITS.read_text(encoding="utf-8").split())
    for panel in panels(dashboard):
        overrides = panel.get("fieldConfig", {}).get("overrides", [])
        units = [_defaults(panel).get("unit")]
        if panel["type"] in CHARTS and not units[0]:
            yield f"{name_of(panel)} has no unit; `none` is a unit"
        units += [p.get("value") for o in overrides for p in o["properties"] if p["id"] == "unit"]
        for unit in filter(None, units):
            if unit not in known and not _FREE_UNIT.fullmatch(unit):
                yield f"{name_of(panel)} has the unit {unit!r}, which Grafana does not know; `suffix:...` allows any"


def _colours(dashboard: Json) -> Iterator[str]:
    for where, value in values_of(dashboard, "mode"):
        if str(value).startswith("palette"):
            yield f"{where} is {value!r}, whose colours include those of the priorities; `shades` of one colour do not"
    for key in ("color", "fixedColor", "iconColor"):
        for where, value in values_of(dashboard, key):
            if isinstance(value, str) and value not in MEANING and not where.startswith("annotations.list.0"):
                yield f"{where} is {value!r}, a colour that is not in grafana/palette.py"


def values_of(value: Any, key: str, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a key at any depth, with its path."""
    if isinstance(value, dict):
        for name, below in value.items():
            path = f"{where}.{name}".lstrip(".")
            if name == key:
                yield path, below
            yield from values_of(below, key, path)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from values_of(below, key, f"{where}.{number}")


def _across_dashboards(found: Mapping[Path, Json]) -> Iterator[str]:
    """Check that uids and titles are unique and that links have a target."""
    for key in ("uid", "title"):
        for value, times in Counter(str(dashboard.get(key)) for dashboard in found.values()).items():
            if times > 1:
                yield f"{times} dashboards have the {key} {value!r}"
    declared = {str(d.get("uid")): {variable["name"] for variable in variables(d)} for d in found.values()}
    tags = {tag for dashboard in found.values() for tag in dashboard.get("tags", [])}
    for path, dashboard in found.items():
        for where, url in values_of(dashboard, "url"):
            target = _LINK.match(str(url))
            if not url or url == PROMETHEUS_ALERTS:
                continue
            if not target or target[1] not in declared:
                yield f"{path.name}: {where} leads to {url!r}, which is none of {', '.join(sorted(declared))}"
                continue
            for name in _SET_BY_LINK.findall(url):
                if name not in declared[target[1]]:
                    yield f"{path.name}: {where} sets the variable {name}, which {target[1]} does not have"
        for link in dashboard.get("links", []):
            if link.get("type") == "dashboards" and not set(link.get("tags", [])) <= tags:
                yield f"{path.name}: the link {link.get('title')!r} uses a tag that no dashboard has"


RULES: Final[tuple[Callable[[Json], Iterator[str]], ...]] = (
    _head,
    _panels,
    _missing_values,
    _regions,
    _positions,
    _sources,
    check_targets,
    _units,
    _colours,
    check_sql,
)
