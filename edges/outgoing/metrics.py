"""Metrics of a process that sends to other systems, served for Prometheus on /metrics."""

from collections.abc import Callable

from mqtt.metrics import ServiceMetrics

_BY = "receiver"


class Metrics(ServiceMetrics):
    """The metrics of one process."""

    def __init__(self) -> None:
        super().__init__("vitalflow_edges_out_")
        self.queued = self.gauge("queued_messages", "Messages without an acknowledgement", _BY)
        self.oldest_age_seconds = self.gauge(
            "oldest_age_seconds", "Age of the oldest message without an acknowledgement", _BY
        )
        self.sent = self.counter("messages_sent", "Messages that the receiver accepted", _BY)
        self.rejected = self.counter("messages_rejected", "Messages that the receiver rejected, set aside", _BY)
        self.failed = self.counter(
            "attempts_failed", "Attempts to send over HTTP that are repeated: no answer, or an error that may pass", _BY
        )
        self.unreadable = self.counter(
            "messages_unreadable", "MQTT messages that could not be decoded, so nothing was sent"
        )
        self.skipped = self.counter("reports_skipped", "Reports of readings not queued because the queue is full")
        self.delay_seconds = self.histogram("delay_seconds", "Time from queueing a message to its acknowledgement", _BY)

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
