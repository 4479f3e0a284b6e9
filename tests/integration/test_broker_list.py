"""Two brokers in one list: what happens to readings, alerts and pages when the one in use dies or stands still."""

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mqtt.endpoint import BrokerEndpoint
from mqtt.instance import read_status
from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, free_port
from tests.fixtures.alerts import MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.station import MakeStation
from tests.support.fleet import fleet, rows_by_name
from tests.support.servers import Db, eventually, serving


@pytest.fixture
def two_open_brokers(
    binaries: ServerBinaries, run_name: str, tmp_path: Path
) -> Iterator[tuple[BrokerServer, BrokerServer]]:
    """Two brokers that know nothing of each other, for one test to kill and to stop."""
    first, second = (
        BrokerServer(binaries, f"{run_name}-pair-{name}", free_port(), tmp_path / f"{name}.log") for name in "ab"
    )
    with serving(binaries, first), serving(binaries, second):
        yield first, second
        second.signal(signal.SIGCONT)


def test_when_the_broker_dies_and_the_next_one_stands_still_all_go_to_the_other_and_no_reading_is_lost(
    two_open_brokers: tuple[BrokerServer, BrokerServer],
    make_ingest: MakeIngest,
    make_alerts: MakeAlerts,
    make_station: MakeStation,
    db: Db,
) -> None:
    first, second = two_open_brokers
    urls = f"{first.url},{second.url}"
    ingest = make_ingest(urls, db, ingest_receipt_every_s=0.5)
    services = ingest, make_alerts(urls, alerts_client_id="alerts"), make_station(urls, station_client_id="station")

    def all_at(server: BrokerServer) -> bool:
        """Return whether the last connection that each service has logged is to this broker."""
        last = [service.said().rpartition("connected to the broker at ")[2] for service in services]
        return all(line.startswith(f"{server.url}\n") for line in last)

    eventually(lambda: all_at(first), 30, "the connections of the services")
    with fleet(urls, devices=5, hertz=10) as devices:
        eventually(lambda: devices.stats.confirmed > 0, 30, "a receipt")
        first.kill()
        eventually(lambda: all_at(second), 60, "the connections of the services")
        stored = ingest.metric("readings_stored_total")
        eventually(lambda: ingest.metric("readings_stored_total") > stored, 60, "stored readings")
        first.start()
        first_at = f"127.0.0.1:{first.port}"
        second.signal(signal.SIGSTOP)
        eventually(lambda: ingest.metric("mqtt_broker", broker=first_at) == 1, 60, "the connection of ingest")
        eventually(lambda: all_at(first), 60, "the connections of the services")
        eventually(lambda: devices.stats.connected == 5, 60, "the connections of all devices")
        eventually(lambda: devices.stats.produced - devices.stats.published < 10, 60, "PUBACKs of what waited")
        devices.stop()
        stats = devices.stats
    eventually(lambda: db.count() >= stats.published, 30, "every reading in the table")
    assert set(devices.acknowledged) <= set(rows_by_name(db))
    assert db.count() == stats.published
    assert stats.produced - stats.published <= 10, "of the end, if this machine is busy"
    assert stats.dropped == 0
    assert ingest.metric("mqtt_broker_switches_total") >= 2
    assert ingest.health()["broker"] == first_at
    assert f"connected to the broker at {second.url}" in ingest.said()


def test_a_station_leaves_a_broker_that_accepts_and_never_answers_the_tls_handshake(make_station: MakeStation) -> None:
    """A frozen host: its kernel accepts connections."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as first,
        closing(socket.create_server(("127.0.0.1", 0))) as second,
    ):
        second.settimeout(40)
        make_station(",".join(f"mqtts://127.0.0.1:{one.getsockname()[1]}" for one in (first, second)), wait=False)
        arrived = []
        for _ in range(3):  # the first connections are those of the check for a second station
            accepted, _ = second.accept()
            arrived.append(accepted)
        for accepted in arrived:
            accepted.close()


def test_services_state_that_a_device_publishes_at_another_broker_than_theirs(
    two_open_brokers: tuple[BrokerServer, BrokerServer], make_ingest: MakeIngest, make_alerts: MakeAlerts, db: Db
) -> None:
    first, second = two_open_brokers
    urls = f"{first.url},{second.url}"
    make_ingest(urls, db, ingest_client_id="ingest")
    make_alerts(urls, alerts_client_id="alerts")

    def problem_of(name: str) -> str:
        status = read_status(BrokerEndpoint.parse(first.url), f"vitalflow/services/{name}")
        return "" if status is None else status.problem

    def problems() -> list[bool]:
        """Whether ingest and alert worker state what the station shows about them."""
        return [f"another broker, 127.0.0.1:{second.port}" in problem_of(name) for name in ("ingest", "alerts")]

    with fleet(second.url, devices=1, hertz=2):
        eventually(lambda: problems() == [True, True], 120, "both state it")
        second_worker = make_alerts(second.url, alerts_client_id="alerts")
        eventually(lambda: "another process with this client id" in problem_of("alerts"), 60, "what is wrong now")
        second_worker.kill()
    eventually(lambda: problems() == [False, False], 60, "both state that it is over")


def test_a_second_worker_is_refused_if_the_first_one_is_at_any_broker_of_the_list(
    two_open_brokers: tuple[BrokerServer, BrokerServer], make_alerts: MakeAlerts
) -> None:
    first, second = two_open_brokers
    make_alerts(second.url, alerts_client_id="alerts")
    refused = make_alerts(f"{first.url},{second.url}", start=False, alerts_client_id="alerts").start(wait=False)
    assert refused.process is not None
    assert refused.process.wait(60) == 2
    assert f") at 127.0.0.1:{second.port}; stop it first" in refused.said()
