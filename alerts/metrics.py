"""Metrics of the alert worker, served for Prometheus on /metrics."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mqtt.metrics import DURATION_BUCKETS, Health, serve
from vitals.alert import Event, Priority


class Metrics:
    """The metrics of one process. A counter's name is served with the suffix `_total`, which the client appends."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_alerts_"
        self.readings_evaluated = Counter(
            name + "readings_evaluated", "Readings evaluated against the rules", registry=registry
        )
        self.messages_rejected = Counter(
            name + "messages_rejected", "Messages that could not be decoded or applied", registry=registry
        )
        self.messages_throttled = Counter(
            name + "messages_throttled", "Messages discarded because their sender exceeded its rate", registry=registry
        )
        self.transitions = Counter(
            name + "transitions", "Alert transitions published", ["change", "priority"], registry=registry
        )
        self.commands_rejected = Counter(
            name + "commands_rejected", "Alert commands and patient limits rejected", registry=registry
        )
        self.mqtt_connections = Counter(
            name + "mqtt_connections", "Connections established to the broker", registry=registry
        )
        self.mqtt_connected = Gauge(name + "mqtt_connected", "1 if connected to the broker, else 0", registry=registry)
        self.standby = Gauge(
            name + "standby", "1 while another process is active and this one waits to take over", registry=registry
        )
        self.epoch = Gauge(
            name + "epoch_timestamp_seconds",
            "Epoch of this process as a writer, a unix time: higher with each one that takes over",
            registry=registry,
        )
        self.devices = Gauge(name + "devices", "Devices with a status or a reading", registry=registry)
        self.pending_rules = Gauge(
            name + "pending_rules", "Rules whose condition holds and whose delay is running", registry=registry
        )
        self.open_alerts = Gauge(name + "open_alerts", "Open alerts, by priority", ["priority"], registry=registry)
        self.broker_dropped_messages = Gauge(
            name + "broker_dropped_messages",
            "Messages that the broker reports as dropped, NaN until it reports them",
            registry=registry,
        )
        self.broker_dropped_messages.set(math.nan)  # a 0 that then jumps would look like a loss after each restart
        self.broker_stored_messages = Gauge(
            name + "broker_stored_messages", "Messages that the broker reports in its store", registry=registry
        )
        self.latency_seconds = Histogram(
            name + "latency_seconds",
            "Time from receiving a reading to publishing its alerts",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        for priority in Priority:
            self.open_alerts.labels(priority).set(0)

    def serve(self, host: str, port: int, health: Health) -> None:
        """Serve /metrics and /healthz; raises PermanentError if the port is in use."""
        serve(self.registry, host, port, "VITALFLOW_ALERTS_METRICS_PORT", health)

    def published(self, event: Event) -> None:
        """Count one published transition."""
        self.transitions.labels(event.alert.change, event.alert.priority).inc()
