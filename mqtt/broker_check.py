"""Try what a service needs of a broker: once after the first connection to it, in a thread of its own.

The check is a client beside the session, with the service's user, on topics below `services/{name}/probe`. It takes
three seconds, and about twenty at a broker that publishes nothing below `$SYS`.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client import CollectorRegistry, Gauge

from mqtt.broker_features import WINDOW, Feature, Seen, judge
from mqtt.endpoint import BrokerEndpoint, connect_client, paho_client
from mqtt.failover import BrokerOrder
from mqtt.properties import expiry, packet_properties
from vitals.errors import TransientError

ANSWER_S = 5.0  # for CONNACK, SUBACK and PUBACK
DELIVERY_S = 2.0  # for a message; a broker that delivers does so within milliseconds
EXPIRY_S = 1  # of a retained message
SYS_S = 15.0  # Mosquitto publishes below $SYS every 10 s by default
LEFTOVER_S = 60  # expiry of the retained messages of a check that was killed
POLL_S = 1.0
UNSUPPORTED_VERSION = 0x84  # reason code of CONNACK
RETRY_S = 60.0


class _Denied(TransientError):
    """The broker refuses the connection, a publish or a subscription."""


class _Probe:
    """A client that acknowledges no message before `acknowledge`."""

    def __init__(self, broker: BrokerEndpoint, session_s: int) -> None:
        self.messages: SimpleQueue[mqtt.MQTTMessage] = SimpleQueue()
        self.connack: Properties | None = None
        self.saw_sys = threading.Event()
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._client = client = paho_client(
            broker,
            client_id=f"probe-{secrets.token_hex(8)}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = ANSWER_S
        client.max_inflight_messages_set(2 * WINDOW)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda _client, _userdata, _mid, reasons, _: self._answers.put(_failure(reasons))
        client.on_publish = lambda _client, _userdata, _mid, reason, _: self._answers.put(_failure([reason]))
        properties = packet_properties(PacketTypes.CONNECT, SessionExpiryInterval=session_s)
        connect_client(client, broker, clean_start=True, properties=properties)
        client.loop_start()

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self.connack = properties
        needs = "; ingest, alert worker and edges need MQTT 5" if reason.value == UNSUPPORTED_VERSION else ""
        self._answers.put(_failure([reason]) + needs)

    def _on_message(self, client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("$SYS"):
            client.ack(message.mid, message.qos)
            self.saw_sys.set()
        else:
            self.messages.put(message)

    def close(self) -> None:
        """Disconnect, and let the broker delete the session."""
        self._client.disconnect(properties=packet_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
        self._client.loop_stop()

    def await_answers(self, number: int = 1) -> None:
        """Wait for answers of the broker; raises _Denied for a refusal, TransientError without one."""
        deadline = time.monotonic() + ANSWER_S
        for _ in range(number):
            try:
                failure = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise TransientError("it does not answer") from None
            if failure:
                raise _Denied(failure)

    def publish(self, topic: str, payload: str = "", *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Publish at QoS 1; each has an answer."""
        self._client.publish(topic, payload, qos=1, retain=retain, properties=expiry(expiry_s))

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe at QoS 1, and wait for the answer."""
        self._client.subscribe(topic_filter, 1)
        self.await_answers()

    def receive(self, wanted: Callable[[mqtt.MQTTMessage], bool], timeout_s: float) -> bool:
        """Take messages, and acknowledge them, until one is wanted; return whether it came."""
        for message in self._take(timeout_s):
            self._client.ack(message.mid, message.qos)
            if wanted(message):
                return True
        return False

    def _take(self, timeout_s: float) -> Iterator[mqtt.MQTTMessage]:
        """Yield messages as they arrive, for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with suppress(Empty):
            while (left_s := deadline - time.monotonic()) > 0:
                yield self.messages.get(timeout=left_s)

    def fill_window(self, topic: str) -> int:
        """Send WINDOW messages to this client; return how many arrive before the first is acknowledged."""
        for number in range(WINDOW):
            self.publish(topic, str(number))
        self.await_answers(WINDOW)
        held = list(islice((message for message in self._take(DELIVERY_S) if message.topic == topic), WINDOW))
        for message in held:
            self._client.ack(message.mid, message.qos)
        return len(held)


def _failure(reasons: Iterable[Any]) -> str:
    return ", ".join(str(reason) for reason in reasons if reason.is_failure)


