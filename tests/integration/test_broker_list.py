"""Two brokers in one list: what happens to readings, alerts and pages when the one in use dies or stands still."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, free_port
from tests.fixtures.ingest import MakeIngest
from tests.support.fleet import fleet, rows_by_name
from tests.support.servers import Db, eventually, stop_running


@pytest.fixture
def broker_pair(binaries: ServerBinaries, run_name: str, tmp_path: Path) -> Iterator[tuple[BrokerServer, BrokerServer]]:
    """Two brokers that know nothing of each other, for one test to kill and to stop."""
    first, second = (
        BrokerServer(binaries, f"{run_name}-pair-{name}", free_port(), tmp_path / f"{name}.log") for name in "ab"
    )
    first.start()
    second.start()
    yield first, second
    for server in (first, second):
        server.signal(signal.SIGCONT)
        stop_running(server)
        binaries.remove(server.folder.parent)


def test_no_reading_is_lost_when_the_broker_dies_and_when_the_next_one_stands_still(
    broker_pair: tuple[BrokerServer, BrokerServer], make_ingest: MakeIngest, db: Db
) -> None:
    first, second = broker_pair
    urls = f"{first.url},{second.url}"
    ingest = make_ingest(urls, db, ingest_receipt_every_s=0.5)

    def uses(server: BrokerServer) -> Callable[[], bool]:
        return lambda: ingest.metric("mqtt_broker", broker=f"127.0.0.1:{server.port}") == 1

    eventually(uses(first), 30, "the connection")
    with fleet(urls, devices=5, hertz=10) as devices:
        eventually(lambda: devices.stats.confirmed > 0, 30, "a receipt")
        first.kill()
        eventually(uses(second), 30, "the connection")
        stored = ingest.metric("readings_stored_total")
        eventually(lambda: ingest.metric("readings_stored_total") > stored, 30, "stored readings")
        first.start()
        second.signal(signal.SIGSTOP)
        eventually(uses(first), 60, "the connection")
        eventually(lambda: devices.stats.connected == 5, 60, "the connections of all devices")
        eventually(lambda: devices.stats.produced - devices.stats.published < 10, 60, "PUBACKs of what waited")
        devices.stop()
        stats = devices.stats
    stored_names = rows_by_name(db)
    assert set(devices.acknowledged) <= set(stored_names)
    assert len(stored_names) == stats.produced
    assert stats.dropped == 0
    assert ingest.metric("mqtt_broker_switches_total") == 2
    assert ingest.health()["broker"] == f"127.0.0.1:{first.port}"
    assert f"connected to the broker at {second.url}" in ingest.said()
