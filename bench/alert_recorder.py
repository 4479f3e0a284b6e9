"""Subscribe to every alert message, across restarts of the broker."""

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from identity.retained import read_retained
from mqtt.endpoint import BrokerEndpoint, configure_client
from vitals.alert import Alert, decode_alert
from vitals.errors import PermanentError
from vitals.topics import Topics


class AlertRecorder:
    """Hold every alert in order of arrival, and of each (device, rule) the newest one.

    first_at    when the first one of each (device, rule) came, by `time.perf_counter`
    came_at     when each of `received` came, in unix seconds
    """

    def __init__(self, broker: BrokerEndpoint, topics: Topics) -> None:
        self.received: list[Alert] = []
        self.came_at: list[float] = []
        self.now: dict[tuple[str, str], Alert] = {}
        self.first_at: dict[tuple[str, str], float] = {}
        self._topics = topics
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics.alerts(), qos=1) and None
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        configure_client(self._client, broker)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._ready.wait(10)

    def acknowledge(self, alert: Alert) -> None:
        """Acknowledge an alert."""
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule)
        self.publish(topic, b'{"by":"bench","action":"acknowledge"}').wait_for_publish(10)

    def acknowledge_half(self, prefix: str, expected: int, timeout_s: float) -> None:
        """Wait for `expected` alerts of devices whose name begins with `prefix`; acknowledge every other one of them.

        Raises PermanentError if they do not come in time.
        """
        deadline = time.monotonic() + timeout_s
        while len(alerts := [alert for (name, _), alert in self.now.items() if name.startswith(prefix)]) < expected:
            if time.monotonic() > deadline:
                raise PermanentError(f"{len(alerts)} of {expected} alarms came at the start")
            time.sleep(0.1)
        for alert in alerts[::2]:
            self.acknowledge(alert)

    def publish(self, topic: str, payload: bytes) -> mqtt.MQTTMessageInfo:
        """Publish at QoS 1."""
        return self._client.publish(topic, payload, qos=1)

    def write(self, file: Path) -> None:
        """Write a line for each alert that came: when, in unix seconds, and the alert, as JSON."""
        lines = [msgspec.json.encode(came) for came in zip(self.came_at, self.received, strict=True)]
        file.write_bytes(b"\n".join(lines))

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        came = time.perf_counter()
        if message.payload:
            alert = decode_alert(bytes(message.payload))
            self.received.append(alert)
            self.came_at.append(time.time())
            self.now[(alert.device_id, alert.rule)] = alert
            self.first_at.setdefault((alert.device_id, alert.rule), came)


def retained(broker: BrokerEndpoint, topics: Topics) -> dict[tuple[str, str], Alert]:
    """Return the retained alerts, by device and rule."""
    alerts = [decode_alert(message.payload) for message in read_retained(broker, [topics.alerts()]).values()]
    return {(alert.device_id, alert.rule): alert for alert in alerts}
