"""When nothing is stored, ingest says so within seconds, with the reason, and stores everything afterwards."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from bench.small_disk import SmallDisk, small_disk
from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, DatabaseServer, free_port
from station.services import Services
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually, new_database
from tests.support.watched_ingest import sending_bed


def set_read_only(db: Db) -> None:
    with psycopg.connect(db.owner_url, autocommit=True) as owner:
        owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        owner.execute("SELECT pg_reload_conf()")


def set_writable(db: Db) -> None:
    with psycopg.connect(db.owner_url, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        owner.execute("ALTER SYSTEM RESET default_transaction_read_only")
        owner.execute("SELECT pg_reload_conf()")


def test_a_read_only_database_is_named_and_the_log_does_not_advise_to_migrate(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    _, db = own_database
    ingest = make_ingest(broker.url, db)
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        set_read_only(db)
        bed.send()
        eventually(lambda: "read-only" in bed.problem(), 10, "the status names the read-only database")
        assert ingest.metric("database_blocked") == 1
        services = Services(("ingest",), has_database=False, now=datetime.now(UTC))
        services.connected(datetime.now(UTC))
        assert bed.status is not None
        services.take("ingest", bed.status, False, datetime.now(UTC))
        (outage,) = services.outages(datetime.now(UTC))
        assert outage.text == "Recording is interrupted. Live values are shown; they will be stored later."
        assert outage.reason.startswith("the database is read-only")
        set_writable(db)
        eventually(lambda: db.count() == bed.sent, 15, "every reading is stored once")
        eventually(lambda: not bed.problem(), 10, "the status names no problem any more")
    assert "read-only" in ingest.said()
    assert "migrate" not in ingest.said()


@pytest.mark.slow
def test_a_locked_table_is_named_within_ten_seconds(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    _, db = own_database
    ingest = make_ingest(broker.url, db)
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        with psycopg.connect(db.owner_url) as owner:
            owner.execute("LOCK TABLE patient_vitals IN ACCESS EXCLUSIVE MODE")
            bed.send()
            eventually(lambda: bed.problem(), 10, "the status names a problem")
            eventually(lambda: "holds a lock" in bed.problem(), 15, "the status names the lock")
        eventually(lambda: db.count() == bed.sent, 20, "every reading is stored once")
        eventually(lambda: not bed.problem(), 10, "the status names no problem any more")
    assert "holds a lock" in ingest.said()


@pytest.mark.slow
def test_a_minute_without_storing_raises_one_alert_that_survives_a_restart_of_the_worker(
    broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    make_alerts: MakeAlerts,
    make_alert_client: Callable[[int], AlertClient],
) -> None:
    _, db = own_database
    ingest = make_ingest(broker.url, db)
    alerts = make_alerts(broker.url)
    person = make_alert_client(broker.port)
    place = f"stack/{ingest.client_id}/nothing-stored"
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        set_read_only(db)
        bed.send()
        began = time.monotonic()
        raised = person.wait_for(place, timeout=75, state="active")
        assert time.monotonic() - began > 58
        assert (raised.priority, raised.kind) == ("medium", "technical")
        assert raised.text.startswith("Readings are not stored: live values and alarms continue")
        alerts.kill()
        alerts.start()
        eventually(lambda: "2 open alerts read back" in alerts.said(), 15, "both alerts are restored")
        set_writable(db)
        ended = person.wait_for(place, timeout=30, state="cleared")
    assert ended.alert_id == raised.alert_id
    assert person.changes(place) == ["raised", "cleared"]
    assert db.count() == bed.sent


@pytest.mark.slow
def test_a_full_disk_is_named_within_ten_seconds_and_every_reading_is_stored_once_there_is_room(
    broker: BrokerServer, binaries: ServerBinaries, run_name: str, tmp_path: Path, make_ingest: MakeIngest
) -> None:
    """PostgreSQL with its data and its WAL on a small tmpfs, which a file fills. Skipped where it cannot be mounted."""
    name, reasons = f"{run_name}-full-disk", list[str]()
    try:
        with small_disk(binaries, f"{name}/database", reasons.append) as disk:
            if disk is None:
                pytest.skip(reasons[0])
            database = DatabaseServer(binaries, name, free_port(), tmp_path / "database.log", fsync="off")
            database.start()
            try:
                store_on_a_disk_that_fills(broker, database, disk, make_ingest)
            finally:
                database.stop()
    finally:
        binaries.remove(binaries.folder(name))


def store_on_a_disk_that_fills(
    broker: BrokerServer, database: DatabaseServer, disk: SmallDisk, make_ingest: MakeIngest
) -> None:
    db = new_database(database)
    ingest = make_ingest(broker.url, db)
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        disk.fill()
        filled_at = time.monotonic()
        while not bed.problem():  # what is allocated already still takes some rows
            assert time.monotonic() - filled_at < 10, "no problem is reported"
            bed.send(100)
        assert bed.problem() == "the disk of the database is full (53100)"
        assert ingest.metric("database_blocked") == 1
        bed.send(500)
        disk.empty()
        if database.process is not None and database.process.poll() is not None:
            database.start()  # PostgreSQL gives up where its WAL does not fit
        eventually(lambda: db.count() == bed.sent, 60, "every reading is stored once")
        eventually(lambda: not bed.problem(), 10, "the status names no problem any more")
    assert "free space on it" in ingest.said()
    assert "migrate" not in ingest.said()
