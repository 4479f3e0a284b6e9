"""Measure how much later an alert comes if its reading arrives as HL7 and not over MQTT: an SpO2 of 79, for which the
default rules have no delay, of beds that measured normal values before. The three ways take turns.
"""

import time
from datetime import UTC, datetime

from bench.alert_probes import evenly
from bench.alert_recorder import AlertRecorder
from bench.environment import Environment, settle
from bench.report import Figures, Log, percentiles
from bench.services import running
from mqtt.endpoint import BrokerEndpoint
from tests.support.edge import HEART_RATE, SPO2, WARD, EdgeProcess, Peer, report, site_text
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

WAYS = ("mqtt", "hl7", "hl7_split")
"""A reading over MQTT; a message of HL7; two messages of the same second, of which the second has the SpO2."""
STILL_S = 10.0  # without a further alert: no more will come


def alerts_in(servers: Environment, alerts: int, per_s: float, log: Log) -> Figures:
    """Raise so many alerts each way; return the milliseconds from sending the value to the alert on MQTT."""
    beds = {way: [f"{way.replace('_', '-')}-{number}" for number in range(alerts)] for way in WAYS}
    site = servers.folder / "site.toml"
    site.write_text(site_text([*beds["hl7"], *beds["hl7_split"]]))
    edge = EdgeProcess(
        {"VITALFLOW_MQTT_URL": servers.broker.url}, site, servers.folder / "inbox.db", servers.folder / "edges.log"
    )
    topics = Topics()
    recorder = AlertRecorder(BrokerEndpoint.parse(servers.broker.url), topics)
    sent: dict[str, float] = {}
    with running(servers, "alerts", "run"), running(servers, "ingest"):
        edge.start()
        try:
            peer = edge.connect()
            log(f"{3 * alerts} beds measure normal values")
            for way in WAYS:
                for bed in beds[way]:
                    _send(recorder, peer, topics, way, bed, 1, 97)
            settle(lambda: int(edge.metric("readings_total", state="published")), 3 * alerts, STILL_S)
            log(f"{alerts} alerts each way, {per_s:g} a second")
            for number in evenly(3 * alerts, per_s):
                way = WAYS[number % 3]
                bed = beds[way][number // 3]
                sent[bed] = _send(recorder, peer, topics, way, bed, 2, 79)
            settle(lambda: sum(rule == "spo2-low" for _, rule in list(recorder.first_at)), 3 * alerts, STILL_S)
        finally:
            edge.close_peers()
            edge.stop()
            recorder.close()
    figures: Figures = {"alerts_each_way": alerts}
    for way in WAYS:
        delays = [at - sent[bed] for bed in beds[way] if (at := recorder.first_at.get((bed, "spo2-low"))) is not None]
        figures |= {f"{way}_missing": alerts - len(delays), **percentiles(f"{way}_", delays)}
    return figures


def _send(recorder: AlertRecorder, peer: Peer, topics: Topics, way: str, bed: str, number: int, spo2: float) -> float:
    """Send a reading one of the ways; return when its SpO2 was sent."""
    now = datetime.now(UTC)
    if way == "mqtt":
        payload = encode(reading(now, {"heart_rate": 70.0, "spo2": spo2}, boot=1, seq=number))
        at = time.perf_counter()
        recorder.publish(topics.vitals(WARD, bed), payload)
        return at
    messages = [report(bed, 10 * number, now, {HEART_RATE: 70, SPO2: spo2})]
    if way == "hl7_split":
        second = now.replace(microsecond=0)
        messages = [
            report(bed, 10 * number + part, second, {code: value})
            for part, (code, value) in enumerate(((HEART_RATE, 70.0), (SPO2, spo2)))
        ]
    at = 0.0
    for message in messages:
        at = time.perf_counter()
        if peer.send(message) != "AA":
            raise RuntimeError("a message was not accepted")
    return at
