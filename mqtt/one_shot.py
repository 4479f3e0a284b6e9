"""A short connection without a session, to read retained messages and to publish.

Before its own session begins, a service reads the status of another instance this way, and the alert worker the open
alerts.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt

from mqtt.endpoint import BrokerEndpoint, connect_client, paho_client
from mqtt.properties import expiry
from vitals.errors import TransientError

CONNECT_TIMEOUT_S = 3.0
PUBLISH_TIMEOUT_S = 10.0


class SubscriptionRefused(TransientError):
    """The broker does not authorize the user for a subscription."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received message; an empty topic marks the SUBACK. `expiry_s`: what is left of its Message Expiry Interval."""

    topic: str = ""
    payload: bytes = b""
    retained: bool = False
    qos: int = 0
    expiry_s: int | None = None


class OneShotClient:
    """The received messages in order of arrival, and publishing."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._messages: SimpleQueue[Message | TransientError] = SimpleQueue()
        self._sent: list[mqtt.MQTTMessageInfo] = []

    def next(self, timeout: float) -> Message | None:
        """Return the next message, None after `timeout` seconds; raises TransientError for a refusal by the broker."""
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(message, TransientError):
            raise message
        return message

    @property
    def is_connected(self) -> bool:
        """Return whether the connection is up; a lost one is restored after a pause, with its subscription."""
        return self._client.is_connected()

    def put(self, message: Message | TransientError) -> None:
        """Called by the client's thread."""
        self._messages.put(message)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Publish at QoS 1 without waiting; see `wait_for_publishes`. `expiry_s`: Message Expiry Interval."""
        self._sent.append(self._client.publish(topic, payload, qos=1, retain=retain, properties=expiry(expiry_s)))

    def wait_for_publishes(self, timeout: float = PUBLISH_TIMEOUT_S) -> None:
        """Wait for the PUBACK of every published message; raises TransientError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for info in self._sent:
            try:
                info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            except RuntimeError as error:  # published without a connection
                raise TransientError(str(error)) from None
            if not info.is_published():
                raise TransientError(f"no acknowledgement of a message within {timeout:g} s")
        self._sent.clear()


@contextmanager
def connect_once(broker: BrokerEndpoint, filters: Sequence[tuple[str, int]]) -> Iterator[OneShotClient]:
    """Connect with a client id that the broker assigns, and subscribe to `filters` (topic filter, QoS).

    Of several brokers the first that accepts the connection is used. Raises TransientError if the broker is
    unreachable, or each of several; `OneShotClient.next` raises a refusal of the connection or of a subscription.
    """
    *others, last = broker.candidates
    one_shot = next(filter(None, (_try(other, filters) for other in others)), None) or _connect(last, filters)[0]
    try:
        yield one_shot
    finally:
        one_shot.close()


def _try(broker: BrokerEndpoint, filters: Sequence[tuple[str, int]]) -> OneShotClient | None:
    """Connect to one of several brokers; return None if it does not accept the connection in time."""
    try:
        one_shot, accepted = _connect(broker, filters)
    except TransientError:
        return None
    if accepted.wait(CONNECT_TIMEOUT_S):
        return one_shot
    one_shot.close()
    return None


def _connect(broker: BrokerEndpoint, filters: Sequence[tuple[str, int]]) -> tuple[OneShotClient, threading.Event]:
    """Connect without waiting for the answer of the broker; the event is set once it has accepted the connection."""
    accepted = threading.Event()
    client = paho_client(broker, protocol=mqtt.MQTTv5)
    one_shot = OneShotClient(client)

    def on_connect(client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            one_shot.put(TransientError(f"connection refused: {reason}"))
        else:
            client.subscribe(list(filters))
            accepted.set()

    def on_subscribe(_client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [
            f"{name} ({reason})" for (name, _), reason in zip(filters, reasons, strict=False) if reason.is_failure
        ]
        one_shot.put(SubscriptionRefused(f"subscription refused: {', '.join(refused)}") if refused else Message())

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = lambda _client, _userdata, message: one_shot.put(
        Message(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            getattr(message.properties, "MessageExpiryInterval", None),
        )
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    connect_client(client, broker)
    client.loop_start()
    return one_shot, accepted
