"""A short visit to the broker: a connection without a session, to hear what is retained, and gone again.

Before a service's own session begins, `instance` asks this way whether another one holds it, and the alert worker's
`readback` fetches what is open.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import BrokerEndpoint, configure_client
from mqtt.tls import describe_tls_error
from vitals.errors import TransientError

CONNECT_TIMEOUT_S = 3.0  # seconds
PUBLISH_TIMEOUT_S = 10.0  # seconds for a PUBACK


@dataclass(frozen=True, slots=True)
class Message:
    """A message; or, with an empty topic, that the subscriptions are confirmed."""

    topic: str = ""
    payload: bytes = b""
    retained: bool = False


class OneShotClient:
    """What is heard during the visit, in the order of its arrival."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._messages: SimpleQueue[Message | TransientError] = SimpleQueue()
        self._sent: list[mqtt.MQTTMessageInfo] = []

    def next(self, timeout: float) -> Message | None:
        """What came next; None for nothing within `timeout` seconds. Raises TransientError where the broker refuses us."""
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(message, TransientError):
            raise message
        return message

    def put(self, message: Message | TransientError) -> None:
        """For the client's thread."""
        self._messages.put(message)

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        """Publish at QoS 1, without waiting; `settle` waits."""
        self._sent.append(self._client.publish(topic, payload, qos=1, retain=retain))

    def wait_for_publishes(self, timeout: float = PUBLISH_TIMEOUT_S) -> None:
        """Wait until the broker has taken everything that was published; raises TransientError where it does not."""
        deadline = time.monotonic() + timeout
        for info in self._sent:
            info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            if not info.is_published():
                raise TransientError(f"it did not take a message within {timeout:g} s")
        self._sent.clear()


@contextmanager
def connect_once(broker: BrokerEndpoint, filters: Sequence[tuple[str, int]]) -> Iterator[OneShotClient]:
    """Connect, under an id of the broker's choosing, and subscribe to `filters` (filter, QoS).

    Raises TransientError where the broker is away; a refusal, of us or of a subscription, is raised by `OneShotClient.next`.
    """
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    one_shot = OneShotClient(client)
    configure_client(client, broker)

    def on_connect(client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            one_shot.put(TransientError(f"it refuses us: {reason}"))
        else:
            client.subscribe(list(filters))

    def on_subscribe(_client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [
            f"{name} ({reason})" for (name, _), reason in zip(filters, reasons, strict=False) if reason.is_failure
        ]
        one_shot.put(TransientError(f"it refuses our subscription to {', '.join(refused)}") if refused else Message())

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = lambda _client, _userdata, message: one_shot.put(
        Message(message.topic, bytes(message.payload), message.retain)
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    try:
        client.connect(broker.host, broker.port)
    except (OSError, ValueError) as error:
        raise TransientError(describe_tls_error(error, broker.host, broker.port, broker.ca)) from None
    client.loop_start()
    try:
        yield one_shot
    finally:
        client.disconnect()
        client.loop_stop()
