"""Metrics of a process that sends to other systems, served for Prometheus on /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mqtt.metrics import DURATION_BUCKETS

_BY = ("receiver",)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_edges_out_"
        self.queued = Gauge(name + "queued_messages", "Messages without an acknowledgement", _BY, registry=registry)
        self.oldest_age_seconds = Gauge(
            name + "oldest_age_seconds", "Age of the oldest message without an acknowledgement", _BY, registry=registry
        )
        self.sent = Counter(name + "messages_sent", "Messages that the receiver accepted", _BY, registry=registry)
        self.rejected = Counter(
            name + "messages_rejected", "Messages that the receiver rejected, set aside", _BY, registry=registry
        )
        self.failed = Counter(
            name + "attempts_failed",
            "Attempts to send over HTTP that are repeated: no answer, or an error that may pass",
            _BY,
            registry=registry,
        )
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
            _BY,
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.mqtt_connections = Counter(
            name + "mqtt_connections", "Connections established to the broker", registry=registry
        )
        self.mqtt_connected = Gauge(name + "mqtt_connected", "1 if connected to the broker, else 0", registry=registry)

    def add_receiver(self, name: str, queued: Callable[[], float], oldest_age_s: Callable[[], float]) -> None:
        """Serve the metrics of a receiver from the start, as 0."""
        self.queued.labels(name).set_function(queued)
        self.oldest_age_seconds.labels(name).set_function(oldest_age_s)
        for metric in (self.sent, self.rejected, self.failed, self.delay_seconds):
            metric.labels(name)

    def accepted(self, receiver: str, delay_s: float) -> None:
        """Count a message that the receiver accepted."""
        self.sent.labels(receiver).inc()
        self.delay_seconds.labels(receiver).observe(delay_s)
