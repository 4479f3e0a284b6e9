"""Measure how soon an alert arrives: a new device publishes an SpO2 of 79, for which the default rules have no delay,
and a subscriber records when the alert arrives.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from bench.alert_recorder import AlertRecorder
from bench.report import Figures, percentiles
from mqtt.endpoint import BrokerEndpoint
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

LAST_S = 2.0  # seconds to wait for the last alert


def probe(port: int, seconds: float, per_s: float) -> Figures:
    """Publish probes evenly over `seconds`; return the milliseconds from publish() to the alert at a subscriber."""
    topics = Topics()
    recorder = AlertRecorder(BrokerEndpoint("127.0.0.1", port), topics)
    sent = publish_probes(recorder, topics, int(seconds * per_s), per_s)
    time.sleep(LAST_S)
    recorder.close()
    delays = [came - at for device, at in sent.items() if (came := recorder.first_at.get((device, "spo2-low")))]
    return {
        "probes": len(sent),
        "without_alert": len(sent) - len(delays),
        **percentiles("", delays),
    }


def publish_probes(recorder: AlertRecorder, topics: Topics, number: int, per_s: float) -> dict[str, float]:
    """Publish so many probes evenly, each of a device of its own; return when each was sent, by device."""
    sent: dict[str, float] = {}
    for count in evenly(number, per_s):
        device = f"probe-{count}"
        payload = encode(reading(datetime.now(UTC), {"spo2": 79.0}, boot=1, seq=1))
        sent[device] = time.perf_counter()
        recorder.publish(topics.vitals("probe", device), payload)
    return sent


def evenly(number: int, per_s: float) -> Iterator[int]:
    """Yield 0, 1, 2 ... `per_s` times a second."""
    start = time.perf_counter()
    for count in range(number):
        time.sleep(max(0.0, start + count / per_s - time.perf_counter()))
        yield count
