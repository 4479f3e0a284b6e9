"""What ingest counts, for Prometheus on /metrics. Counted once a batch, never once a message."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.batch import Batch
from ingest.store import Written
from mqtt.metrics import SECONDS, serve

SIZES = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "vitalflow_ingest_"
        self.received = Counter(name + "received", "Messages taken from the broker", registry=self.registry)
        self.stored = Counter(name + "stored", "Readings that became a row", registry=self.registry)
        self.duplicate = Counter(name + "duplicate", "Readings that were there already", registry=self.registry)
        self.late = Counter(
            name + "late", "Readings older than the rollups' refresh looks back", registry=self.registry
        )
        self.chunks_dropped = Counter(name + "chunks_dropped", "Chunks past the retention", registry=self.registry)
        self.rejected = Counter(name + "rejected", "Messages kept, by reason", ["reason"], registry=self.registry)
        self.unknown_keys = Counter(name + "unknown_keys", "Keys that we do not know", registry=self.registry)
        self.receipts = Counter(name + "receipts", "Receipts sent to devices", registry=self.registry)
        self.retries = Counter(name + "retries", "Batches tried again", registry=self.registry)
        self.connections = Counter(name + "connections", "Connections made to the broker", registry=self.registry)
        self.connected = Gauge(name + "connected", "Whether the broker has us now", registry=self.registry)
        self.waiting = Gauge(name + "waiting", "Whether a batch waits for the database", registry=self.registry)
        self.batch_messages = Histogram(
            name + "batch_messages", "Messages in a batch", buckets=SIZES, registry=self.registry
        )
        self.batch_seconds = Histogram(
            name + "batch_seconds",
            "From first message to COMMIT",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.lag = Gauge(name + "lag_seconds", "Age of the newest reading at its COMMIT", registry=self.registry)
        self.window = Gauge(name + "window_in_use", "Messages held and not yet acknowledged", registry=self.registry)
        self.last_commit = Gauge(name + "last_commit_timestamp_seconds", "Unix time", registry=self.registry)

    def serve(self, host: str, port: int) -> None:
        """Serve /metrics; raises PermanentError where the port is taken."""
        serve(self.registry, host, port, "VITALFLOW_INGEST_METRICS_PORT")

    def committed(self, batch: Batch, written: Written, now: float, took: float) -> None:
        """Count a batch that was committed at unix time `now`, `took` seconds after its first message."""
        self.received.inc(batch.messages)
        self.stored.inc(written.stored)
        self.duplicate.inc(written.duplicates)
        self.late.inc(written.late)
        for reason in written.rejected:
            self.rejected.labels(reason).inc()
        self.unknown_keys.inc(batch.unknown_keys)
        self.batch_messages.observe(batch.messages)
        self.batch_seconds.observe(took)
        self.last_commit.set(now)
        if batch.newest is not None:
            self.lag.set(now - batch.newest.timestamp())
