"""Weeks of readings in a database, its rollups filled, for tests of what is asked of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bench.readings import insert_readings
from sql.backfill import backfill
from sql.files import named
from sql.migrate import connect
from stack.servers import Database
from tests.fix_community import community_db
from tests.fix_migrate import migrate
from tests.fix_servers import Db, copy_of_template

DEVICES = 3
STEP = timedelta(minutes=2)
STATEMENTS = named("ingest.sql")
# Whole minutes, so that a test may say which bucket a reading belongs to.
NOW = datetime.now(UTC).replace(second=0, microsecond=0)

Connection = psycopg.Connection[tuple[object, ...]]


def fill(db: Db, days: int) -> None:
    """Three devices, a reading every other minute up to the present minute; the rollups hold all of it."""
    origin = NOW - timedelta(days=days)
    with connect(db.owner_url) as connection:
        insert_readings(connection, origin, range(days * 720 + 1), DEVICES, STEP)
        if connection.execute("SELECT community FROM vitalflow_edition").fetchone() == (True,):
            backfill(connection, origin, NOW + STEP, lambda _: None)


def refresh_all(db: Db, since: datetime, until: datetime) -> None:
    with connect(db.owner_url) as connection:
        backfill(connection, since, until, lambda _: None)


def store(db: Db, times: list[datetime], *, note_late: bool = True, **columns: object) -> int:
    """Store readings as ingest does by way of the stage; how many were new."""
    told = {"device_id": "bed-001", "boot": 2, "ward": "icu-1", "status": "NORMAL", "sensor_off": [], **columns}
    names = ", ".join(["time", "seq", "received_at", *told])
    values = ", ".join(["%s"] * (3 + len(told)))
    rows = [(time, seq, time, *told.values()) for seq, time in enumerate(times, 1)]
    with psycopg.connect(db.owner_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(STATEMENTS["stage"])
        with connection.transaction():
            cursor.executemany(f"INSERT INTO stage ({names}) VALUES ({values})".encode(), rows)  # noqa: S608
            new = cursor.execute(STATEMENTS["keep_new_readings"]).rowcount
            late_after = cursor.execute(STATEMENTS["late_after"]).fetchone()
            if note_late and late_after is not None:
                cursor.execute(STATEMENTS["note_late"], [late_after[0]])
    return new


def run_jobs(db: Db, name: str) -> None:
    """Do what the server's scheduler would do now; the WebAssembly build has none."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        jobs = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s ORDER BY job_id", [name]
        ).fetchall()
        assert jobs, f"there is no job {name}"
        for job in jobs:
            connection.execute("CALL run_job(%s)", job)


@pytest.fixture(scope="module", params=["Community", "Apache"])
def weeks(request: pytest.FixtureRequest) -> Iterator[Db]:
    """Twenty days of readings, on each edition in turn; tests may read it and no more."""
    if request.param == "Apache":
        database: Database = request.getfixturevalue("database")
        db = copy_of_template(database, f"weeks_{request.module.__name__.rpartition('.')[2]}")
        fill(db, 20)
        yield db
        with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {db.owner_url.rpartition('/')[2]} WITH (FORCE)".encode())
        return
    with request.getfixturevalue("make_community")() as url:
        db = community_db(url)
        migrate(db).expect_success()
        fill(db, 20)
        yield db
