"""Old readings on the Apache edition: ingest drops them once an hour, by the retention period in the database."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.periodic import CONNECT_TIMEOUT_S
from ingest.retention import Retention
from stack.servers import BrokerServer, free_port
from tests.fixtures.ingest import MakeIngest
from tests.support.migrate import settings_of, start_migrate, wait_for_end
from tests.support.rows import write_readings
from tests.support.servers import Db, eventually

NOW = datetime.now(UTC)
AGES = (0, 20, 29, 32, 40)  # days; a chunk is dropped when all of it is older than 30


def write_ages(db: Db) -> None:
    for age in AGES:
        write_readings(db, [age + 1], start=NOW - timedelta(days=age))


def ages(db: Db) -> list[int]:
    return [int(str(seq)) - 1 for (seq,) in db.rows("SELECT seq FROM patient_vitals ORDER BY time DESC")]


def test_ingest_drops_what_is_older_than_the_retention(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    write_ages(db)
    ingest = make_ingest(broker.url, db)
    eventually(lambda: ages(db) == [0, 20, 29], 30, "the old chunks are gone")
    eventually(lambda: ingest.metric("chunks_dropped_total") == 2, 5, "it counts them")
    assert "dropped 2 chunks of readings older than the retention" in ingest.said()
    assert ingest.stop() == 0


def test_the_retention_period_is_the_one_given_to_migrate(db: Db) -> None:
    write_ages(db)
    settings = {**settings_of(db), "VITALFLOW_RAW_RETENTION_DAYS": "25"}
    wait_for_end(start_migrate(settings)).expect_success()
    with psycopg.connect(db.ingest_url) as connection:
        # A caller cannot substitute the table that the function reads.
        connection.execute("CREATE TEMP TABLE retention_setting (name text, period interval)")
        connection.execute("INSERT INTO pg_temp.retention_setting VALUES ('raw_retention', '1 hour')")
        connection.execute("SET search_path = pg_temp, public")
        assert connection.execute("SELECT public.drop_old_readings()").fetchone() == (3,)
    assert ages(db) == [0, 20]


def test_it_repeats_and_a_failure_is_logged_and_does_no_harm(db: Db, caplog: pytest.LogCaptureFixture) -> None:
    write_ages(db)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("ALTER FUNCTION drop_old_readings() RENAME TO gone")
    counted: list[int] = []
    thread = Retention(db.ingest_url, counted.append, lambda _: None, first_after_s=0, interval_s=0.1)
    thread.start()
    eventually(lambda: caplog.text.count("could not drop old readings") > 1, 10, "it fails twice")
    assert ages(db) == list(AGES)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("ALTER FUNCTION gone() RENAME TO drop_old_readings")
    eventually(lambda: 0 in counted, 10, "it works again, and the next call drops nothing")
    assert counted[0] == 2
    assert ages(db) == [0, 20, 29]
    thread.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_stopping_does_not_wait_for_an_unavailable_server() -> None:
    thread = Retention(f"postgresql://u:p@127.0.0.1:{free_port()}/x", lambda _: None, lambda _: None, first_after_s=0)
    thread.start()
    thread.stop()
    thread.join(CONNECT_TIMEOUT_S + 5)
    assert thread not in threading.enumerate()
