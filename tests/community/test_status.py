"""`vitalflow db status`: settings of the server that are too low, and the last error of a failed job."""

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from stack.binaries import ServerBinaries
from stack.servers import DatabaseServer, free_port
from tests.support.migrate import settings_of, start_migrate, wait_for_end
from tests.support.rows import START, write_readings
from tests.support.servers import Db, new_database, serving

FAILED = """
INSERT INTO _timescaledb_internal.bgw_job_stat VALUES (
    %(job)s, now(), now(), now(), '-infinity', false, 1, '1 s', '1 s', 0, 1, 0, 1, 0, 0)
ON CONFLICT (job_id) DO UPDATE SET last_run_success = false, total_failures = 1, last_start = now(), last_finish = now()
"""
ERROR = """
INSERT INTO _timescaledb_internal.bgw_job_stat_history (job_id, execution_start, execution_finish, succeeded, data)
VALUES (%(job)s, now() - %(age)s, now() - %(age)s, false,
        jsonb_build_object('job', jsonb_build_object(), 'error_data', jsonb_build_object('message', %(text)s::text)))
"""


def status(db: Db) -> str:
    return wait_for_end(start_migrate(settings_of(db), command=["status"])).expect_success()


def test_settings_of_the_private_server_are_enough(db: Db) -> None:
    output = status(db)
    assert "max_worker_processes 19, for TimescaleDB's jobs and parallel queries\n" in output
    assert "max_locks_per_transaction 512, for " in output
    assert "too low" not in output


def test_settings_that_are_too_low_are_named_with_the_value_to_set(
    binaries: ServerBinaries, run_name: str, tmp_path: Path
) -> None:
    server = DatabaseServer(
        binaries, f"{run_name}-low", free_port(), tmp_path / "low.log",
        fsync="off", max_worker_processes="9", max_locks_per_transaction="12",
    )  # fmt: skip
    with serving(binaries, server):
        db = new_database(server)
        for day in range(60):
            write_readings(db, [day + 1], start=START - timedelta(days=day))
        output = status(db)
    assert (
        "max_worker_processes 9 is too low for TimescaleDB's jobs and parallel queries: set it to 19 or more" in output
    )
    needed = int(output.partition("max_locks_per_transaction 12 is too low")[2].partition("set it to ")[2].split()[0])
    assert 19 <= needed <= 25  # four queries, 60 chunks with three indexes each, 50 connections


def test_late_readings_that_wait_are_counted_with_the_time_of_the_oldest(db: Db) -> None:
    assert "late readings      none waiting\n" in status(db)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO late_reading (reading, set_aside_at)"
            " SELECT '{}', '2026-11-22 10:00+00'::timestamptz + n * interval '1 hour' FROM generate_series(0, 2) AS n"
        )
    assert "late readings      3 waiting for their chunk since 2026-11-22 10:00:00" in status(db)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("could not extend file", "could not extend file\n"),
        ('cannot drop pinned portal\n  "x"', 'cannot drop pinned portal "x" (a fault of TimescaleDB with this version'),
        (None, "not recorded\n"),
    ],
)
def test_the_last_error_of_a_failed_job_is_shown_and_a_known_fault_named(
    migrated: Db, text: str | None, shown: str
) -> None:
    with psycopg.connect(migrated.owner_url) as connection:
        job = {"job": community_job(connection)}
        connection.execute(FAILED, job)
        if text is not None:
            connection.execute(ERROR, {**job, "age": timedelta(hours=2), "text": "an older error"})
        connection.execute(ERROR, {**job, "age": timedelta(hours=1), "text": text})
    output = status(migrated)
    assert output.count("last error") == 1
    assert "1 failures, next" in output
    assert f"  last error       {shown}" in output


def community_job(connection: "psycopg.Connection[tuple[object, ...]]") -> object:
    """The job that drops old readings."""
    row = connection.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'drop_old_chunks'"
    ).fetchone()
    assert row is not None
    return row[0]
