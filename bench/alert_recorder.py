"""Somebody at the broker who hears every alert message, over the broker's own deaths, for `chaos`."""

import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vitals.alert import Alert, decode_alert
from vitals.topics import Topics


class AlertRecorder:
    """`told` has every alert heard, in order of coming; `now` the newest of each place (device, rule)."""

    def __init__(self, port: int, topics: Topics) -> None:
        self.told: list[Alert] = []
        self.now: dict[tuple[str, str], Alert] = {}
        self._topics = topics
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics.alerts(), qos=1) and None
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._ready.wait(10)

    def acknowledge(self, alert: Alert) -> None:
        """As a nurse would."""
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule)
        self._client.publish(topic, b'{"by":"bench","action":"acknowledge"}', qos=1).wait_for_publish(10)

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.payload:
            alert = decode_alert(bytes(message.payload))
            self.told.append(alert)
            self.now[(alert.device_id, alert.rule)] = alert


def retained(port: int, topics: Topics) -> dict[tuple[str, str], Alert]:
    """What a newcomer is told: each alert as it now stands."""
    newcomer = AlertRecorder(port, topics)
    time.sleep(1)
    newcomer.close()
    return newcomer.now
