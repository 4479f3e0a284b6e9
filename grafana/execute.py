"""Execute every query of a dashboard on a real database, over short and long ranges and with unusual variable values.

`result_checks` judges the results.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg

from grafana.canonical import variables
from grafana.files import Json
from grafana.macros import QueryContext, Value, expand
from grafana.queries import Query, queries
from grafana.result_checks import QueryResult, check_result
from sql.connection import Connection
from vitals.errors import PermanentError

RANGES: Final[Mapping[str, timedelta]] = {
    "5 minutes": timedelta(minutes=5),
    "1 hour": timedelta(hours=1),
    "24 hours": timedelta(hours=24),
    "7 days": timedelta(days=7),
    "90 days": timedelta(days=90),
}
UNUSUAL: Final[Mapping[str, Value]] = {
    "a quote": "O'Brien's \"bed\"; DROP TABLE x --",
    "an empty text": "",
    "no selection": (),
    "an unknown name": "no-such-thing",
    "several values, one with a quote": ("icu-1", "bed-001", "it's"),
}
"""The values that every variable is set to, one after the other."""


@dataclass(frozen=True)
class Finding:
    """A defect of a query, and the range and values with which it appeared."""

    query: Query
    condition: str
    message: str

    def __str__(self) -> str:
        return f"{self.query}, {self.condition}: {self.message}"


def execute(connection: Connection, query: Query, context: QueryContext) -> QueryResult:
    """Execute one query; raises PermanentError with the database's message if it fails."""
    try:
        cursor = connection.execute(expand(query.sql, context).encode())
        rows = cursor.fetchall()
    except psycopg.Error as error:
        raise PermanentError(" ".join(str(error).split())) from error
    assert cursor.description is not None
    return QueryResult([(column.name, column.type_code) for column in cursor.description], rows)


def check_results(
    connection: Connection, dashboard: Json, now: datetime, unusual: Mapping[str, Value] = UNUSUAL
) -> Iterator[Finding]:
    """Execute every query of a dashboard and check the results.

    Over every range, with the default values of the variables and with each of `unusual`. `connection` must be in
    autocommit mode, so that a failed query does not affect the next one. Each defect of a query is reported once.
    """
    reported: set[tuple[Query, str]] = set()
    for finding in _over_all_ranges(connection, dashboard, now, unusual):
        if (finding.query, finding.message) not in reported:
            reported.add((finding.query, finding.message))
            yield finding


def _over_all_ranges(
    connection: Connection, dashboard: Json, now: datetime, unusual: Mapping[str, Value]
) -> Iterator[Finding]:
    listed = list(queries(dashboard))
    defaults = default_values(connection, dashboard, now)
    for name, span in RANGES.items():
        yield from _check_all(connection, listed, (now - span, now), defaults, f"over {name}")
        for description, value in unusual.items():
            condition = f"over {name} with {description} in every variable"
            yield from _check_all(connection, listed, (now - span, now), dict.fromkeys(defaults, value), condition)


def check_rules(connection: Connection, rules: Iterable[Query], now: datetime) -> Iterator[Finding]:
    """Execute and check the queries of the alert rules, which have no variables."""
    yield from _check_all(connection, list(rules), (now - RANGES["5 minutes"], now), {}, "over 5 minutes")


def default_values(connection: Connection, dashboard: Json, now: datetime) -> dict[str, Value]:
    """Return the initial value of each variable in Grafana: all values if it allows several, else the first."""
    values: dict[str, Value] = {}
    by_name = {query.where: query for query in queries(dashboard)}
    for variable in variables(dashboard):
        if variable["type"] != "query":
            values[variable["name"]] = str(variable.get("query", ""))
            continue
        context = QueryContext.for_range(now - RANGES["1 hour"], now, 1000, 1, values)
        result = execute(connection, by_name[f"variable {variable['name']}"], context)
        found = tuple(str(row[-1]) for row in result.rows)
        values[variable["name"]] = found if variable.get("multi") else (found or ("",))[0]
    return values


def _check_all(
    connection: Connection,
    listed: Iterable[Query],
    span: Sequence[datetime],
    values: Mapping[str, Value],
    condition: str,
) -> Iterator[Finding]:
    for query in listed:
        context = QueryContext.for_range(span[0], span[1], query.max_points, query.min_interval_s, values)
        try:
            for message in check_result(query, execute(connection, query, context)):
                yield Finding(query, condition, message)
        except PermanentError as error:
            yield Finding(query, condition, str(error))
