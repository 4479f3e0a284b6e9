"""What each query of each dashboard costs, asked as Grafana asks it: macros expanded, as the reader, over a week."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.queries import PERIODS
from bench.report import Log, Result
from bench.week import Week, fill_week
from grafana.execute import RANGES, default_values, execute
from grafana.files import read_dashboards
from grafana.macros import QueryContext
from grafana.queries import Query, queries
from sql.migrate import READER_ROLE, connect, migrate

LIMIT_MS = 200.0
ROUNDS = 5


@dataclass(frozen=True)
class QueryCost:
    """Of one query: the best of all rounds, in milliseconds, and the rows of its answer."""

    query: str
    milliseconds: float
    rows: int


@dataclass(frozen=True)
class DashboardCosts(Result):
    """Of all of them, the dearest first."""

    server: str
    beds: int
    readings: int
    range: str
    costs: list[QueryCost]

    @property
    def too_slow(self) -> list[QueryCost]:
        """Those above the limit."""
        return [cost for cost in self.costs if cost.milliseconds > LIMIT_MS]

    def text(self) -> str:
        """Format the figures for a terminal."""
        lines = [f"the dashboards over {self.range}, {self.beds} beds, {self.readings} readings, {self.server}"]
        lines += [f"  {cost.milliseconds:>8.1f} ms  {cost.rows:>6} rows  {cost.query}" for cost in self.costs]
        lines.append(f"  above {LIMIT_MS:.0f} ms: {len(self.too_slow) or 'none'}")
        return "\n".join(lines)


def dashboards(url: str, log: Log, week: Week | None = None, asked_range: str = "7 days") -> DashboardCosts:
    """Fill an empty database with a week and ask every query over `asked_range`, with every ward and one bed chosen."""
    week = week or Week()
    best: dict[Query, float] = {}
    rows: dict[Query, int] = {}
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        readings = fill_week(connection, datetime.now(UTC), week, log)
        connection.execute(f"SET ROLE {READER_ROLE}".encode())
        connection.execute("SET jit = off")  # as the role has it, which SET ROLE does not bring
        for round_number in range(
            ROUNDS
        ):  # one after the other, so that a busy moment of the machine strikes one of each
            log(f"round {round_number + 1} of {ROUNDS}")
            for dashboard in read_dashboards().values():
                now = datetime.now(UTC)
                chosen = default_values(connection, dashboard, now)
                for query in queries(dashboard):
                    points, least = query.max_points, query.min_interval_s
                    context = QueryContext.for_range(now - RANGES[asked_range], now, points, least, chosen)
                    begun = time.perf_counter()
                    rows[query] = len(execute(connection, query, context).rows)
                    took = (time.perf_counter() - begun) * 1000
                    best[query] = min(took, best.get(query, took))
    found = [QueryCost(str(query), round(took, 1), rows[query]) for query, took in best.items()]
    found.sort(key=lambda cost: -cost.milliseconds)
    return DashboardCosts(str(edition), week.beds, readings, asked_range, found)
