"""Measure how soon a receiver of HL7 or of webhooks has an alert: a new device publishes an SpO2 of 79, for which the
default rules have no delay, and the alert worker's alert is sent as a PCD-04 message, or posted and signed.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Literal

from bench.alert_probes import publish_probes
from bench.alert_recorder import AlertRecorder
from bench.environment import Environment, settle
from bench.report import Figures, Log, percentiles
from bench.services import running
from mqtt.endpoint import BrokerEndpoint
from stack.servers import Service, free_port
from tests.support.hl7_receiver import Hl7Receiver
from tests.support.http_receiver import HttpReceiver
from vitals.topics import Topics

Kind = Literal["hl7", "webhook"]
STILL_S = 10.0  # without a further message: no more will arrive


def alerts_out(servers: Environment, kind: Kind, alerts: int, per_s: float, log: Log) -> Figures:
    """Raise alerts evenly; return the milliseconds from the reading and from the alert on MQTT to the receiver."""
    receiver: Hl7Receiver | HttpReceiver
    if kind == "hl7":
        receiver = hl7 = Hl7Receiver(clock=time.perf_counter).start()
        arrivals = partial(_hl7_arrivals, hl7)
    else:
        receiver = http = HttpReceiver(clock=time.perf_counter).start()
        arrivals = partial(_webhook_arrivals, http)
    site = _write_site(servers.folder, receiver.port)
    port = free_port()
    environ = {
        **os.environ,
        "VITALFLOW_MQTT_URL": servers.broker.url,
        "VITALFLOW_EDGES_OUT_METRICS_PORT": str(port),
    }
    line = [sys.executable, "-m", "vitalflow", "edges", kind, "alerts"]
    line += ["--to", f"127.0.0.1:{receiver.port}" if kind == "hl7" else "bench"]
    line += ["--site", str(site), "--queue", str(servers.folder / "alerts.db")]
    sign = "vitalflow_edges_out_mqtt_connections_total"
    sender = Service("edges_out", line, servers.folder / "edges_out.log", environ, port, sign)
    topics = Topics()
    recorder = AlertRecorder(BrokerEndpoint.parse(servers.broker.url), topics)
    with running(servers, "alerts", "run"):
        sender.start()
        try:
            log(f"{alerts} alerts, {per_s:g} a second")
            sent = publish_probes(recorder, topics, alerts, per_s)
            settle(lambda: len(arrivals()), alerts, STILL_S)
        finally:
            sender.stop()
            recorder.close()
            receiver.close()
    arrived = arrivals()
    published = {device: recorder.first_at[device, "spo2-low"] for device in arrived}
    from_reading = [at - sent[device] for device, at in arrived.items()]
    from_alert = [at - published[device] for device, at in arrived.items()]
    return {
        "alerts": alerts,
        "not_received": alerts - len(arrived),
        **percentiles("reading_to_receiver_", from_reading),
        **percentiles("alert_to_receiver_", from_alert),
    }


def _write_site(folder: Path, port: int) -> Path:
    site, secret = folder / "site.toml", folder / "secret"
    secret.touch(0o600)
    secret.write_text("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    site.write_text(
        f'zone = "UTC"\n[[receiver]]\nname = "bench"\ntemplate = "json"\nurl = "http://127.0.0.1:{port}/"\n'
        f'secret_file = "{secret}"\n'
    )
    return site


def _webhook_arrivals(receiver: HttpReceiver) -> dict[str, float]:
    """Device -> time of the first message of its SpO2 alert."""
    found: dict[str, float] = {}
    for request in list(receiver.received):
        alert = request.content["data"]
        if alert["rule"] == "spo2-low":
            found.setdefault(alert["device_id"], request.at)
    return found


def _hl7_arrivals(receiver: Hl7Receiver) -> dict[str, float]:
    """Device -> time of the first message of its SpO2 alert."""
    found: dict[str, float] = {}
    for message, at in zip(list(receiver.received), list(receiver.received_at), strict=False):
        if any(item.text(3, 2) == "MDC_PULS_OXIM_SAT_O2" for item in message.segments):
            found.setdefault(message.segments[2].text(3, 3), at)
    return found
