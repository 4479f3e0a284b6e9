"""Measure how soon a receiver of HL7 has an alert: a new device publishes an SpO2 of 79, for which the default rules
have no delay, and the alert worker's alert is sent as a PCD-04 message.
"""

import os
import sys
import time
from datetime import UTC, datetime
from statistics import quantiles

from bench.alert_recorder import AlertRecorder
from bench.environment import Environment, settle
from bench.report import Figures, Log
from bench.services import running
from stack.servers import Service, free_port
from tests.support.hl7_receiver import Hl7Receiver
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

STILL_S = 10.0  # without a further message: no more will arrive


def alerts_out(servers: Environment, alerts: int, per_s: float, log: Log) -> Figures:
    """Raise alerts evenly; return the milliseconds from the reading and from the alert on MQTT to the receiver."""
    site = servers.folder / "site.toml"
    site.write_text('zone = "UTC"\n')
    receiver = Hl7Receiver(clock=time.perf_counter).start()
    port = free_port()
    environ = {
        **os.environ,
        "VITALFLOW_MQTT_URL": servers.broker.url,
        "VITALFLOW_EDGES_OUT_METRICS_PORT": str(port),
    }
    line = [sys.executable, "-m", "vitalflow", "edges", "hl7", "alerts", "--to", f"127.0.0.1:{receiver.port}"]
    line += ["--site", str(site), "--queue", str(servers.folder / "alerts.db")]
    sign = "vitalflow_edges_out_mqtt_connections_total"
    sender = Service("edges_out", line, servers.folder / "edges_out.log", environ, port, sign)
    topics = Topics()
    recorder = AlertRecorder(servers.broker.port, topics)
    sent: dict[str, float] = {}
    with running(servers, "alerts", "run"):
        sender.start()
        try:
            log(f"{alerts} alerts, {per_s:g} a second")
            start = time.perf_counter()
            for number in range(alerts):
                time.sleep(max(0.0, start + number / per_s - time.perf_counter()))
                device = f"probe-{number}"
                payload = encode(reading(datetime.now(UTC), {"spo2": 79.0}, boot=1, seq=1))
                sent[device] = time.perf_counter()
                recorder.publish(topics.vitals("probe", device), payload)
            settle(lambda: len(_arrivals(receiver)), alerts, STILL_S)
        finally:
            sender.stop()
            recorder.close()
            receiver.close()
    arrived = _arrivals(receiver)
    published = {device: recorder.first_at[device, "spo2-low"] for device in arrived}
    from_reading = [at - sent[device] for device, at in arrived.items()]
    from_alert = [at - published[device] for device, at in arrived.items()]
    return {
        "alerts": alerts,
        "not_received": alerts - len(arrived),
        **_percentiles("reading_to_receiver", from_reading),
        **_percentiles("alert_to_receiver", from_alert),
    }


def _arrivals(receiver: Hl7Receiver) -> dict[str, float]:
    """Device -> time of the first message of its SpO2 alert."""
    found: dict[str, float] = {}
    for message, at in zip(list(receiver.received), list(receiver.received_at), strict=False):
        if any(item.text(3, 2) == "MDC_PULS_OXIM_SAT_O2" for item in message.segments):
            found.setdefault(message.segments[2].text(3, 3), at)
    return found


def _percentiles(name: str, delays_s: list[float]) -> Figures:
    percent = quantiles(delays_s, n=100)
    return {
        f"{name}_p50_ms": round(percent[49] * 1000, 1),
        f"{name}_p99_ms": round(percent[98] * 1000, 1),
        f"{name}_worst_ms": round(max(delays_s) * 1000, 1),
    }
