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

from vitals.broker import Broker, prepare
from vitals.errors import TryAgain
from vitals.tls import explained

CONNECT_TIMEOUT = 3.0  # seconds
ANSWER_TIMEOUT = 10.0  # seconds for a PUBACK


@dataclass(frozen=True, slots=True)
class Heard:
    """A message; or, with an empty topic, that the subscriptions are confirmed."""

    topic: str = ""
    payload: bytes = b""
    retained: bool = False


class Visit:
    """What is heard during the visit, in the order of its arrival."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._heard: SimpleQueue[Heard | TryAgain] = SimpleQueue()
        self._sent: list[mqtt.MQTTMessageInfo] = []

    def next(self, timeout: float) -> Heard | None:
        """What came next; None for nothing within `timeout` seconds. Raises TryAgain where the broker refuses us."""
        try:
            heard = self._heard.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(heard, TryAgain):
            raise heard
        return heard

    def put(self, heard: Heard | TryAgain) -> None:
        """For the client's thread."""
        self._heard.put(heard)

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        """Publish at QoS 1, without waiting; `settle` waits."""
        self._sent.append(self._client.publish(topic, payload, qos=1, retain=retain))

    def settle(self, timeout: float = ANSWER_TIMEOUT) -> None:
        """Wait until the broker has taken everything that was published; raises TryAgain where it does not."""
        deadline = time.monotonic() + timeout
        for info in self._sent:
            info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            if not info.is_published():
                raise TryAgain(f"it did not take a message within {timeout:g} s")
        self._sent.clear()


@contextmanager
def visit(broker: Broker, filters: Sequence[tuple[str, int]]) -> Iterator[Visit]:
    """Connect, under an id of the broker's choosing, and subscribe to `filters` (filter, QoS).

    Raises TryAgain where the broker is away; a refusal, of us or of a subscription, is raised by `Visit.next`.
    """
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    there = Visit(client)
    prepare(client, broker)

    def on_connect(client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            there.put(TryAgain(f"it refuses us: {reason}"))
        else:
            client.subscribe(list(filters))

    def on_subscribe(_client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [
            f"{name} ({reason})" for (name, _), reason in zip(filters, reasons, strict=False) if reason.is_failure
        ]
        there.put(TryAgain(f"it refuses our subscription to {', '.join(refused)}") if refused else Heard())

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = lambda _client, _userdata, message: there.put(
        Heard(message.topic, bytes(message.payload), message.retain)
    )
    client.connect_timeout = CONNECT_TIMEOUT
    try:
        client.connect(broker.host, broker.port)
    except (OSError, ValueError) as error:
        raise TryAgain(explained(error, broker.host, broker.port, broker.ca)) from None
    client.loop_start()
    try:
        yield there
    finally:
        client.disconnect()
        client.loop_stop()
