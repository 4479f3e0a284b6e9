"""Metrics of a process that sends HL7, served for Prometheus on /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mqtt.metrics import DURATION_BUCKETS


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_edges_out_"
        self.queued = Gauge(name + "queued_messages", "Messages without an acknowledgement", registry=registry)
        self.oldest_age_seconds = Gauge(
            name + "oldest_age_seconds", "Age of the oldest message without an acknowledgement", registry=registry
        )
        self.sent = Counter(name + "messages_sent", "Messages that the receiver accepted", registry=registry)
        self.rejected = Counter(name + "messages_rejected", "Messages that the receiver rejected", registry=registry)
        self.unreadable = Counter(
            name + "messages_unreadable",
            "MQTT messages that could not be decoded, so nothing was sent",
            registry=registry,
        )
        self.skipped = Counter(
            name + "reports_skipped", "Reports of readings not queued because the queue is full", registry=registry
        )
        self.delay_seconds = Histogram(
            name + "delay_seconds",
            "Time from queueing a message to its acknowledgement",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.mqtt_connections = Counter(
            name + "mqtt_connections", "Connections established to the broker", registry=registry
        )
        self.mqtt_connected = Gauge(name + "mqtt_connected", "1 if connected to the broker, else 0", registry=registry)
