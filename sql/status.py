"""Report the contents of a database and the state of its jobs, for `vitalflow db status`. Reads only."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from psycopg.sql import SQL, Identifier

from sql.connection import Connection
from sql.files import named
from sql.migrate import find_edition

STATEMENTS = named("status.sql")

PORTAL_FAULT = (
    "a fault of TimescaleDB with this version of PostgreSQL, seen with 2.29.2 on 17.12; "
    "change one of the two, see docs/docker.md"
)


def status(connection: Connection) -> Iterator[str]:
    """Yield the lines of the report."""
    edition = find_edition(connection)
    yield str(edition)
    for name, estimate, size in connection.execute(STATEMENTS["tables"]):
        rows = f"about {estimate:,}" if isinstance(estimate, int) else f"{_count(connection, str(name)):,}"
        yield f"{name:<18} {rows:>18} rows  {size:>10}"
    for oldest, newest in connection.execute(STATEMENTS["readings_span"]):
        yield f"readings           {oldest or 'none'} to {newest or 'none'}"
    for name, period in connection.execute("SELECT name, period FROM retention_setting ORDER BY name"):
        yield f"{name:<18} {period}"
    for name, value, needed, purpose in connection.execute(STATEMENTS["server_settings"]):
        assert isinstance(value, int)
        assert isinstance(needed, int)
        yield f"{name} {value}" + (
            f", {purpose}" if value >= needed else f" is too low {purpose}: set it to {needed} or more and restart"
        )
    for waiting, since in connection.execute(named("ingest.sql")["late_readings_waiting"]):
        yield f"late readings      {f'{waiting} waiting for their chunk since {since}' if waiting else 'none waiting'}"
    if not edition.community:
        yield "rollups            views, computed when queried: continuous aggregates need the Community edition"
        yield "retention          by ingest, once an hour"
        return
    for name, chunks, compressed, before, after, ratio in connection.execute(STATEMENTS["columnstore"]):
        saving = f"{before} -> {after}, {ratio}x smaller" if compressed else "nothing yet"
        yield f"columnstore        {name}: {compressed} of {chunks} chunks, {saving}"
    for name, relation, last_run, last_status, failures, next_run, error in connection.execute(STATEMENTS["jobs"]):
        last = f"{last_status} {last_run}" if last_run else "has not run"
        job = f"{name} {relation}".rstrip()
        yield f"job                {job}: {last}, {failures} failures, next {next_run or 'not scheduled'}"
        if last_status == "Failed":
            yield f"  last error       {_describe_job_error(str(error or 'not recorded'))}"
    for pending, readings, minutes, last_at in connection.execute(STATEMENTS["late"]):
        yield (
            f"late readings      {readings} refreshed in {minutes} minutes, {pending} minutes pending, "
            f"last {last_at or 'never'}"
        )
    for name, refreshed_to in connection.execute(STATEMENTS["progress"]):
        yield f"rollup             {name}: refreshed to {refreshed_to}"
    for days, since in connection.execute(STATEMENTS["checked"]):
        yield f"rollup check       {days} days compared with their readings{f' since {since}' if days else ''}"
    for day, name, readings, rolled_up in connection.execute(STATEMENTS["differences"]):
        assert isinstance(day, datetime)
        start = day.astimezone(UTC)
        yield (
            f"rollup check       {name} has {rolled_up} of the {readings} readings of {start:%Y-%m-%d}; run "
            f"vitalflow db backfill --from {start:%Y-%m-%d} --to {start + timedelta(days=1):%Y-%m-%d}"
        )


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table))).fetchone()
    assert row is not None
    return int(str(row[0]))


def _describe_job_error(message: str) -> str:
    """Return the text of a job's error in one line, with the cause if it is a known fault of the server."""
    line = " ".join(message.split())
    return f"{line} ({PORTAL_FAULT})" if re.search(r"cannot drop .*portal", line) else line
