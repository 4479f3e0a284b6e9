"""Weeks of readings in a database, its rollups filled, for tests of what is asked of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bench.readings import insert_readings
from sql.backfill import backfill
from sql.files import named
from sql.migrate import connect
from stack.servers import DatabaseServer
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
            new = cursor.execute(STATEMENTS["insert_new_readings"]).rowcount
            late_after = cursor.execute(STATEMENTS["late_after"]).fetchone()
            if note_late and late_after is not None:
                cursor.execute(STATEMENTS["record_late_readings"], [late_after[0]])
    return new


def hold_jobs(db: Db) -> None:
    """Keep a native server's scheduler from running jobs at moments of its own; tests run them by hand."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute(
            "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000"
        )


def run_jobs(db: Db, name: str) -> None:
    """Do what the server's scheduler would do now; the WebAssembly build has none."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        jobs = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s ORDER BY job_id", [name]
        ).fetchall()
        assert jobs, f"there is no job {name}"
        for job in jobs:
            connection.execute("CALL run_job(%s)", job)


GAP_HOUR = NOW.replace(minute=0) - timedelta(hours=3)
DAYS = 20


def fill_with_stories(db: Db) -> None:
    """Twenty days of three devices, and some that have a story.

    bed-silent    was last heard of three days ago
    bed-new       has announced itself and not measured yet
    bed-forgotten was taken away for good
    bed-gap       lost readings 11 to 15 between one hour and the next
    """
    store(db, [NOW - timedelta(days=3)], device_id="bed-silent", heart_rate=61)
    store(db, [NOW - timedelta(days=4)], device_id="bed-forgotten", heart_rate=62)
    boot = int(GAP_HOUR.timestamp())
    store(db, [GAP_HOUR + number * STEP for number in range(10)], device_id="bed-gap", boot=boot)
    later = GAP_HOUR + timedelta(hours=1)
    with psycopg.connect(db.owner_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, status, received_at)"
            " SELECT %s + number * interval '1 minute', 'bed-gap', %s, number, 'icu-1', 'NORMAL', %s"
            " FROM generate_series(16, 20) AS number",
            [later, boot, later],
        )
        cursor.executemany(
            "INSERT INTO device (device_id, ward, state, boot, changed_at) VALUES (%s, 'icu-1', %s, 1, %s)",
            [
                ("bed-001", "online", NOW - timedelta(days=20)),
                ("bed-silent", "offline", NOW - timedelta(days=3)),
                ("bed-new", "online", NOW),
                ("bed-forgotten", "forgotten", NOW),
            ],
        )
        cursor.executemany(
            "INSERT INTO rejected_message (received_at, topic, payload, payload_size, reason, detail)"
            " VALUES (%s, 't', '', 0, %s, '')",
            [(NOW - timedelta(minutes=5), reason) for reason in ("implausible", "implausible", "not_json")],
        )
        for number, (rule, priority, state) in enumerate(
            [("hr-high", "medium", "active"), ("spo2-low", "high", "acknowledged"), ("rr-low", "high", "cleared")]
        ):
            told = {
                "alert_id": f"00000000-0000-0000-0000-00000000000{number}", "revision": 1, "rule": rule,
                "priority": priority, "kind": "physiological", "state": state, "change": "raised", "level": 1,
                "ward": "icu-1", "device_id": "bed-001", "patient_id": "p-0001", "sign": None, "value": 130.0,
                "limit": 120.0, "unit": "/min", "text": rule, "since": NOW - timedelta(minutes=9 - number),
                "raised_at": NOW - timedelta(minutes=8), "changed_at": NOW, "acknowledged_by": None,
                "audio_paused_until": None, "latched": False, "reason": None, "received_at": NOW,
            }  # fmt: skip
            cursor.execute(STATEMENTS["alert_event"], told)
            cursor.execute(STATEMENTS["alert_latest"], told)
    fill(db, DAYS)


@pytest.fixture(scope="session", params=["Community", "Apache"])
def weeks(request: pytest.FixtureRequest) -> Iterator[Db]:
    """Twenty days of readings, on each edition in turn; tests may read them, and take back what they add."""
    if request.param == "Apache":
        database: DatabaseServer = request.getfixturevalue("database")
        db = copy_of_template(database, "weeks")
        fill_with_stories(db)
        yield db
        with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE weeks WITH (FORCE)")
        return
    with request.getfixturevalue("make_community")() as url:
        db = community_db(url)
        migrate(db).expect_success()
        fill_with_stories(db)
        yield db