def try_broker(
    broker: BrokerEndpoint, topic: str, session_s: int, *, sys_filters: Sequence[str] = (), shared: bool = False
) -> Seen:
    """Return what a broker does; raises TransientError if it does not answer or does not permit the check.

    topic         of the service; the check publishes below it
    session_s     the Session Expiry Interval of the service
    sys_filters   what the service reads below `$SYS`; those that its user may not read are left out
    """
    base, token = f"{topic}/probe", secrets.token_hex(8)
    probe = _Probe(broker, session_s)
    try:
        probe.await_answers()
        probe.publish(f"{base}/retained/1", token, retain=True, expiry_s=LEFTOVER_S)
        probe.publish(f"{base}/expiring", token, retain=True, expiry_s=EXPIRY_S)
        probe.await_answers(2)
        expires_at = time.monotonic() + EXPIRY_S + 1.0  # brokers count in whole seconds
        reads_sys = any([_is_granted(probe, name) for name in sys_filters])
        probe.subscribe(f"{base}/window")
        window = probe.fill_window(f"{base}/window")
        retained = _is_retained(probe, f"{base}/retained/+", f"{base}/retained/1", token)
        is_shared = _is_shared(probe, f"{base}/shared", token) if shared else None
        time.sleep(max(0.0, expires_at - time.monotonic()))
        expired = not _is_retained(probe, f"{base}/expiring", f"{base}/expiring", token)
        has_sys = probe.saw_sys.wait(SYS_S) if reads_sys else None
        for name in ("retained/1", "expiring"):
            probe.publish(f"{base}/{name}", retain=True)
        probe.await_answers(2)
    finally:
        probe.close()
    kept_s = getattr(probe.connack, "SessionExpiryInterval", session_s)
    accepts = getattr(probe.connack, "ReceiveMaximum", None)
    return Seen(retained, expired, window, accepts, kept_s, has_sys, is_shared)


def _is_retained(probe: _Probe, topic_filter: str, topic: str, token: str) -> bool:
    probe.subscribe(topic_filter)
    return probe.receive(
        lambda message: message.topic == topic and message.retain and message.payload == token.encode(), DELIVERY_S / 2
    )


def _is_granted(probe: _Probe, topic_filter: str) -> bool:
    try:
        probe.subscribe(topic_filter)
    except _Denied:
        return False
    return True


def _is_shared(probe: _Probe, topic: str, token: str) -> bool | None:
    """Return whether a shared subscription receives a message; None if the user may not subscribe."""
    if not _is_granted(probe, f"$share/probe/{topic}"):
        return None
    probe.publish(topic, token)
    probe.await_answers()
    return probe.receive(lambda message: message.topic == topic and message.payload == token.encode(), DELIVERY_S)


class BrokerCheck(threading.Thread):
    """Checks each broker that a service connects to, once, until the process ends.

    check     returns each feature of a broker, and what is missing
    missing   sentences about the broker in use; may be read from any thread
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        order: Callable[[], BrokerOrder],
        is_connected: Callable[[], bool],
        check: Callable[[BrokerEndpoint], list[tuple[Feature, str | None]]],
        log: logging.Logger,
    ) -> None:
        super().__init__(name="broker-check", daemon=True)
        self._gauge = Gauge(
            name + "mqtt_broker_feature",
            "1 if the broker in use has what the service needs of it, else 0",
            ["feature"],
            registry=registry,
        )
        self._order = order
        self._is_connected = is_connected
        self._check = check
        self._log = log
        self._checked = ""
        self.missing: list[str] = []

    def run(self) -> None:
        """Check at each change of the broker; without an answer again after RETRY_S."""
        while True:
            time.sleep(POLL_S if self.work() else RETRY_S)

    def work(self) -> bool:
        """Check the broker in use, if it has not been; return False if the check was not possible."""
        broker = self._order().current
        if not self._is_connected() or broker.address == self._checked:
            return True
        try:
            found = self._check(broker)
        except TransientError as error:
            self._log.warning("the broker at %s was not checked: %s", broker, error)
            if isinstance(error, _Denied):
                self._checked = broker.address  # its rights are those of an earlier version
            return False
        self._checked = broker.address
        self.missing = [sentence for _, sentence in found if sentence is not None]
        for feature, sentence in found:
            self._gauge.labels(feature).set(sentence is None)
            if sentence is not None:
                self._log.warning("the broker at %s: %s", broker, sentence)
        return True


def check_broker(
    broker: BrokerEndpoint, topic: str, session_s: int, *, sys_filters: Sequence[str] = (), shared: bool = False
) -> list[tuple[Feature, str | None]]:
    """Try a broker and judge what was seen; arguments as for `try_broker`."""
    return list(judge(try_broker(broker, topic, session_s, sys_filters=sys_filters, shared=shared), session_s))
