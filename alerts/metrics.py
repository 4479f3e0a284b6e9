"""What the alert worker counts, for Prometheus on /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mqtt.metrics import SECONDS, serve
from vitals.alert import Event, Priority


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_alerts_"
        self.evaluated = Counter(name + "evaluated", "Readings evaluated", registry=registry)
        self.rejected = Counter(name + "rejected", "Messages that moved nothing", registry=registry)
        self.set_aside = Counter(name + "set_aside", "Messages beyond their sender's share", registry=registry)
        self.events = Counter(name + "events", "Changes published", ["change", "priority"], registry=registry)
        self.refused = Counter(name + "refused", "Commands and limits refused", registry=registry)
        self.connections = Counter(name + "connections", "Connections made to the broker", registry=registry)
        self.connected = Gauge(name + "connected", "Whether the broker has us now", registry=registry)
        self.beds = Gauge(name + "beds", "Devices known", registry=registry)
        self.pending = Gauge(name + "pending", "Rules that count a delay", registry=registry)
        self.open = Gauge(name + "open", "Open alerts", ["priority"], registry=registry)
        self.broker_dropped = Gauge(name + "broker_dropped", "Messages the broker says it dropped", registry=registry)
        self.broker_queued = Gauge(name + "broker_queued", "Messages in the broker's store", registry=registry)
        self.latency = Histogram(
            name + "latency_seconds", "From receiving a reading to publishing", buckets=SECONDS, registry=registry
        )
        for priority in Priority:
            self.open.labels(priority).set(0)

    def serve(self, host: str, port: int) -> None:
        """Serve /metrics; raises PermanentError where the port is taken."""
        serve(self.registry, host, port, "VITALFLOW_ALERTS_METRICS_PORT")

    def published(self, event: Event) -> None:
        """Count one change."""
        self.events.labels(event.alert.change, event.alert.priority).inc()
