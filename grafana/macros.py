"""What Grafana's browser and its PostgreSQL data source make of a query before the database sees it. Pure.

Written from the data source's documentation and checked against its published examples in tests/unit/test_grafana.py,
with TimescaleDB switched on. Not a copy: a part of it, the part that the dashboards are allowed to use.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from vitals.errors import PermanentError

Value = str | tuple[str, ...]
"""What is chosen in a variable: one value, or several of a variable that takes several."""

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)\b(?!\()|\[\[(\w+)\]\]")
MACRO: Final = re.compile(r"\$(\w+)\(([^)]*)\)")

# Grafana rounds an interval to what people read: below the first number, the second, in milliseconds.
_LADDER: Final = (
    (1_500, 1_000), (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000),
    (45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000), (750_000, 600_000),
    (1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000), (5_400_000, 3_600_000),
    (9_000_000, 7_200_000), (16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000),
    (604_800_000, 86_400_000),
)  # fmt: skip
_WEEK_MS: Final = 604_800_000


@dataclass(frozen=True)
class Asked:
    """With what a query is asked: the dashboard's range, the interval that follows from it, the variables."""

    since: datetime
    until: datetime
    interval_ms: int
    variables: Mapping[str, Value]

    @classmethod
    def over(
        cls, since: datetime, until: datetime, points: int, min_interval_s: float, variables: Mapping[str, Value]
    ) -> "Asked":
        """As a panel of `points` points asks."""
        return cls(since, until, interval_ms(since, until, points, min_interval_s), variables)


def interval_ms(since: datetime, until: datetime, points: int, min_interval_s: float) -> int:
    """What Grafana puts into $__interval_ms, here never below a second, which is the data source's least."""
    wanted = (until - since).total_seconds() * 1000 / points
    rounded = next((step for below, step in _LADDER if wanted < below), _WEEK_MS)
    return max(rounded, round(min_interval_s * 1000))


def expand(sql: str, asked: Asked) -> str:
    """The text that the database gets; raises PermanentError for a variable or a macro that there is none of."""
    told = VARIABLE.sub(lambda found: _variable(found, asked), sql)
    return MACRO.sub(lambda found: _macro(found, asked), told)


def sqlstring(value: Value) -> str:
    """A variable's value as the format `sqlstring` writes it; several with commas between."""
    values = (value,) if isinstance(value, str) else value
    return ",".join("'" + each.replace("'", "''").replace('"', '\\"') + "'" for each in values)


def _variable(found: re.Match[str], asked: Asked) -> str:
    name = next(group for group in (found[1], found[3], found[4]) if group)
    if name in ("__interval_ms", "__interval"):
        return str(asked.interval_ms) if name == "__interval_ms" else _spoken(asked.interval_ms)
    if name not in asked.variables:
        raise PermanentError(f"the variable {found[0]} is not declared")
    if found[2] != "sqlstring":
        raise PermanentError(f"the variable {found[0]} is not written ${{{name}:sqlstring}}")
    return sqlstring(asked.variables[name])


def _macro(found: re.Match[str], asked: Asked) -> str:
    name, arguments = found[1], [part.strip() for part in found[2].split(",")]
    if name not in MACROS:
        raise PermanentError(f"the macro ${name} is not one of {', '.join(f'${known}' for known in MACROS)}")
    return MACROS[name](arguments, asked)


def _utc(moment: datetime) -> str:
    text = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return f"'{text.rstrip('0').rstrip('.')}Z'"


def _spoken(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    width, unit = next(pair for pair in ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % pair[0] == 0)
    return f"{seconds // width}{unit}"


def _group(arguments: list[str], _: Asked) -> str:
    text = arguments[1].strip("'")
    seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]
    return f"time_bucket('{seconds:.3f}s',{arguments[0]}) AS \"time\""


MACROS: Final[Mapping[str, Callable[[list[str], Asked], str]]] = {
    "__timeFilter": lambda told, asked: f"{told[0]} BETWEEN {_utc(asked.since)} AND {_utc(asked.until)}",
    "__timeFrom": lambda _, asked: _utc(asked.since),
    "__timeTo": lambda _, asked: _utc(asked.until),
    "__timeGroupAlias": _group,
}
"""The macros that the dashboards may use, by name."""
