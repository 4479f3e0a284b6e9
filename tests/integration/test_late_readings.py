"""Ingest notes the minutes that late readings touch, where there are rollups to refresh.

The real ingest process against the real server. That one is of the Apache edition, so the database is told that it is
a Community one: what ingest does depends on that word alone. What becomes of the notes: tests/community/.
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
    """Publish readings as one backlog: number and time of each."""
    told = [{"boot": 1, "seq": seq, "time": time.isoformat(), "heart_rate": 80, **more} for seq, time in readings]
    publish.single("vitalflow/vitals/icu-1/bed-1", json.dumps(told), qos=1, hostname="127.0.0.1", port=broker.port)


def count_is(db: Db, number: int) -> bool:
    return db.count() == number


def notes(db: Db) -> list[tuple[object, ...]]:
    return db.rows("SELECT minute, readings FROM rollup_invalidation ORDER BY id, minute")


def test_late_readings_are_noted_with_the_readings(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, community)
    send(broker, (1, NOW), (2, NOW - timedelta(hours=5)))
    eventually(partial(count_is, community, 2), 10, "readings in time")
    assert notes(community) == []
    late = NOW - timedelta(days=3)
    send(broker, (3, NOW), (4, late), (5, late + timedelta(seconds=59)), (6, late + timedelta(minutes=7)))
    eventually(partial(count_is, community, 6), 10, "late ones beside one in time")
    assert sorted(notes(community)) == [(late, 2), (late + timedelta(minutes=7), 1)]
    eventually(lambda: ingest.metric("readings_late_total") == 3, 5, "it counts them")
    # In time again, and the same late one once more: stored once.
    send(broker, (7, NOW))
    send(broker, (4, late))
    eventually(lambda: ingest.metric("readings_duplicate_total") == 1, 10, "a duplicate")
    assert community.count() == 7


def test_a_late_reading_beside_a_poisonous_one_is_noted_too(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    with psycopg.connect(community.owner_url) as connection:
        connection.execute("ALTER TABLE patient_vitals ADD CONSTRAINT poison CHECK (seq <> 2)")
    make_ingest(broker.url, community)
    late = NOW - timedelta(days=3)
    send(broker, (1, NOW), (2, late), (3, late + timedelta(minutes=1)))
    eventually(partial(count_is, community, 2), 10, "the good ones")
    eventually(lambda: community.count("rejected_message") == 1, 10, "the poisonous one")
    assert (late + timedelta(minutes=1), 1) in notes(community)


def test_readings_that_cannot_be_noted_are_stored_all_the_same(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    with psycopg.connect(community.owner_url) as connection:
        connection.execute("REVOKE INSERT ON rollup_invalidation FROM vitalflow_ingest")
    ingest = make_ingest(broker.url, community)
    send(broker, (1, NOW), (2, NOW - timedelta(days=3)))
    eventually(partial(count_is, community, 2), 10, "both readings")
    assert "late readings are stored, but not recorded for the rollups: permission denied" in ingest.said()
    assert "vitalflow db backfill --from" in ingest.said()


def test_nothing_is_noted_where_rollups_are_computed_when_asked(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    late = NOW - timedelta(days=3)
    send(broker, (1, late))
    eventually(partial(count_is, db, 1), 10, "the late reading")
    assert notes(db) == []
    assert db.rows("SELECT heart_rate_n FROM vitals_1d") == [(1,)]


def test_a_community_database_does_not_become_an_apache_one(community: Db) -> None:
    told = migrate(community).expect_sentence()
    assert "created on the Community edition" in told
    assert "timescaledb.license = 'timescale'" in told
    assert community.one("SELECT community FROM vitalflow_edition") is True
