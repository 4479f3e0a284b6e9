"""Taking stored readings into the rollups, a day at a time: after new rollups were made, or when a person asks for it.

A refresh commits as it goes and cannot be part of a transaction, so what is promised here is another thing: at every
moment it is known how far it came, it says so, and it goes on from there.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from vitals.errors import PermanentError, TransientError, VitalFlowError

DAY = timedelta(days=1)

Connection = psycopg.Connection[tuple[object, ...]]
Say = Callable[[str], None]


def continue_backfills(connection: Connection, say: Say) -> None:
    """Finish what `vitalflow_backfill` holds."""
    pending = connection.execute("SELECT id, done_to, until FROM vitalflow_backfill ORDER BY id").fetchall()
    for number, done_to, until in pending:
        assert isinstance(done_to, datetime)
        assert isinstance(until, datetime)
        say(f"taking the readings since {_minute(done_to)} into the rollups")
        for day, end in days(done_to, until):
            _refresh(connection, day, end, "run python -m sql migrate again")
            connection.execute("UPDATE vitalflow_backfill SET done_to = %s WHERE id = %s", [end, number])
            say(f"rollups hold {_minute(day)} to {_minute(end)}")
        connection.execute("DELETE FROM vitalflow_backfill WHERE id = %s", [number])


def backfill(connection: Connection, since: datetime, until: datetime, say: Say) -> None:
    """Refresh every bucket between two moments, in all rollups; what retention has dropped is left as it is."""
    if until <= since:
        raise PermanentError(f"--to {_minute(until)} is not later than --from {_minute(since)}")
    row = connection.execute(
        "SELECT rollup_floor('vitals_1m'), min(rollup_floor(name)) FROM rollup_queries()"
    ).fetchone()
    assert row is not None
    readings_from, oldest = row
    if not isinstance(oldest, datetime):
        say("there are no readings")
        return
    if isinstance(readings_from, datetime) and since < readings_from:
        say(f"readings are kept since {_minute(readings_from)}; older minutes stay as they are")
    todo = list(days(max(since, oldest), until))
    for number, (day, end) in enumerate(todo, 1):
        _refresh(connection, day, end, f"go on with --from {day.isoformat()}")
        say(f"{number} of {len(todo)}: rollups hold {_minute(day)} to {_minute(end)}")


def days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of a range that lie within one UTC day each."""
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
        words = " ".join(str(error).split())
        kind: type[VitalFlowError] = TransientError if isinstance(error, psycopg.OperationalError) else PermanentError
        raise kind(f"the rollups were filled up to {_minute(since)}, then: {words}; {advice}") from error


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"
