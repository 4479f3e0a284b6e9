"""A service's session on the standby broker of a pair, made before a failover."""

import logging
import select
import signal
import time
from datetime import UTC, datetime

import pytest

import mqtt.standby_sessions
from bench.proxy import Proxy
from mqtt.endpoint import BrokerEndpoint
from mqtt.session import Session
from mqtt.standby_sessions import standby_sessions
from stack.servers import BrokerServer
from tests.fixtures.broker_pair import ProxiedPair
from tests.fixtures.ingest import MakeIngest
from tests.support.mqtt_probe import publishes
from tests.support.servers import Db, eventually
from vitals.codec import encode
from vitals.reading import reading

STORED = "SELECT array_agg(seq ORDER BY seq) FROM patient_vitals WHERE device_id = 'bed-1'"


def measure(broker: BrokerEndpoint, seq: int) -> str:
    """Publish a reading of a device that waits for no receipt; the broker's answer."""
    payload = encode(reading(datetime.now(UTC), {"heart_rate": 80}, boot=1, seq=seq))
    return publishes(broker, broker.client_id("bed-1"), "vitalflow/vitals/icu-1/bed-1", payload)


def test_readings_that_the_other_broker_acknowledged_before_ingest_connected_to_it_are_stored(
    proxied_pair: ProxiedPair, db: Db, make_ingest: MakeIngest
) -> None:
    pair = proxied_pair
    eventually(pair.accepts, 30, "clients reach a broker")
    url = pair.brokers["a"].url_of("ingest").replace(f":{pair.brokers['a'].server.port}", f":{pair.port}")
    addresses = ",".join(f"mqtts://127.0.0.1:{broker.server.port}" for broker in pair.brokers.values())
    ingest = make_ingest(url, db, ingest_client_id="ingest", mqtt_ca=pair.brokers["a"].ca, mqtt_standby_urls=addresses)
    made = "made a session on the standby broker at mqtts://ingest@127.0.0.1:{}"
    eventually(
        lambda: made.format(pair.brokers["b"].server.port) in ingest.said(), 60, "ingest makes a session on the standby"
    )
    assert measure(pair.endpoint("bed-1"), 1) == "Success"
    eventually(lambda: db.one(STORED) == [1], 30, "a reading is stored")

    assert ingest.process is not None
    ingest.process.send_signal(signal.SIGSTOP)  # so that the devices are at the other broker before ingest is
    pair.brokers["a"].server.kill()
    eventually(lambda: pair.accepts() and pair.proxy.used() == "b", 60, "clients reach the other broker")
    assert measure(pair.endpoint("bed-1"), 2) == "Success"
    ingest.process.send_signal(signal.SIGCONT)
    eventually(lambda: db.one(STORED) == [1, 2], 60, "what the other broker acknowledged is stored")
    assert ingest.said().count("connected to the broker") >= 2
    assert made.format(pair.brokers["a"].server.port) not in ingest.said()
    pair.brokers["a"].server.start()


def test_a_service_that_reaches_its_broker_through_a_proxy_is_no_other_process_at_that_broker(
    broker: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt.standby_sessions, "AGAIN_S", 0.1)
    topic, log = "vitalflow/services/behind-a-proxy", logging.getLogger("test")
    proxy = Proxy(broker.port).start()
    through = BrokerEndpoint.parse(f"mqtt://127.0.0.1:{proxy.port}")
    session = Session(
        through, "behind-a-proxy", topic, [], window=10, boot=time.time_ns(), deliver=lambda *_: None,
        connected=lambda _: None, log=log,
    )  # fmt: skip
    try:
        with standby_sessions([BrokerEndpoint.parse(broker.url)], "behind-a-proxy", topic, [], session, log) as other:
            deadline = time.monotonic() + 8.0
            while time.monotonic() < deadline:
                session.ensure_connected(time.monotonic())
                number = session.fileno()
                if select.select([] if number is None else [number], [], [], 0.1)[0]:
                    session.receive()
                session.maintain(time.monotonic())
                assert other.problem is None
            assert session.is_confirmed
    finally:
        session.disconnect()
        proxy.stop()
