"""A pair of brokers behind HAProxy: failover, and failback of clients to a broker that returned with an old store."""

import json
import signal
from queue import SimpleQueue

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from identity.dynsec import connect_dynsec
from identity.enrolment import list_users
from identity.retained import read_retained
from mqtt.endpoint import BrokerEndpoint, configure_client
from tests.fixtures.broker_pair import ProxiedPair
from tests.support.mqtt_probe import MqttProbe
from tests.support.servers import eventually
from vitals.topics import Topics

TOPICS = Topics()
CHANGED, CLEARED, ADDED = (TOPICS.alert("icu-1", f"bed-{number}", "spo2-low") for number in (1, 2, 3))


def revision(number: int) -> bytes:
    return json.dumps({"revision": number}).encode()


def retain(broker: BrokerEndpoint, messages: dict[str, bytes]) -> None:
    with MqttProbe(broker) as client:
        assert client.connected == "Success"
        for topic, payload in messages.items():
            assert client.publish(topic, payload, retain=True) in ("Success", "No matching subscribers")


def alerts_at(broker: BrokerEndpoint) -> dict[str, int]:
    found = read_retained(broker, [TOPICS.alerts()])
    return {topic: json.loads(message.payload)["revision"] for topic, message in found.items()}


def subscriber(broker: BrokerEndpoint) -> tuple[mqtt.Client, SimpleQueue[int]]:
    """Subscribe to one alert, and again at each connection; the revisions in the order of their arrival."""
    revisions: SimpleQueue[int] = SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    configure_client(client, broker)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda client, *_: client.subscribe(CHANGED, 1) and None
    client.on_message = lambda _client, _userdata, message: revisions.put(json.loads(message.payload)["revision"])
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client, revisions


def test_a_broker_that_returns_with_an_old_store_gets_the_newer_state_before_the_clients(
    proxied_pair: ProxiedPair,
) -> None:
    pair, clients = proxied_pair, proxied_pair.endpoint("alerts")
    a, b = (broker.broker("alerts") for broker in pair.brokers.values())
    eventually(pair.accepts, 30, "clients reach a broker")
    retain(clients, {CHANGED: revision(1), CLEARED: revision(1)})
    assert pair.proxy.used() == "a"
    eventually(lambda: alerts_at(b) == {CHANGED: 1, CLEARED: 1}, 30, "b mirrors a")

    pair.brokers["a"].server.stop()
    eventually(pair.accepts, 30, "clients reach the other broker")
    assert pair.proxy.used() == "b"
    watching, revisions = subscriber(clients)
    retain(clients, {CHANGED: revision(2), CLEARED: b"", ADDED: revision(1)})
    pair.brokers["a"].server.start()
    eventually(lambda: pair.proxy.states() == {"a": True, "b": True}, 30, "HAProxy reaches both")
    assert pair.accepts()
    assert pair.proxy.used() == "b", "a broker that returns does not take clients"
    eventually(lambda: alerts_at(a) == {CHANGED: 2, CLEARED: 1, ADDED: 1}, 30, "a mirrors b, but keeps what ended")
    assert alerts_at(b) == {CHANGED: 2, ADDED: 1}, "the old state of a does not come back"

    done = pair.fail_back("a")
    assert done.returncode == 0, done.stderr
    assert "1 topics differed on a" in done.stdout
    assert "a has the clients, b is the standby" in done.stdout
    assert pair.proxy.used() == "a"
    assert alerts_at(clients) == {CHANGED: 2, ADDED: 1}
    retain(clients, {CHANGED: revision(3)})
    eventually(lambda: alerts_at(b) == {CHANGED: 3, ADDED: 1}, 30, "b mirrors a again")
    watching.disconnect()
    watching.loop_stop()
    seen = [revisions.get_nowait() for _ in range(revisions.qsize())]
    assert seen == sorted(seen)
    assert seen[-1] == 3
    with connect_dynsec(pair.brokers["a"].broker("admin")) as dynsec:
        assert not [user for user in list_users(dynsec) if "failback" in user.name], "its user is gone"
    assert pair.fail_back("a").returncode == 2, "there is nothing to do"


def test_what_a_frozen_broker_had_received_does_not_come_back_when_it_is_thawed(proxied_pair: ProxiedPair) -> None:
    pair, clients = proxied_pair, proxied_pair.endpoint("alerts")
    a, b = (broker.broker("alerts") for broker in pair.brokers.values())
    eventually(pair.accepts, 30, "clients reach a broker")
    retain(clients, {CHANGED: revision(1)})
    eventually(lambda: alerts_at(b) == {CHANGED: 1}, 30, "b mirrors a")
    server = pair.brokers["a"].server
    with MqttProbe(clients) as cut_off:
        assert cut_off.connected == "Success"
        server.signal(signal.SIGSTOP)
        try:
            # It lies in the socket of the frozen broker.
            assert cut_off.publish(CHANGED, revision(2), retain=True) != "Success"
            eventually(lambda: pair.accepts() and pair.proxy.used() == "b", 60, "clients reach the other broker")
            retain(clients, {CHANGED: revision(3)})
        finally:
            server.signal(signal.SIGCONT)
    eventually(lambda: alerts_at(a) == {CHANGED: 3}, 30, "the thawed broker mirrors the other one")
    assert alerts_at(b) == {CHANGED: 3}
    assert pair.proxy.used() == "b"
