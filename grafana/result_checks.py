"""Check whether Grafana can draw a query result. Pure: takes columns and rows.

The rules are those of Grafana's SQL engine: a time series needs a column named exactly `time`, never NULL and in order;
text columns become the names of series; numbers are floats; unknown types become text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grafana.queries import Query

# Object identifiers of PostgreSQL's types, which never change (pg_type.dat).
TIMES = {1184: "timestamptz", 1114: "timestamp", 1082: "date"}
NUMBERS = {20: "int8", 21: "int2", 23: "int4", 700: "float4", 701: "float8", 1700: "numeric", 16: "bool"}
TEXTS = {25: "text", 1043: "varchar", 19: "name"}

MAX_ROWS = 5000  # of a table or a list of annotations
MAX_SERIES = 60


@dataclass(frozen=True)
class QueryResult:
    """The columns, each with the OID of its type, and the rows."""

    columns: Sequence[tuple[str, int]]
    rows: Sequence[tuple[Any, ...]]

    def kind(self, name: str) -> int | None:
        """Return the type of a column; None if there is no such column."""
        return dict(self.columns).get(name)


def check_result(query: Query, result: QueryResult) -> Iterator[str]:
    """Yield a message for everything in a result that Grafana cannot draw."""
    for name, kind in result.columns:
        if kind not in TIMES | NUMBERS | TEXTS:
            yield f"column {name} has a type that Grafana does not know ({kind}); use a number, a text or a time"
    names = [name for name, _ in result.columns]
    if len(set(names)) < len(names):
        yield f"two columns have the same name: {', '.join(names)}"
    yield from _BY_KIND[query.kind](query, result)


def _panel(query: Query, result: QueryResult) -> Iterator[str]:
    labelled = query.format == "time_series" and any(kind in TEXTS for _, kind in result.columns)
    if not labelled:  # otherwise the names of the series are in the rows
        for name in sorted(query.names - {name for name, _ in result.columns}):
            yield f"an override or a link names the column {name!r}, which is not in the result"
    if query.units is not None and query.format == "table":
        for name, kind in result.columns:
            if kind in NUMBERS and name not in query.units:
                yield f"the column {name!r} is a number, and the panel gives no unit; `none` is a unit"
    if query.format == "table":
        if len(result.rows) > MAX_ROWS:
            yield f"{len(result.rows)} rows; a table may have at most {MAX_ROWS}"
        return
    yield from _time_series(query, result)


def _time_series(query: Query, result: QueryResult) -> Iterator[str]:
    if not result.columns or result.columns[0][0] != "time":
        yield "the first column of a time series must be named time"
        return
    if result.columns[0][1] not in TIMES:
        yield "the column time is not a time"
        return
    labels = [index for index, (_, kind) in enumerate(result.columns) if kind in TEXTS]
    if not any(kind in NUMBERS for _, kind in result.columns):
        yield "a time series needs a column of numbers"
    times = [row[0] for row in result.rows]
    if None in times:
        yield "a time is NULL"
    elif times != sorted(times):
        yield "the times are not in order"
    series = {tuple(row[index] for index in labels) for row in result.rows} or {()}
    if len(series) > MAX_SERIES:
        yield f"{len(series)} series; at most {MAX_SERIES} can be distinguished"
    # There may be twice as many rows as points, because each gap has an empty row.
    if len(result.rows) > 2 * (query.max_points + 2) * len(series):
        yield f"{len(result.rows)} rows of {len(series)} series for {query.max_points} points"
    if len({(row[0], *(row[index] for index in labels)) for row in result.rows}) < len(result.rows):
        yield "a time occurs twice in one series"


def _variable(_: Query, result: QueryResult) -> Iterator[str]:
    names = [name for name, _ in result.columns]
    if names not in (["__text", "__value"], ["__text"]):
        yield f"the columns of a variable are __text and __value, not {', '.join(names)}"
    for name, kind in result.columns:
        if kind not in TEXTS:
            yield f"column {name} is not a text"
    if any(value is None for row in result.rows for value in row):
        yield "a value is NULL"


def _annotation(_: Query, result: QueryResult) -> Iterator[str]:
    for name in ("time", "timeEnd"):
        if result.kind(name) not in TIMES:
            yield f"an annotation needs a column {name} that is a time"
            return
    if result.kind("text") not in TEXTS:
        yield "an annotation needs a column text"
    index = {name: number for number, (name, _) in enumerate(result.columns)}
    for row in result.rows:
        begin, end = row[index["time"]], row[index["timeEnd"]]
        if not isinstance(begin, datetime) or not isinstance(end, datetime) or end < begin:
            yield f"an annotation from {begin} to {end}"
    if len(result.rows) > MAX_ROWS:
        yield f"{len(result.rows)} annotations; at most {MAX_ROWS} are allowed"


def _rule(_: Query, result: QueryResult) -> Iterator[str]:
    if len(result.rows) != 1 or len(result.columns) != 1 or result.columns[0][1] not in NUMBERS:
        yield "an alert rule needs one row with one number"
    elif result.rows[0][0] is None:
        yield "an alert rule needs a number, and this is NULL"


_BY_KIND = {"panel": _panel, "variable": _variable, "annotation": _annotation, "rule": _rule}
