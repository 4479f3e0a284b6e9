"""The subscription to a foreign broker: a persistent session whose messages are acknowledged by the caller.

The broker keeps each message of QoS 1 until it is acknowledged. MQTT 3.1.1, which every broker speaks. paho's thread
owns the socket; it waits while MAX_WAITING messages are not handled, so that the broker holds the others.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt

from mqtt.endpoint import BrokerEndpoint, paho_client
from vitals.log import WaitLog

log = logging.getLogger("edges")

KEEPALIVE_S = 15
RETRY_S = (1, 30)  # first and maximum pause between two attempts to connect
MAX_WAITING = 1000  # messages that are not handled yet


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the broker sent it; `identifier` is 0 at QoS 0, where there is nothing to acknowledge."""

    topic: str
    payload: bytes
    identifier: int
    retained: bool
    repeated: bool


class Subscriber:
    """One session; `deliver` is called in paho's thread, in the order of arrival."""

    def __init__(
        self, broker: BrokerEndpoint, client_id: str, filters: Sequence[str], deliver: Callable[[Message], None]
    ) -> None:
        self._broker = broker
        self._filters = list(filters)
        self._deliver = deliver
        self._free = threading.BoundedSemaphore(MAX_WAITING)
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning)
        self._stopping = False
        self.problem = "connecting"
        client = paho_client(
            broker,
            client_id=client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client

    def start(self) -> None:
        """Connect, now and after each loss, until `stop`."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect. The broker keeps what is not acknowledged, and what is published from now on."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()

    def handled(self, message: Message) -> None:
        """Acknowledge a message. Call it once for each, from any thread."""
        if message.identifier:
            self._client.ack(message.identifier, 1)
        self._free.release()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        while not self._free.acquire(timeout=1.0):
            if self._stopping:
                return
        identifier = message.mid if message.qos else 0
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._deliver(Message(topic, bytes(message.payload), identifier, message.retain, message.dup))

    def _on_connect(self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._lost(f"it refuses the connection: {reason}")
            return
        self._wait_log.over()
        client.subscribe([(topic_filter, 1) for topic_filter in self._filters])

    def _on_subscribe(self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [name for name, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        if refused:
            self.problem = f"the broker at {self._broker} refuses the subscription to {', '.join(refused)}"
            log.error("%s; give the user the right to read it", self.problem)
        else:
            self.problem = ""
            log.info("connected to the broker at %s", self._broker)

    def _on_connect_fail(self, _client: mqtt.Client, _userdata: Any) -> None:
        self._lost("it cannot be reached")

    def _on_disconnect(self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._stopping:
            self._lost(f"the connection ended: {reason}")

    def _lost(self, reason: str) -> None:
        self.problem = f"not connected to the broker at {self._broker}: {reason}"
        self._wait_log.waiting(reason, time.monotonic())
