"""A primary that freezes, and a synchronous standby that is away: no reading with a receipt is lost."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

import ingest.store
from ingest.batch import Batch
from ingest.batch_builder import BatchBuilder
from ingest.store import DatabaseUnavailable, Store
from sql.connection import find_connect_problem
from sql.deadline import NoAnswer, deadline
from sql.migrate import connect, migrate
from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually, stop_running
from tests.support.standby import promote, set_synchronous, signal_all, start_standby, wait_until_commits_wait
from tests.support.watched_ingest import sending_bed
from vitals.codec import encode
from vitals.errors import PermanentError, TransientError
from vitals.reading import reading
from vitals.topics import Topics

NAME = "standby_1"


@dataclass
class Pair:
    """A primary and its synchronous standby. `db` names both, as a site's URLs do."""

    primary: DatabaseServer
    standby: DatabaseServer
    db: Db
    on_primary: Db
    on_standby: Db


@pytest.fixture
def pair(own_database: tuple[DatabaseServer, Db], binaries: ServerBinaries, tmp_path: Path) -> Iterator[Pair]:
    primary, db = own_database
    standby = start_standby(binaries, primary, NAME, tmp_path / "standby.log")
    set_synchronous(primary, NAME)
    ports = f"127.0.0.1:{primary.port}", f"127.0.0.1:{standby.port}"
    both = replace(db, ingest_url=db.ingest_url.replace(ports[0], ",".join(ports)))
    yield Pair(primary, standby, both, db, replace(db, owner_url=db.owner_url.replace(*ports)))
    stop_running(standby)
    primary.stop_at_once()  # an orderly stop waits for the standby
    binaries.remove(standby.folder.parent)


def test_a_frozen_primary_is_left_for_the_promoted_standby_and_every_reading_is_there_once(
    broker: BrokerServer, pair: Pair, make_ingest: MakeIngest
) -> None:
    service = make_ingest(broker.url, pair.db)
    with sending_bed(broker) as bed:
        bed.send(50)
        eventually(lambda: pair.on_standby.count() == bed.sent, 30, "the standby has the readings")
        signal_all(pair.primary, signal.SIGSTOP)
        try:
            bed.send(50)
            promote(pair.standby)
            eventually(lambda: pair.on_standby.count() == bed.sent, 60, "the promoted standby has all readings")
            eventually(lambda: not bed.problem(), 30, "the status names no problem any more")
        finally:
            signal_all(pair.primary, signal.SIGCONT)
    assert "the database did not answer within 12 s" in service.said()
    servers = f"127.0.0.1:{pair.primary.port},127.0.0.1:{pair.standby.port}"
    assert f"waiting for the database at postgresql://vitalflow_ingest@{servers}/" in service.said()


def test_no_reading_is_acknowledged_while_the_synchronous_standby_is_away(
    broker: BrokerServer, pair: Pair, make_ingest: MakeIngest
) -> None:
    service = make_ingest(broker.url, pair.db, durability="synchronous")
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: service.metric("readings_stored_total") == 1, 30, "the reading is acknowledged")
        signal_all(pair.standby, signal.SIGSTOP)
        try:
            bed.send(20)
            eventually(lambda: "standby does not confirm a commit" in bed.problem(), 60, "the status names the standby")
            assert pair.on_primary.count() == 1, "PostgreSQL hides rows whose commit waits"
            assert len(waiting_commits(pair.on_primary)) == 1, "a retry adds no session that waits"
            assert service.metric("readings_stored_total") + service.metric("readings_duplicate_total") == 1
        finally:
            signal_all(pair.standby, signal.SIGCONT)
        eventually(lambda: service.metric("readings_duplicate_total") == 20, 60, "the readings are acknowledged")
        assert pair.on_standby.count() == bed.sent


def test_a_primary_that_is_killed_while_its_standby_is_behind_costs_no_reading_with_a_receipt(
    broker: BrokerServer, pair: Pair, make_ingest: MakeIngest
) -> None:
    service = make_ingest(broker.url, pair.db, durability="synchronous")
    with sending_bed(broker) as bed:
        bed.send(50)
        eventually(lambda: pair.on_standby.count() == bed.sent, 30, "the standby has the readings")
        receiver = next(one for one in psutil.process_iter(["cmdline"]) if is_wal_receiver(one, pair.standby))
        receiver.suspend()
        bed.send(50)
        eventually(lambda: "standby does not confirm a commit" in bed.problem(), 60, "the standby is 12 s behind")
        assert service.metric("readings_stored_total") == 50, "no receipt for a reading that the standby lacks"
        signal_all(pair.primary, signal.SIGKILL)
        receiver.resume()
        promote(pair.standby)
        eventually(lambda: pair.on_standby.count() == bed.sent, 60, "the promoted standby has all readings, once each")


