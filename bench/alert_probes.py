"""Measure how soon an alert arrives: a new device publishes an SpO2 of 79, for which the default rules have no delay,
and a subscriber records when the alert arrives. For `alert_latency` and `live`.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

WARD = "probe"
LAST_S = 2.0  # seconds to wait for the last alert
TOPICS = Topics()


@dataclass(frozen=True)
class Delays:
    """Milliseconds from publish() to the alert at a subscriber, and how many probes had none."""

    probes: int
    missing: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def probe(port: int, seconds: float, per_s: float) -> Delays:
    """Publish probes evenly over `seconds`."""
    sent: dict[str, float] = {}
    came: dict[str, float] = {}
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="probe")

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        _, _, _, device, rule = message.topic.split("/")
        if rule == "spo2-low":
            came.setdefault(device, time.perf_counter())

    client.on_connect = lambda client, *_: client.subscribe(TOPICS.alerts(WARD), qos=1) and None
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    subscribed.wait(10)
    start = time.perf_counter()
    for number in range(int(seconds * per_s)):
        time.sleep(max(0.0, start + number / per_s - time.perf_counter()))
        device = f"probe-{number}"
        payload = encode(reading(datetime.now(UTC), {"spo2": 79.0}, boot=1, seq=1))
        sent[device] = time.perf_counter()
        client.publish(TOPICS.vitals(WARD, device), payload, qos=1)
    time.sleep(LAST_S)
    client.disconnect()
    client.loop_stop()
    delays = [came[device] - at for device, at in sent.items() if device in came]
    percent = quantiles(delays, n=100)
    return Delays(
        probes=len(sent),
        missing=len(sent.keys() - came.keys()),
        p50_ms=round(percent[49] * 1000, 1),
        p99_ms=round(percent[98] * 1000, 1),
        worst_ms=round(max(delays) * 1000, 1),
    )
