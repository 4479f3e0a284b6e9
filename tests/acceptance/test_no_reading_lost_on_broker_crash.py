"""Promise 1 in full: the broker dies too, by kill -9, with what it had not written to its store.

No broker can heal that by itself. The devices do: they keep each reading until its receipt, and send again what has
none.
"""

import random
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from stack.servers import BrokerServer
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import MakeIngest
from tests.support.fleet import fleet, rows_by_name
from tests.support.servers import Db, eventually

pytestmark = pytest.mark.slow

DEVICES = 200
HERTZ = 2.0
KILLS = 5


def test_kills_of_the_broker_lose_nothing_because_devices_wait_for_receipts(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    ingest = make_ingest(own_broker.url, db, ingest_receipt_every_s=2)
    moment = random.Random(2026)
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        eventually(lambda: running.stats.confirmed > DEVICES, 30, "receipts come")
        for number in range(KILLS):
            time.sleep(moment.uniform(1, 3))
            # Every second time the database is slow to answer, so that much is with the broker and nowhere else.
            if number % 2:
                ingest.kill()
                time.sleep(1.5)
            own_broker.kill()
            if number == KILLS - 1:
                own_broker.delete_store()  # its disk is gone as well
            own_broker.start()
            if number % 2:
                ingest.start()
        eventually(lambda: running.stats.connected == DEVICES, 60, "all devices are back")
        back = datetime.now(UTC)
        # A gap shows only before a later reading of the device. What has no receipt is sent again after 15 s.
        later = "SELECT count(DISTINCT device_id) FROM patient_vitals WHERE time > %s"
        eventually(lambda: db.one(later, back) == DEVICES, 60, "a reading of each device after the last kill")
        eventually(lambda: db.count("device_gap") == 0, 60, "what was lost is sent again")
        eventually(lambda: running.stats.unconfirmed < 4 * DEVICES * HERTZ, 60, "receipts come")
    produced = running.stats.produced
    assert (running.stats.waiting, running.stats.dropped, running.stats.evicted_unconfirmed) == (0, 0, 0)
    eventually(lambda: db.count() >= produced, 30, f"{produced} rows")
    rows = Counter(rows_by_name(db))
    counts = f"produced {produced}, stored {rows.total()}, sent again {running.stats.resent}"
    report_count(f"{KILLS} kills of the broker, once with its store: {counts}, gaps {db.count('device_gap')}")
    assert rows.total() == len(rows) == produced
    assert db.count("device_gap") == 0
    assert running.stats.resent > 0, "nothing had to be sent again: the test shows nothing"