def test_ingest_that_requires_a_synchronous_standby_stores_nothing_with_an_asynchronous_one(
    broker: BrokerServer, pair: Pair, make_ingest: MakeIngest
) -> None:
    set_synchronous(pair.primary, "")
    make_ingest(broker.url, pair.db, durability="synchronous")
    with sending_bed(broker) as bed:
        bed.send()
        eventually(lambda: "does not wait for a synchronous standby" in bed.problem(), 30, "the status says why")
        assert pair.on_primary.count() == 0


@pytest.mark.parametrize("earlier", [0, 1])  # the first batch of a connection ends with COMMIT, another with its COPY
def test_a_commit_whose_wait_is_cancelled_is_not_taken_for_one_that_is_confirmed(
    own_database: tuple[DatabaseServer, Db], earlier: int
) -> None:
    primary, db = own_database
    store = Store(db.ingest_url)
    for _ in range(earlier):
        store.write(batch_of_a_reading())
    set_synchronous(primary, "*")
    wait_until_commits_wait(primary)
    batch = batch_of_a_reading()
    with ThreadPoolExecutor() as other:
        written = other.submit(store.write, batch)
        eventually(lambda: cancelled_commits(db), 30, "a commit waits for a standby, and its wait is cancelled")
        with pytest.raises(DatabaseUnavailable, match="the synchronous standby did not confirm a commit"):
            written.result(30)
    assert db.count() == earlier + 1, "PostgreSQL keeps the row"
    set_synchronous(primary, "")
    assert store.write(batch).duplicates == 1
    store.close()


def test_a_migration_names_a_standby_and_what_to_do(pair: Pair) -> None:
    with (
        connect(pair.on_standby.owner_url) as connection,
        pytest.raises(PermanentError, match=f"127.0.0.1:{pair.standby.port} is a standby; connect to the primary"),
    ):
        migrate(connection, {}, print)
    with pytest.raises(
        TransientError, match=f"127.0.0.1:{pair.standby.port}: it is a standby, which accepts no writes"
    ):
        connect(f"{pair.db.ingest_url.replace(str(pair.primary.port), '1')}?target_session_attrs=read-write")


def test_a_batch_that_is_stored_already_waits_for_the_standby_too(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.store, "ANSWER_TIMEOUT_S", 2.0)
    store, batch = Store(pair.on_primary.ingest_url), batch_of_a_reading()
    assert store.write(batch).stored == 1
    signal_all(pair.standby, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable, match="did not answer within 2 s"):
            store.write(batch)
    finally:
        signal_all(pair.standby, signal.SIGCONT)
    eventually(lambda: not waiting_commits(pair.on_primary), 30, "the commit is confirmed")
    assert store.write(batch).duplicates == 1
    store.close()


def test_an_ingest_that_stands_still_in_a_batch_does_not_hold_up_the_one_that_takes_over(db: Db) -> None:
    batch, store = batch_of_a_reading(), Store(db.ingest_url)
    frozen = ingest.store.open_connection(db.ingest_url, "vitalflow-ingest")

    def stores() -> bool:
        try:
            return store.write(batch).stored == 1
        except DatabaseUnavailable:
            return False

    frozen.execute("BEGIN")
    with frozen.cursor().copy(ingest.store.COPY_DIRECT) as copy:
        copy.write("".join(row.line for row in batch.readings))
    eventually(stores, 30, "the reading is stored")
    with pytest.raises(psycopg.Error) as thawed:
        frozen.execute("COMMIT")
    assert "stood still in the middle of a batch" in str(ingest.store.classify_error(thawed.value))
    store.close()


def test_a_frozen_database_does_not_hold_up_a_health_check(own_database: tuple[DatabaseServer, Db]) -> None:
    primary, db = own_database
    with psycopg.connect(db.ingest_url, autocommit=True) as connection:
        signal_all(primary, signal.SIGSTOP)
        try:
            with pytest.raises(NoAnswer, match=r"did not answer within 0\.2 s"), deadline(connection, 0.2):
                connection.execute("SELECT 1")
            assert "does not answer" in str(find_connect_problem(db.ingest_url))
        finally:
            signal_all(primary, signal.SIGCONT)


def is_wal_receiver(process: psutil.Process, standby: DatabaseServer) -> bool:
    return process.ppid() == standby.pid and "walreceiver" in " ".join(process.info["cmdline"] or ())


def waiting_commits(db: Db) -> list[tuple[object, ...]]:
    return db.rows("SELECT query FROM pg_stat_activity WHERE wait_event = 'SyncRep'")


def cancelled_commits(db: Db) -> int:
    query = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ '^CO[MP]'"
    return len(db.rows(query))


def batch_of_a_reading() -> Batch:
    builder = BatchBuilder(Topics(), timedelta(days=30))
    now = datetime.now(UTC)
    builder.set_time(now, 1.0)
    payload = encode(reading(now, {"spo2": 97.0}, boot=1, seq=1))
    builder.add(Topics().vitals("icu-1", "bed-1").encode(), payload, 1, retained=False, dup=False)
    return builder.batch
