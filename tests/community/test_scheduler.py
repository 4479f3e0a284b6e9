"""How tests hold and run TimescaleDB's scheduler on a native server. The WebAssembly build has none."""

import os
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from sql.backfill import backfill
from sql.migrate import connect
from stack.servers import DatabaseServer
from tests.fixtures.trends import NOW, fill
from tests.support.available import NATIVE
from tests.support.community_server import hold_scheduler, native_database, running_scheduler
from tests.support.migrate import migrate
from tests.support.servers import Db, community_db, eventually


def schedulers(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'TimescaleDB Background Worker Scheduler' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def runs(url: str) -> Callable[[], bool]:
    return lambda: schedulers(url) == 1


def test_the_scheduler_of_a_test_database_runs_only_when_a_test_starts_it(database: DatabaseServer) -> None:
    with native_database(database.url("postgres")) as url:
        migrate(community_db(url)).expect_success()
        assert not runs(url)()
        with running_scheduler(url):
            eventually(runs(url), 10, "the scheduler runs")
        eventually(lambda: not runs(url)(), 10, "the scheduler has stopped")
        hold_scheduler(url)
        assert not runs(url)()


@pytest.mark.skipif(NATIVE not in os.environ, reason=f"needs a native Community server ({NATIVE})")
def test_the_jobs_and_a_backfill_of_a_running_scheduler_leave_no_reading_out(community: Db) -> None:
    migrate(community).expect_success()
    with running_scheduler(community.owner_url):
        fill(community, 2)
        with connect(community.owner_url) as connection:
            backfill(connection, NOW - timedelta(days=2), NOW, lambda _: None)
        failed = "SELECT count(*) FROM job_now WHERE last_status = 'Failed'"
        eventually(
            lambda: community.one("SELECT count(*) FROM job_now WHERE last_run IS NULL") == 0, 60, "each job ran"
        )
    assert community.one(failed) == 0
    assert community.one("SELECT sum(readings) FROM vitals_1m") == community.count()
