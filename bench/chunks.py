"""Measure the queries of pages with a long history: planning and execution, and how many chunks each one opens.

The planner opens and locks every chunk that it cannot exclude by constants of the query, which takes longer than the
query itself when there are a thousand of them.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.generated_readings import insert_readings
from bench.queries import PERIODS
from bench.report import Figures, Log
from bench.week import Week, fill_week
from grafana.execute import RANGES, default_values, execute
from grafana.files import read_dashboards
from grafana.macros import QueryContext
from grafana.queries import Query, queries
from sql.connection import Connection
from sql.migrate import READER_ROLE, connect, migrate

WEEK = Week(sparse=timedelta(minutes=2))
RANGE = "1 hour"
ROUNDS = 5
DAY = timedelta(days=1)

# What pages ask about one bed or about all of them, besides Grafana's queries.
PAGE_QUERIES = {
    "station, history of a bed": "SELECT * FROM vitals_series('bed-001', %(from)s, %(to)s, 300)",
    "station, history of a bed without readings": (
        "SELECT * FROM vitals_series('bed-001', %(to)s, %(to)s + interval '1 hour', 300)"
    ),
    "demo, conditions": "SELECT condition, count(*) FROM ward_condition GROUP BY condition",
    "ward_now": "SELECT * FROM ward_now",
    "ward_board": "SELECT * FROM ward_board",
    "last_reading": "SELECT * FROM last_reading",
    "last_reading_of": "SELECT * FROM last_reading_of('bed-001')",
    "last_valid_vitals": "SELECT * FROM last_valid_vitals",
    "news2_latest": "SELECT * FROM news2_latest",
    "completeness_between": "SELECT * FROM completeness_between(%(from)s, %(to)s)",
    "vitals_by_day": "SELECT * FROM vitals_by_day(%(from)s, %(to)s, '{bed-001}')",
    "oldest_reading": "SELECT oldest_reading()",
}
LOCKED = """
SELECT count(*) FROM pg_locks
WHERE coalesce(pid, 0) = pg_backend_pid()  -- the WebAssembly build has the process id 0
  AND relation IN (SELECT show_chunks('patient_vitals'))
"""

Ask = Callable[[], int]


def fill_chunks(connection: Connection, now: datetime, chunks: int, week: Week) -> int:
    """Fill an empty, migrated database with a week of readings and with a few of each day before it; how many."""
    first = now - chunks * DAY
    before = insert_readings(connection, first, range(1, chunks - week.days), 1, DAY)
    return before + fill_week(connection, now, week)


def page_queries(connection: Connection, now: datetime) -> Iterator[tuple[str, Ask]]:
    """Yield the name of each query, and what executes it and returns the number of rows."""
    since = now - RANGES[RANGE]
    for name, text in PAGE_QUERIES.items():
        yield name, partial(_rows, connection, text, {"from": since, "to": now})
    for dashboard in read_dashboards().values():
        chosen = default_values(connection, dashboard, now)
        for query in queries(dashboard):
            context = QueryContext.for_range(since, now, query.max_points, query.min_interval_s, chosen)
            yield str(query), partial(_panel_rows, connection, query, context)


def _rows(connection: Connection, text: str, parameters: dict[str, datetime]) -> int:
    return len(connection.execute(text.encode(), parameters).fetchall())


def _panel_rows(connection: Connection, query: Query, context: QueryContext) -> int:
    return len(execute(connection, query, context).rows)


def chunks_opened(connection: Connection, ask: Ask) -> int:
    """Return how many chunks of the readings a query opens, to plan it or to read them."""
    with connection.transaction():
        ask()
        row = connection.execute(LOCKED).fetchone()
    assert row is not None
    return int(str(row[0]))


def chunks(url: str, number: int, log: Log) -> Figures:
    """Fill an empty database with so many chunks, and measure every query of a page over an hour."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        now = datetime.now(UTC)
        rows = fill_chunks(connection, now, number, WEEK)
        log(f"{rows} readings in {number} chunks")
        connection.execute(f"SET ROLE {READER_ROLE}".encode())
        connection.execute("SET jit = off")  # as the role has it, which SET ROLE does not bring
        found = []
        for name, ask in page_queries(connection, now):
            times = []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                ask()
                times.append((time.perf_counter() - begun) * 1000)
            found.append(
                {"milliseconds": round(min(times), 1), "chunks": chunks_opened(connection, ask), "query": name}
            )
    return {
        "server": str(edition),
        "chunks": number,
        "rows": rows,
        "queries": sorted(found, key=lambda query: -query["milliseconds"]),
    }
