"""What each query of each dashboard costs, asked as Grafana asks it: macros expanded, as the reader, over a week."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from bench.queries import PERIODS
from bench.report import Figures, Log
from bench.week import Week, fill_week
from grafana.execute import RANGES, default_values, execute
from grafana.files import read_dashboards
from grafana.macros import QueryContext
from grafana.queries import Query, queries
from sql.migrate import READER_ROLE, connect, migrate

LIMIT_MS = 200.0
ROUNDS = 5
RANGE = "7 days"


def dashboards(url: str, log: Log, week: Week | None = None) -> Figures:
    """Fill an empty database with a week and ask every query over RANGE, with every ward and one bed chosen."""
    week = week or Week()
    best: dict[Query, float] = {}
    rows: dict[Query, int] = {}
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        readings = fill_week(connection, datetime.now(UTC), week, log)
        connection.execute(f"SET ROLE {READER_ROLE}".encode())
        connection.execute("SET jit = off")  # as the role has it, which SET ROLE does not bring
        for round_number in range(ROUNDS):  # in turn, so that a busy moment strikes one of each
            log(f"round {round_number + 1} of {ROUNDS}")
            for dashboard in read_dashboards().values():
                now = datetime.now(UTC)
                chosen = default_values(connection, dashboard, now)
                for query in queries(dashboard):
                    points, least = query.max_points, query.min_interval_s
                    context = QueryContext.for_range(now - RANGES[RANGE], now, points, least, chosen)
                    begun = time.perf_counter()
                    rows[query] = len(execute(connection, query, context).rows)
                    took = (time.perf_counter() - begun) * 1000
                    best[query] = min(took, best.get(query, took))
    return figures({str(query): (round(took, 1), rows[query]) for query, took in best.items()}) | {
        "server": str(edition),
        "beds": week.beds,
        "readings": readings,
        "range": RANGE,
    }


def figures(costs: Mapping[str, tuple[float, int]]) -> Figures:
    """Return milliseconds and rows of each query, the slowest first, and those above the limit."""
    slowest = sorted(costs.items(), key=lambda cost: -cost[1][0])
    return {
        "queries": [{"milliseconds": took, "rows": rows, "query": query} for query, (took, rows) in slowest],
        "too_slow": [query for query, (took, _) in slowest if took > LIMIT_MS],
    }
