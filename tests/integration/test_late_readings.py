"""Ingest records the minutes of late readings if the database has rollups to refresh.

The real ingest process with the real server. The server has the Apache edition, so the database's own flag is set to
Community, on which alone the behaviour of ingest depends. tests/community/ tests the refresh.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import paho.mqtt.publish as publish
import psycopg
import pytest

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.migrate import migrate
from tests.support.servers import Db, eventually, locked_chunk

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


def seqs(db: Db) -> set[object]:
    return {seq for (seq,) in db.rows("SELECT seq FROM patient_vitals")}


def test_readings_in_time_are_stored_and_acknowledged_while_late_ones_wait_for_a_lock(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    # A window of ten: more late messages than it holds must not keep the broker from sending the others.
    ingest = make_ingest(broker.url, community, ingest_receive_maximum=10, ingest_batch_size=5)
    late = NOW - timedelta(days=8)
    send(broker, (1, late))
    eventually(lambda: seqs(community) == {1}, 10, "a late reading, which creates the chunk")
    with locked_chunk(community, late):
        for number in range(2, 32):
            send(broker, (number, late + timedelta(seconds=number)))
        for number in range(32, 36):
            send(broker, (number, NOW + timedelta(seconds=number - 40)))
        send(broker, (36, NOW), (37, late + timedelta(minutes=3)))  # of both in one message
        started = time.monotonic()
        eventually(lambda: seqs(community) == {1, 32, 33, 34, 35, 36}, 10, "the readings in time")
        assert time.monotonic() - started < 3
        eventually(lambda: ingest.metric("inflight_messages") == 0, 3, "that nothing is unacknowledged")
        eventually(lambda: ingest.metric("late_readings_waiting") == 31, 10, "the number that waits")
        assert ingest.metric("database_blocked") == 0
        eventually(lambda: "31 late readings wait since" in ingest.said(), 25, "a sentence")
        assert "another session holds a lock on a table" in ingest.said()
        health = ingest.health()
        assert health["late_readings_waiting"] == 31
        assert "lock" in str(health["late_readings"])
    eventually(lambda: seqs(community) == set(range(1, 38)), 15, "the late ones")
    eventually(lambda: ingest.metric("late_readings_waiting") == 0, 5, "that none waits")
    assert ingest.metric("readings_stored_total") == 37
    assert ingest.metric("readings_late_total") == 32
    assert sum(int(str(readings)) for _, readings in recorded(community)) == 32
    assert "the late readings are stored" in ingest.said()


def test_late_readings_that_wait_survive_a_kill_and_are_stored_once(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, community)
    late = NOW - timedelta(days=8)
    send(broker, (1, late))
    eventually(lambda: seqs(community) == {1}, 10, "a late reading, which creates the chunk")
    with locked_chunk(community, late):
        for number in range(2, 22):
            send(broker, (number, late + timedelta(seconds=number)))
        eventually(lambda: ingest.metric("late_readings_waiting") == 20, 10, "twenty that wait")
        ingest.kill()
        send(broker, (2, late + timedelta(seconds=2)), (22, late + timedelta(seconds=22)))  # one of them again
        ingest.start()
        eventually(lambda: ingest.metric("late_readings_waiting") == 22, 15, "them after the restart")
        ingest.kill()
    ingest.start()
    eventually(lambda: community.count("late_reading") == 0, 20, "that none waits")
    assert seqs(community) == set(range(1, 23))
    assert community.count() == 22


def test_a_late_reading_keeps_every_value(broker: BrokerServer, community: Db, make_ingest: MakeIngest) -> None:
    values = {
        "spo2": 97.3,
        "temperature": 36.63,
        "on_oxygen": True,
        "sensor_off": ["systolic_bp"],
    }
    make_ingest(broker.url, community)
    late = NOW - timedelta(days=3) + timedelta(microseconds=123456)
    send(broker, (1, late), **values, consciousness="V", patient_id="Zoë \\ 1")
    send(broker, (2, NOW), **values, consciousness="V", patient_id="Zoë \\ 1")
    eventually(partial(count_is, community, 2), 10, "both")
    row = "SELECT to_jsonb(v) - 'time' - 'seq' - 'arrival_lag_ms' FROM patient_vitals AS v WHERE seq = %s"
    assert community.one(row, 1) == community.one(row, 2)
    assert community.one("SELECT time FROM patient_vitals WHERE seq = 1") == late


def test_a_changed_period_applies_while_ingest_runs(
    broker: BrokerServer, community: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, community)
    send(broker, (1, NOW - timedelta(hours=3)))
    eventually(partial(count_is, community, 1), 10, "a reading in time")
    with psycopg.connect(community.owner_url) as connection:
        connection.execute("UPDATE retention_setting SET period = '1 hour' WHERE name = 'late_after'")

    def sent_one_that_is_late() -> bool:
        send(broker, (2, NOW - timedelta(hours=2)))
        return ingest.metric("readings_late_total") > 0

    eventually(sent_one_that_is_late, 20, "a late reading by the new period")
    assert ingest.metric("readings_stored_total") == 2
