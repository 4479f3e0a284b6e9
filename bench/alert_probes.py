"""Measure how soon an alert arrives: a new device publishes an SpO2 of 79, for which the default rules have no delay,
and a subscriber records when the alert arrives.
"""

import time
from datetime import UTC, datetime
from statistics import quantiles

from bench.alert_recorder import AlertRecorder
from bench.report import Figures
from mqtt.endpoint import BrokerEndpoint
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

LAST_S = 2.0  # seconds to wait for the last alert


def probe(port: int, seconds: float, per_s: float) -> Figures:
    """Publish probes evenly over `seconds`; return the milliseconds from publish() to the alert at a subscriber."""
    topics = Topics()
    recorder = AlertRecorder(BrokerEndpoint("127.0.0.1", port), topics)
    sent: dict[str, float] = {}
    start = time.perf_counter()
    for number in range(int(seconds * per_s)):
        time.sleep(max(0.0, start + number / per_s - time.perf_counter()))
        device = f"probe-{number}"
        payload = encode(reading(datetime.now(UTC), {"spo2": 79.0}, boot=1, seq=1))
        sent[device] = time.perf_counter()
        recorder.publish(topics.vitals("probe", device), payload)
    time.sleep(LAST_S)
    recorder.close()
    delays = [came - at for device, at in sent.items() if (came := recorder.first_at.get((device, "spo2-low")))]
    percent = quantiles(delays, n=100)
    return {
        "probes": len(sent),
        "without_alert": len(sent) - len(delays),
        "p50_ms": round(percent[49] * 1000, 1),
        "p99_ms": round(percent[98] * 1000, 1),
        "worst_ms": round(max(delays) * 1000, 1),
    }
