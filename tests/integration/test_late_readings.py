"""Ingest records the minutes of late readings if the database has rollups to refresh.

The real ingest process with the real server. The server has the Apache edition, so the database's own flag is set to
Community, on which alone the behaviour of ingest depends. tests/community/ tests the refresh.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import paho.mqtt.publish as publish
import psycopg
import pytest

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.migrate import migrate
from tests.support.servers import Db, eventually

NOW = datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture
def community(db: Db) -> Db:
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("UPDATE vitalflow_edition SET community = true")
    return db


def send(broker: BrokerServer, *readings: tuple[int, datetime], **more: object) -> None:
    """Publish readings, given as seq and time, as one backlog."""
    readings_json = [
        {"boot": 1, "seq": seq, "time": time.isoformat(), "heart_rate": 80, **more} for seq, time in readings
    ]
    publish.single(
        "vitalflow/vitals/icu-1/bed-1", json.dumps(readings_json), qos=1, hostname="127.0.0.1", port=broker.port
    )


def count_is(db: Db, number: int) -> bool:
    return db.count() == number


def recorded(db: Db) -> list[tuple[object, ...]]:
    return db.rows("SELECT minute, readings FROM rollup_invalidation ORDER BY id, minute")


def test_late_readings_are_recorded_with_the_readings(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, community)
    send(broker, (1, NOW), (2, NOW - timedelta(hours=5)))
    eventually(partial(count_is, community, 2), 10, "readings in time")
    assert recorded(community) == []
    late = NOW - timedelta(days=3)
    send(broker, (3, NOW), (4, late), (5, late + timedelta(seconds=59)), (6, late + timedelta(minutes=7)))
    eventually(partial(count_is, community, 6), 10, "late ones beside one in time")
    assert sorted(recorded(community)) == [(late, 2), (late + timedelta(minutes=7), 1)]
    eventually(lambda: ingest.metric("readings_late_total") == 3, 5, "it counts them")
    # A reading in time, and the same late one again, which is stored once.
    send(broker, (7, NOW))
    send(broker, (4, late))
    eventually(lambda: ingest.metric("readings_duplicate_total") == 1, 10, "a duplicate")
    assert community.count() == 7


def test_a_late_reading_in_a_batch_with_a_bad_row_is_recorded_too(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    with psycopg.connect(community.owner_url) as connection:
        connection.execute("ALTER TABLE patient_vitals ADD CONSTRAINT bad CHECK (seq <> 2)")
    make_ingest(broker.url, community)
    late = NOW - timedelta(days=3)
    send(broker, (1, NOW), (2, late), (3, late + timedelta(minutes=1)))
    eventually(partial(count_is, community, 2), 10, "the good ones")
    eventually(lambda: community.count("rejected_message") == 1, 10, "the bad row")
    assert (late + timedelta(minutes=1), 1) in recorded(community)


def test_readings_that_cannot_be_recorded_are_stored_all_the_same(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    with psycopg.connect(community.owner_url) as connection:
        connection.execute("REVOKE INSERT ON rollup_invalidation FROM vitalflow_ingest")
    ingest = make_ingest(broker.url, community)
    send(broker, (1, NOW), (2, NOW - timedelta(days=3)))
    eventually(partial(count_is, community, 2), 10, "both readings")
    assert "late readings are stored, but not recorded for the rollups: permission denied" in ingest.said()
    assert "vitalflow db backfill --from" in ingest.said()


def test_nothing_is_recorded_if_rollups_are_computed_by_queries(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    late = NOW - timedelta(days=3)
    send(broker, (1, late))
    eventually(partial(count_is, db, 1), 10, "the late reading")
    assert recorded(db) == []
    assert db.rows("SELECT heart_rate_n FROM vitals_1d") == [(1,)]


def test_a_community_database_does_not_become_an_apache_one(community: Db) -> None:
    sentence = migrate(community).expect_sentence()
    assert "created on the Community edition" in sentence
    assert "timescaledb.license = 'timescale'" in sentence
    assert community.one("SELECT community FROM vitalflow_edition") is True
