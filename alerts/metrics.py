"""Metrics of the alert worker, served for Prometheus on /metrics."""

import math

from mqtt.metrics import WriterMetrics
from vitals.alert import Event, Priority


class Metrics(WriterMetrics):
    """The metrics of one process."""

    def __init__(self) -> None:
        super().__init__("vitalflow_alerts_")
        self.readings_evaluated = self.counter("readings_evaluated", "Readings evaluated against the rules")
        self.messages_rejected = self.counter("messages_rejected", "Messages that could not be decoded or applied")
        self.messages_throttled = self.counter(
            "messages_throttled", "Messages discarded because their sender exceeded its rate"
        )
        self.transitions = self.counter("transitions", "Alert transitions published", "change", "priority")
        self.commands_rejected = self.counter("commands_rejected", "Alert commands and patient limits rejected")
        self.devices = self.gauge("devices", "Devices with a status or a reading")
        self.pending_rules = self.gauge("pending_rules", "Rules whose condition holds and whose delay is running")
        self.open_alerts = self.gauge("open_alerts", "Open alerts, by priority", "priority")
        self.broker_dropped_messages = self.gauge(
            "broker_dropped_messages", "Messages that the broker reports as dropped, NaN until it reports them"
        )
        self.broker_dropped_messages.set(math.nan)  # a 0 that then jumps would look like a loss after each restart
        self.broker_stored_messages = self.gauge(
            "broker_stored_messages", "Messages that the broker reports in its store"
        )
        self.latency_seconds = self.histogram(
            "latency_seconds", "Time from receiving a reading to publishing its alerts"
        )
        for priority in Priority:
            self.open_alerts.labels(priority).set(0)

    def published(self, event: Event) -> None:
        """Count one published transition."""
        self.transitions.labels(event.alert.change, event.alert.priority).inc()
