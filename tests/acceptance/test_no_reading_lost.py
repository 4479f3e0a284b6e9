"""Promise 1, as far as ingest and the database go: a reading that the broker took is in the table, once.

Everything is real: devices, broker, database, the ingest program; and everything is killed while it works.
"""

import random
import time
from collections import Counter
from functools import partial

import psutil
import pytest

from bench.queue_filler import fill_queues
from mqtt.endpoint import BrokerEndpoint
from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import IngestProcess, MakeIngest
from tests.support.fleet import Fleet, fleet, rows_by_name
from tests.support.servers import Db, eventually
from vitals.topics import Topics

DEVICES = 500
HERTZ = 2.0
BACKLOG = 60_000
WINDOW = 4000  # messages that ingest holds at most

pytestmark = pytest.mark.slow


def assert_all_stored_once(
    running: Fleet, db: Db, report_count: ReportCount, what: str, *, stored_before: int = 0
) -> None:
    """Wait until every acknowledged reading is a row, beside those from before, then count."""
    taken = set(running.acknowledged)
    assert len(taken) > 1000, "the devices published next to nothing: the test shows nothing"
    eventually(lambda: db.count() >= stored_before + len(taken), 60, f"{len(taken)} rows")
    rows = Counter(rows_by_name(db))
    lost = taken - rows.keys()
    doubled = [name for name, times in rows.items() if times > 1]
    counts = f"acknowledged {len(taken)}, stored {rows.total()}, lost {len(lost)}, doubled {len(doubled)}"
    report_count(f"{what}: {counts}, rejected {db.count('rejected_message')}")
    assert not lost
    assert not doubled
    assert db.count("rejected_message") == 0
    assert db.count("device_gap") == 0


def test_ten_kills_of_ingest_under_load_lose_nothing(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    ingest = make_ingest(own_broker.url, db)
    moment = random.Random(2026)
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        for _ in range(10):
            time.sleep(moment.uniform(0.5, 2.5))
            ingest.kill()
            time.sleep(moment.uniform(0.0, 0.5))
            ingest.start()
        time.sleep(2)
    assert_all_stored_once(running, db, report_count, f"ten kills of ingest, {DEVICES} devices at {HERTZ:g} Hz")


def test_kills_while_a_backlog_is_caught_up_lose_nothing(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    ingest = make_ingest(own_broker.url, db)
    ingest.stop()
    fill_queues(BrokerEndpoint.parse(own_broker.url), Topics(), BACKLOG)
    seen = []
    for part in (0.2, 0.6):
        ingest.start(wait=False)
        eventually(partial(_has_more_than, db, part * BACKLOG), 60, f"{part:.0%} of the backlog")
        ingest.kill()
        seen.append(db.count())
    ingest.start()
    eventually(lambda: db.count() >= BACKLOG, 60, "all of the backlog")
    time.sleep(1)  # a row too many would come now
    report_count(f"kills while catching up {BACKLOG}: killed at {seen} rows, stored {db.count()}")
    assert seen[-1] < BACKLOG, "it was killed too late: the test shows nothing"
    assert db.count() == BACKLOG
    assert db.count("device_gap") == 0


def test_two_stops_of_the_database_lose_nothing(
    own_broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    report_count: ReportCount,
) -> None:
    server, db = own_database
    ingest = make_ingest(own_broker.url, db)
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        for _ in range(2):
            time.sleep(1)
            server.stop_at_once()
            wait_for_full_window(ingest)
            time.sleep(2)  # more waits at the broker
            assert_within_one_window(ingest)
            server.start()
            stored = db.count()
            eventually(lambda stored=stored: db.count() > stored + WINDOW, 60, "ingest stores again")  # type: ignore[misc]
    assert "waiting for the database" in ingest.said()
    assert "the database is back" in ingest.said()
    assert_all_stored_once(running, db, report_count, "database stopped immediately, twice")


def test_kills_of_ingest_while_the_database_is_stopped_lose_nothing(
    own_broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    report_count: ReportCount,
) -> None:
    server, db = own_database
    ingest = make_ingest(own_broker.url, db)
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        time.sleep(1)
        server.stop_at_once()
        for _ in range(2):
            wait_for_full_window(ingest)
            ingest.kill()
            ingest.start()
        wait_for_full_window(ingest)
        server.start()
    assert_all_stored_once(running, db, report_count, "ingest killed twice while the database was stopped")


def test_memory_is_bounded_by_one_window_while_the_database_is_down(
    own_broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    report_count: ReportCount,
) -> None:
    server, db = own_database
    ingest = make_ingest(own_broker.url, db)
    assert ingest.process is not None
    process = psutil.Process(ingest.process.pid)
    server.stop_at_once()
    before = process.memory_info().rss
    fill_queues(BrokerEndpoint.parse(own_broker.url), Topics(), BACKLOG)
    assert_within_one_window(ingest)
    grown = process.memory_info().rss - before
    report_count(f"{BACKLOG} readings while the database was away: ingest grew by {grown / 2**20:.1f} MiB")
    # 4,000 messages of about 250 bytes, each also as a formatted row, are 4 MB; the broker holds the other 56,000.
    assert grown < 16 * 2**20
    server.start()
    eventually(lambda: db.count() == BACKLOG, 60, "all of the backlog, with no human hand")


def wait_for_full_window(ingest: IngestProcess) -> None:
    eventually(lambda: ingest.metric("inflight_messages") >= WINDOW, 60, "ingest holds as much as it may")


def assert_within_one_window(ingest: IngestProcess) -> None:
    held = ingest.metric("inflight_messages")
    assert 0 < held <= WINDOW


def _has_more_than(db: Db, rows: float) -> bool:
    return db.count() > rows
