"""An upgrade under load: devices publish while the schema is migrated and ingest is replaced. Nothing is lost."""

from datetime import UTC, datetime, timedelta

import pytest

from sql.migrate import connect
from stack.servers import BrokerServer
from tests.acceptance.test_no_reading_lost import assert_all_stored_once
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import MakeIngest
from tests.support.earlier_schema import apply_version_0_1_0
from tests.support.fleet import fleet
from tests.support.migrate import migrate
from tests.support.rows import write_readings
from tests.support.servers import Db, eventually

DEVICES = 200
HERTZ = 2.0
STORED_BEFORE = 120
WAITING = 1000  # messages, so that a step of the upgrade happens under load

pytestmark = pytest.mark.slow


@pytest.fixture
def earlier(empty: Db) -> Db:
    """A database of version 0.1.0 with readings in it."""
    with connect(empty.owner_url) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
    apply_version_0_1_0(empty, community=False)
    write_readings(empty, range(1, STORED_BEFORE + 1), device="earlier", start=datetime.now(UTC) - timedelta(hours=1))
    return empty


@pytest.mark.parametrize("order", ["ingest stopped, migrate, ingest started", "ingest started, then migrate"])
def test_migrating_version_0_1_0_under_load_loses_and_doubles_nothing(
    order: str, own_broker: BrokerServer, earlier: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    """Ingest keeps its session at the broker and acknowledges nothing that it cannot store."""
    db = earlier
    ingest = make_ingest(own_broker.url, db, ingest_client_id="ingest")
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        eventually(lambda: ingest.metric("database_blocked") == 1, 30, "ingest finds a schema that it does not know")
        if order.startswith("ingest stopped"):
            ingest.stop()
        published = len(running.acknowledged)
        eventually(lambda: len(running.acknowledged) > published + WAITING, 30, "more readings at the broker")
        assert db.count() == STORED_BEFORE
        assert "applied 0008_rename.sql" in migrate(db).expect_success()
        if order.startswith("ingest stopped"):
            ingest.start()
        eventually(lambda: db.count() > STORED_BEFORE, 60, "ingest continues")
        eventually(lambda: ingest.metric("database_blocked") == 0, 30, "ingest reports that it stores again")
    assert_all_stored_once(running, db, report_count, f"upgrade from 0.1.0, {order}", stored_before=STORED_BEFORE)
    assert db.one("SELECT count(*) FROM patient_vitals WHERE device_id = 'earlier'") == STORED_BEFORE


def test_migrating_and_restarting_ingest_under_load_loses_and_doubles_nothing(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, report_count: ReportCount
) -> None:
    """As at each start with containers: migrate replaces views, functions and grants while ingest writes."""
    ingest = make_ingest(own_broker.url, db, ingest_client_id="ingest")
    with fleet(own_broker.url, DEVICES, HERTZ) as running:
        for _ in range(3):
            stored = db.count()
            migrate(db).expect_success()
            assert ingest.stop() == 0
            ingest.start()
            eventually(lambda stored=stored: db.count() > stored + WAITING, 60, "readings are stored")  # type: ignore[misc]
    assert_all_stored_once(running, db, report_count, "migrated and ingest restarted three times")
