"""Refresh the rollups over stored readings, one day at a time: after rollups were created, or on request.

A refresh commits as it proceeds and cannot be part of a transaction. Instead the position is recorded and logged after
each day, and the next run continues from there.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from sql.connection import Connection, Log
from vitals.errors import PermanentError, TransientError, VitalFlowError

DAY = timedelta(days=1)


def continue_backfills(connection: Connection, log: Log) -> None:
    """Finish the ranges in `vitalflow_backfill`."""
    pending = connection.execute("SELECT id, done_to, until FROM vitalflow_backfill ORDER BY id").fetchall()
    for number, done_to, until in pending:
        assert isinstance(done_to, datetime)
        assert isinstance(until, datetime)
        log(f"adding the readings since {_minute(done_to)} to the rollups")
        for day, end in days(done_to, until):
            _refresh(connection, day, end, "run vitalflow db migrate again")
            connection.execute("UPDATE vitalflow_backfill SET done_to = %s WHERE id = %s", [end, number])
            log(f"rollups refreshed from {_minute(day)} to {_minute(end)}")
        connection.execute("DELETE FROM vitalflow_backfill WHERE id = %s", [number])


def backfill(connection: Connection, since: datetime, until: datetime, log: Log) -> None:
    """Refresh every bucket of all rollups between two times, except where retention has dropped the readings."""
    if until <= since:
        raise PermanentError(f"--to {_minute(until)} is not later than --from {_minute(since)}")
    row = connection.execute(
        "SELECT rollup_floor('vitals_1m'), min(rollup_floor(name)) FROM rollup_queries()"
    ).fetchone()
    assert row is not None
    readings_from, oldest = row
    if not isinstance(oldest, datetime):
        log("there are no readings")
        return
    if isinstance(readings_from, datetime) and since < readings_from:
        log(f"readings are kept since {_minute(readings_from)}; older minutes are not changed")
    todo = list(days(max(since, oldest), until))
    for number, (day, end) in enumerate(todo, 1):
        _refresh(connection, day, end, f"continue with --from {day.isoformat()}")
        log(f"{number} of {len(todo)}: rollups refreshed from {_minute(day)} to {_minute(end)}")


def days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Split a range at midnight UTC."""
    start = since.astimezone(UTC)
    until = until.astimezone(UTC)
    while start < until:
        end = min(until, start.replace(hour=0, minute=0, second=0, microsecond=0) + DAY)
        yield start, end
        start = end


def _refresh(connection: Connection, since: datetime, until: datetime, advice: str) -> None:
    try:
        connection.execute("CALL refresh_rollups(%s, %s)", [since, until])
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        kind: type[VitalFlowError] = TransientError if isinstance(error, psycopg.OperationalError) else PermanentError
        raise kind(f"the rollups are refreshed up to {_minute(since)}, then: {message}; {advice}") from error


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"
