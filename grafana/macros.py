"""Expand variables and macros in a query as Grafana and its PostgreSQL data source do. Pure.

Written from the documentation of the data source, with TimescaleDB enabled, and tested with its published examples
(tests/unit/test_grafana.py). Supports only the variables and macros that the dashboards may use.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from vitals.errors import PermanentError

Value = str | tuple[str, ...]
"""The selection in a variable: one value, or several if the variable allows it."""

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)\b(?!\()|\[\[(\w+)\]\]")
MACRO: Final = re.compile(r"\$(\w+)\(([^)]*)\)")

# Grafana rounds intervals: below the first number to the second, in milliseconds.
_LADDER: Final = (
    (1_500, 1_000), (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000),
    (45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000), (750_000, 600_000),
    (1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000), (5_400_000, 3_600_000),
    (9_000_000, 7_200_000), (16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000),
    (604_800_000, 86_400_000),
)  # fmt: skip
_WEEK_MS: Final = 604_800_000


@dataclass(frozen=True)
class QueryContext:
    """The input of a query: the time range, the interval that follows from it, the variables."""

    since: datetime
    until: datetime
    interval_ms: int
    variables: Mapping[str, Value]

    @classmethod
    def for_range(
        cls, since: datetime, until: datetime, points: int, min_interval_s: float, variables: Mapping[str, Value]
    ) -> "QueryContext":
        """Return the context of a panel with `points` points."""
        return cls(since, until, interval_ms(since, until, points, min_interval_s), variables)


def interval_ms(since: datetime, until: datetime, points: int, min_interval_s: float) -> int:
    """Return Grafana's value of $__interval_ms; at least a second, the shortest interval of the data source."""
    wanted = (until - since).total_seconds() * 1000 / points
    rounded = next((step for below, step in _LADDER if wanted < below), _WEEK_MS)
    return max(rounded, round(min_interval_s * 1000))


def expand(sql: str, context: QueryContext) -> str:
    """Return the SQL text; raises PermanentError for an unknown variable or macro."""
    expanded = VARIABLE.sub(lambda found: _variable(found, context), sql)
    return MACRO.sub(lambda found: _macro(found, context), expanded)


def sqlstring(value: Value) -> str:
    """Format a value of a variable as `sqlstring` does; several are separated by commas."""
    values = (value,) if isinstance(value, str) else value
    return ",".join("'" + text.replace("'", "''").replace('"', '\\"') + "'" for text in values)


def _variable(found: re.Match[str], context: QueryContext) -> str:
    name = next(group for group in (found[1], found[3], found[4]) if group)
    if name in ("__interval_ms", "__interval"):
        return str(context.interval_ms) if name == "__interval_ms" else _format_interval(context.interval_ms)
    if name not in context.variables:
        raise PermanentError(f"the variable {found[0]} is not declared")
    if found[2] != "sqlstring":
        raise PermanentError(f"the variable {found[0]} must be written ${{{name}:sqlstring}}")
    return sqlstring(context.variables[name])


def _macro(found: re.Match[str], context: QueryContext) -> str:
    name, arguments = found[1], [part.strip() for part in found[2].split(",")]
    if name not in MACROS:
        raise PermanentError(f"the macro ${name} is not one of {', '.join(f'${known}' for known in MACROS)}")
    return MACROS[name](arguments, context)


def _utc(time: datetime) -> str:
    text = f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return f"'{text.rstrip('0').rstrip('.')}Z'"


def _format_interval(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    width, unit = next(pair for pair in ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % pair[0] == 0)
    return f"{seconds // width}{unit}"


def _group(arguments: list[str], _: QueryContext) -> str:
    text = arguments[1].strip("'")
    seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]
    return f"time_bucket('{seconds:.3f}s',{arguments[0]}) AS \"time\""


MACROS: Final[Mapping[str, Callable[[list[str], QueryContext], str]]] = {
    "__timeFilter": lambda arguments, context: (
        f"{arguments[0]} BETWEEN {_utc(context.since)} AND {_utc(context.until)}"
    ),
    "__timeFrom": lambda _, context: _utc(context.since),
    "__timeTo": lambda _, context: _utc(context.until),
    "__timeGroupAlias": _group,
}
"""The macros that the dashboards may use, by name."""
