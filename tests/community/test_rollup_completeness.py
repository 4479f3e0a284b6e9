"""Every bucket of every rollup equals the readings, whatever was stopped for how long, and a difference is found.

The examples run in the past, with a clock of their own: the procedures that refresh take the time as an argument.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sql.backfill import continue_refresh
from tests.fixtures.community import MakeMigrated
from tests.fixtures.trends import NOW, STATEMENTS, run_jobs
from tests.support.migrate import settings_of, start_migrate, wait_for_end
from tests.support.servers import Db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATE_AFTER = 6 * HOUR
LEVELS = {"vitals_1m": timedelta(minutes=1), "vitals_1h": HOUR, "vitals_1d": DAY}
START = (NOW - 5 * DAY).replace(hour=0, minute=0)

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Step:
    """An event of a history.

    live      `hours` pass in which readings arrive and no job runs
    jobs      the jobs run once, to the end
    killed    the jobs are killed after a day of their work
    outbox    readings of the last `hours` arrive at once, in two transactions
    """

    kind: Literal["live", "jobs", "killed", "outbox"]
    hours: int = 0


@dataclass
class History:
    """A database whose clock is `now`."""

    connection: Connection
    now: datetime = START
    seq: int = 0

    def apply(self, step: Step) -> None:
        match step.kind:
            case "live":
                self._store([self.now + minutes * timedelta(minutes=10) for minutes in range(6 * step.hours)])
                self.now += step.hours * HOUR
            case "outbox":
                times = [self.now - minutes * timedelta(minutes=10) for minutes in range(1, 6 * step.hours)]
                times = [time for time in times if time >= START]
                for part in (times[: len(times) // 2], times[len(times) // 2 :]):
                    self._store(part)
                    self._refresh_late()
            case "killed":
                self.connection.execute("CALL advance_rollups(%s)", [self.now])
            case "jobs":
                self.run_jobs()

    def run_jobs(self) -> None:
        for _ in range((self.now - START) // DAY + 1):
            self.connection.execute("CALL advance_rollups(%s)", [self.now])
        self._refresh_late()

    def _refresh_late(self) -> None:
        self.connection.execute("CALL refresh_invalidated_buckets(600)")

    def _store(self, times: list[datetime]) -> None:
        """Store as ingest does at `now`."""
        with self.connection.transaction():
            with self.connection.cursor() as cursor:
                for time in times:
                    self.seq += 1
                    cursor.execute(
                        "INSERT INTO stage"
                        " (time, device_id, boot, seq, ward, heart_rate, sensor_off, status, received_at) VALUES"
                        " (%s, %s, 1, %s, 'icu-1', %s, '{}', 'NORMAL', %s)",
                        [time, f"bed-{self.seq % 2}", self.seq, 60 + self.seq % 50, self.now],
                    )
            self.connection.execute(STATEMENTS["insert_new_readings"])
            late_after = datetime.now(self.now.tzinfo) - self.now + LATE_AFTER
            self.connection.execute(STATEMENTS["record_late_readings"], [late_after])


@contextmanager
def history(make_migrated: MakeMigrated) -> Iterator[tuple[Db, History]]:
    """A database that was made at START, and its history; one connection at a time."""
    with make_migrated() as db, psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("UPDATE rollup_progress SET refreshed_to = %s", [START])
        connection.execute(STATEMENTS["stage"])
        yield db, History(connection)


def differences(connection: Connection) -> list[tuple[object, ...]]:
    """Return the buckets whose rows are not those of the readings, over all levels."""
    found: list[tuple[object, ...]] = []
    for level, width in LEVELS.items():
        found += connection.execute(
            f"SELECT '{level}', * FROM ("  # noqa: S608
            "  SELECT time_bucket(%s, time) AS bucket, device_id, count(*), max(heart_rate), sum(heart_rate)::int"
            "  FROM patient_vitals GROUP BY 1, 2) AS stored"
            f" FULL JOIN (SELECT bucket, device_id, readings, heart_rate_max, round(heart_rate_avg * readings)::int"
            f"  FROM {level}) AS rolled (bucket, device_id, count, max, sum) USING (bucket, device_id, count, max, sum)"
            " WHERE stored IS NULL OR rolled IS NULL",
            [width],
        ).fetchall()
    found += connection.execute(
        "SELECT 'sequence_1h', * FROM ("
        "  SELECT time_bucket('1 hour', time) AS bucket, device_id, count(*), min(seq), max(seq)"
        "  FROM patient_vitals GROUP BY 1, 2) AS stored"
        " FULL JOIN (SELECT bucket, device_id, stored, first_seq, last_seq FROM sequence_1h)"
        "  AS rolled (bucket, device_id, count, min, max) USING (bucket, device_id, count, min, max)"
        " WHERE stored IS NULL OR rolled IS NULL"
    ).fetchall()
    return found


steps = st.builds(Step, st.sampled_from(["live", "jobs", "killed", "outbox"]), st.integers(1, 30))


@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(steps, min_size=2, max_size=5))
@example([Step("live", 3), Step("jobs"), Step("live", 24), Step("jobs")])
@example([Step("live", 5), Step("jobs"), Step("live", 10), Step("killed"), Step("live", 1), Step("outbox", 20)])
@example([Step("live", 29), Step("jobs"), Step("outbox", 16), Step("live", 1), Step("jobs")])
def test_after_any_stops_outboxes_and_late_batches_every_bucket_equals_the_readings(
    make_migrated: MakeMigrated, events: list[Step]
) -> None:
    with history(make_migrated) as (_, made):
        for event in events:
            if made.now + event.hours * HOUR < NOW - HOUR:
                made.apply(event)
        # sequence_1h is refreshed again after 15 minutes at the earliest, which pass here.
        made.connection.execute("UPDATE rollup_progress SET changed_at = '-infinity'")
        made.run_jobs()
        assert differences(made.connection) == []
        days = made.connection.execute("SELECT refreshed_to FROM rollup_progress WHERE rollup = 'vitals_1d'")
        assert days.fetchone() == (made.now.replace(hour=0),)


@pytest.fixture
def three_days(make_migrated: MakeMigrated) -> Iterator[tuple[Db, History]]:
    """Three days of readings, and no job has run."""
    with history(make_migrated) as (db, made):
        made.apply(Step("live", 72))
        yield db, made


def test_a_day_that_differs_is_found_and_reported_until_it_is_mended(three_days: tuple[Db, History]) -> None:
    db, made = three_days
    made.run_jobs()
    table = made.connection.execute("SELECT rollup_table('vitals_1h')::text").fetchone()
    assert table is not None
    made.connection.execute(f"DELETE FROM {table[0]} WHERE bucket = %s".encode(), [START + DAY + HOUR])  # noqa: S608
    for _ in range(3):
        made.connection.execute("CALL check_rollups(0, NULL)")
    assert made.connection.execute("SELECT count(DISTINCT day) FROM rollup_check").fetchone() == (3,)
    found = made.connection.execute("SELECT day, rollup, readings, rolled_up FROM rollup_difference").fetchall()
    assert found == [(START + DAY, "vitals_1h", 144, 138)]
    made.connection.close()
    day = f"{START + DAY:%Y-%m-%d}"
    status = wait_for_end(start_migrate(settings_of(db), command=["status"])).expect_success()
    assert "rollup check       3 days compared with their readings since" in status
    assert f"rollup check       vitals_1h has 138 of the 144 readings of {day}; run vitalflow db backfill" in status
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("UPDATE patient_vitals SET status = status WHERE time < %s", [START + 2 * DAY])
    until = f"{START + 2 * DAY:%Y-%m-%d}"
    wait_for_end(start_migrate(settings_of(db), command=["backfill", "--from", day, "--to", until])).expect_success()
    run_jobs(db, "check_rollups")
    assert db.rows("SELECT * FROM rollup_difference") == []


def test_readings_are_dropped_only_when_they_are_in_the_rollups(three_days: tuple[Db, History]) -> None:
    _, made = three_days
    made.connection.execute("UPDATE retention_setting SET period = interval '1 day' WHERE name = 'raw_retention'")
    made.connection.execute("CALL drop_old_chunks(0, NULL)")
    assert db_count(made.connection) == 72 * 6, "the jobs did not run for three days"
    made.run_jobs()
    made.connection.execute("INSERT INTO rollup_invalidation (minute, readings) VALUES (%s, 1)", [START + DAY])
    made.connection.execute("CALL drop_old_chunks(0, NULL)")
    assert db_count(made.connection) == 48 * 6, "late readings of the second day wait for the refresh"
    made.connection.execute("CALL refresh_invalidated_buckets(600)")
    made.connection.execute("CALL drop_old_chunks(0, NULL)")
    assert db_count(made.connection) == 24 * 6
    row = made.connection.execute("SELECT sum(readings) FROM vitals_1d").fetchone()
    assert row == (72 * 6,)


def db_count(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM patient_vitals").fetchone()
    assert row is not None
    return int(str(row[0]))


def test_while_history_is_taken_in_no_query_falls_short(three_days: tuple[Db, History]) -> None:
    _, made = three_days
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        assert differences(made.connection) == []
        # A job for late readings that runs meanwhile, of a day that is not taken in yet.
        made.connection.execute(
            "INSERT INTO rollup_invalidation (minute, readings) VALUES (%s, 1)", [START + 2 * DAY + HOUR]
        )
        made.connection.execute("CALL refresh_invalidated_buckets(600)")
        assert differences(made.connection) == []

    continue_refresh(made.connection, log)
    assert len(lines) >= 6
