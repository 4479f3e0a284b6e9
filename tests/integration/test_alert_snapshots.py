"""Ingest has the readings around each alert kept, also those of alerts from before a long stop."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg

from ingest.snapshots import AlertSnapshots
from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.factories import make_alert
from tests.support.rows import store_alert, write_readings
from tests.support.servers import Db, eventually
from vitals.alert import alert_id

NOW = datetime.now(UTC).replace(microsecond=0)
OLD = NOW - timedelta(days=40)
ALERTS = 120  # more than ingest has copied in one transaction
EMPTY = "SELECT count(*) FROM alert_snapshot WHERE readings = '{}'"


def test_after_a_kill_and_a_long_stop_every_alert_has_its_readings_and_then_retention_drops_them(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    write_readings(db, range(1, 301), start=OLD)
    for second in range(ALERTS):
        raised = OLD + timedelta(seconds=90 + second)
        name = str(alert_id("bed-1", "spo2-low", raised))
        store_alert(db, make_alert(device="bed-1", alert_id=name, raised_at=raised, changed_at=raised, patient_id=None))
    with psycopg.connect(db.owner_url) as owner:
        # The last alert is held, so that ingest is killed in the middle of its work.
        owner.execute("SELECT FROM alert_snapshot ORDER BY due_at DESC LIMIT 1 FOR UPDATE")
        ingest = make_ingest(broker.url, db)
        eventually(lambda: db.one(EMPTY) == 1, 60, "all others are copied")
        ingest.kill()
    assert db.count() == 300, "retention keeps the readings of the last one"
    ingest = make_ingest(broker.url, db)
    eventually(lambda: db.one("SELECT count(*) FROM alert_snapshot WHERE due_at IS NOT NULL") == 0, 60, "all copied")
    assert db.one(EMPTY) == 0
    counted = "SELECT sum(jsonb_array_length(readings -> 'heart_rate')) FROM alert_snapshot"
    before_and_after = sum(min(90 + n, 121) - 0 + min(300 - 90 - n, 120) for n in range(ALERTS))
    assert db.one(counted) == before_and_after
    eventually(lambda: ingest.metric("alert_snapshots_taken_total") == 1, 30, "it counts the one")
    assert ingest.metric("alert_snapshots_waiting") == 0
    with psycopg.connect(db.ingest_url) as connection:
        connection.execute("SELECT drop_old_readings()")  # ingest's own call may have come before the copies
    assert db.count() == 0
    assert db.one(counted) == before_and_after
    assert ingest.stop() == 0


def test_a_change_of_an_alert_is_stored_while_its_readings_are_copied(db: Db) -> None:
    write_readings(db, range(1, 301), start=NOW - timedelta(minutes=20))
    raised = NOW - timedelta(minutes=18)
    alert = make_alert(device="bed-1", raised_at=raised, changed_at=raised, patient_id=None)
    store_alert(db, alert)
    without_waiting = replace(db, ingest_url=f"{db.ingest_url}?options=-clock_timeout%3D2s")
    with psycopg.connect(db.ingest_url) as copying:
        assert copying.execute("SELECT taken FROM take_alert_snapshots(1)").fetchone() == (1,)
        store_alert(without_waiting, msgspec.structs.replace(alert, revision=alert.revision + 1))
    assert db.count("alert_event") == 2
    assert db.one(EMPTY) == 0


def test_a_failure_is_logged_and_the_copy_is_made_once_the_database_allows_it(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    write_readings(db, range(1, 301), start=NOW - timedelta(minutes=20))
    with psycopg.connect(db.owner_url) as owner:
        owner.execute("ALTER FUNCTION take_alert_snapshots(integer) RENAME TO gone")
    raised = NOW - timedelta(minutes=18)
    store_alert(db, make_alert(device="bed-1", raised_at=raised, changed_at=raised, patient_id=None))
    ingest = make_ingest(broker.url, db)
    eventually(
        lambda: "could not keep the readings around alerts, next attempt in 30 s" in ingest.said(), 30, "a log line"
    )
    with psycopg.connect(db.owner_url) as owner:
        owner.execute("ALTER FUNCTION gone(integer) RENAME TO take_alert_snapshots")
    ingest.kill()
    make_ingest(broker.url, db)
    eventually(lambda: db.one(EMPTY) == 0, 60, "the readings are copied")


class Pauses(threading.Event):
    """An event that is not set, and keeps how long each wait for it was to be."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def test_the_copies_of_many_alerts_leave_the_database_four_fifths_of_the_time(db: Db) -> None:
    write_readings(db, range(1, 301), start=OLD)
    for second in range(ALERTS):
        raised = OLD + timedelta(seconds=90 + second)
        name = str(alert_id("bed-1", "spo2-low", raised))
        store_alert(db, make_alert(device="bed-1", alert_id=name, raised_at=raised, changed_at=raised, patient_id=None))
    taken: list[int] = []
    snapshots = AlertSnapshots(db.ingest_url, taken.append, lambda _: None)
    snapshots._stopping = pauses = Pauses()
    with psycopg.connect(db.ingest_url, autocommit=True) as connection:
        begun = time.monotonic()
        snapshots.work(connection)
        took = time.monotonic() - begun
    assert taken == [50, 50, 20]
    assert (pauses.seconds[0], len(pauses.seconds)) == (0, 3)
    assert min(pauses.seconds[1:]) > 0
    assert sum(pauses.seconds[1:]) <= 4 * took
