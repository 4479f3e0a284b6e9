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
REFRESHED_WITHIN = timedelta(minutes=4)  # a refresh ends two minutes ago, at a whole minute


def continue_refresh(connection: Connection, log: Log) -> None:
    """Refresh the rollups from where they are, a day at a time, if they are more than a day behind.

    So it is with new rollups over stored readings. If it stops, the jobs of the database continue, or the next migrate.
    """
    start = position = _progress(connection)
    if datetime.now(UTC) - start < DAY:
        return
    log(f"adding the readings since {_minute(start)} to the rollups")
    while datetime.now(UTC) - position > REFRESHED_WITHIN:
        try:
            connection.execute("CALL advance_rollups(now() - interval '2 minutes')")
        except psycopg.Error as error:
            raise _stopped(error, position, "the jobs of the database, or vitalflow db migrate, continue") from error
        before, position = position, _progress(connection)
        log(f"rollups refreshed from {_minute(before)} to {_minute(position)}")


def _progress(connection: Connection) -> datetime:
    row = connection.execute("SELECT refreshed_to FROM rollup_progress WHERE rollup = 'vitals_1m'").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


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
    roll_up_imports(connection, since, until)
    # The next runs of check_rollups compare these days again.
    connection.execute("DELETE FROM rollup_check WHERE day > %s - interval '24 hours' AND day < %s", [since, until])


def roll_up_imports(connection: Connection, since: datetime | None = None, until: datetime | None = None) -> None:
    """Compute the averages of imported readings that no refresh reaches (sql/editions/community/35_import.sql)."""
    try:
        connection.execute(
            "CALL roll_up_imports(coalesce(%s::timestamptz, '-infinity'), coalesce(%s::timestamptz, 'infinity'))",
            [since, until],
        )
        connection.execute("CALL show_imported_averages()")
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        raise TransientError(
            f"averages of imported readings: {message}; run vitalflow db backfill --from DAY"
        ) from error


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
        raise _stopped(error, since, advice) from error


def _stopped(error: psycopg.Error, position: datetime, advice: str) -> VitalFlowError:
    message = " ".join(str(error).split())
    kind: type[VitalFlowError] = TransientError if isinstance(error, psycopg.OperationalError) else PermanentError
    return kind(f"the rollups are refreshed up to {_minute(position)}, then: {message}; {advice}")


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"
