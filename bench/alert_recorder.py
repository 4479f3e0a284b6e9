"""Subscribe to every alert message, across restarts of the broker, for `chaos`."""

import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vitals.alert import Alert, decode_alert
from vitals.topics import Topics


class AlertRecorder:
    """`received` has every alert in order of arrival; `now` the newest of each (device, rule)."""

    def __init__(self, port: int, topics: Topics) -> None:
        self.received: list[Alert] = []
        self.now: dict[tuple[str, str], Alert] = {}
        self._topics = topics
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics.alerts(), qos=1) and None
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._ready.wait(10)

    def acknowledge(self, alert: Alert) -> None:
        """Acknowledge an alert."""
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule)
        self._client.publish(topic, b'{"by":"bench","action":"acknowledge"}', qos=1).wait_for_publish(10)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.payload:
            alert = decode_alert(bytes(message.payload))
            self.received.append(alert)
            self.now[(alert.device_id, alert.rule)] = alert


def retained(port: int, topics: Topics) -> dict[tuple[str, str], Alert]:
    """Return the retained alerts, by device and rule."""
    subscriber = AlertRecorder(port, topics)
    time.sleep(1)
    subscriber.close()
    return subscriber.now
