"""Several ingest processes share the readings; one is killed and comes back: nothing is missing, nothing is doubled."""

import time

import pytest

from stack.servers import BrokerServer
from tests.acceptance.test_no_reading_lost import assert_all_stored_once
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import MakeIngest
from tests.support.fleet import fleet
from tests.support.servers import Db

pytestmark = pytest.mark.slow


def test_one_of_three_that_share_the_work_is_killed_and_comes_back(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    group = [make_ingest(own_broker.url, db, ingest_share_group="ward") for _ in range(3)]
    with fleet(own_broker.url, 200, 2.0) as running:
        time.sleep(3)
        for victim in group[:2]:
            victim.kill()
            time.sleep(3)
            victim.start()
        time.sleep(3)
    taken = [ingest.metric("readings_stored_total") for ingest in group]
    assert all(share > 0 for share in taken), f"each has a share: {taken}"
    assert_all_stored_once(running, db, report_count, "three ingests share the work, two are killed")
