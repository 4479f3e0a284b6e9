"""Metrics of ingest, served for Prometheus on /metrics. Updated once per batch, not once per message."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.batch import Batch
from ingest.store import WriteResult
from mqtt.metrics import DURATION_BUCKETS, Health, serve
from vitals.codec import Reason

MAX_DEVICE_LABELS = 200  # devices with a label of their own: each is a time series in Prometheus
OTHER_DEVICES = "(other)"  # the label of all further devices
SIZES = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Metrics:
    """The metrics of one process. A counter's name is served with the suffix `_total`, which the client appends."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_ingest_"
        self.messages_received = Counter(
            name + "messages_received", "Messages received from the broker and committed", registry=registry
        )
        self.readings_stored = Counter(name + "readings_stored", "Readings stored as a new row", registry=registry)
        self.readings_duplicate = Counter(
            name + "readings_duplicate", "Readings that were stored already", registry=registry
        )
        self.readings_late = Counter(
            name + "readings_late", "Readings older than the refresh window of the rollups", registry=registry
        )
        self.late_readings_waiting = Gauge(
            name + "late_readings_waiting",
            "Late readings committed to late_reading and not yet moved into patient_vitals",
            registry=registry,
        )
        self.messages_rejected = Counter(
            name + "messages_rejected", "Messages stored in rejected_message, by reason", ["reason"], registry=registry
        )
        for reason in Reason:  # from 0, or Prometheus' increase() does not see the first message
            self.messages_rejected.labels(reason)
        self.unknown_keys = Counter(name + "unknown_keys", "Unknown keys in readings", registry=registry)
        self.device_messages_rejected = Counter(
            name + "device_messages_rejected",
            "Messages rejected in whole or in part, by device",
            ["device"],
            registry=registry,
        )
        self.device_unknown_keys = Counter(
            name + "device_unknown_keys", "Unknown keys in readings, by device", ["device"], registry=registry
        )
        self._labelled_devices: set[str] = set()
        self.logins_refused = Counter(
            name + "logins_refused", "Logins that the broker refused, of any client", registry=registry
        )
        self.connections_failed = Counter(
            name + "connections_failed",
            "Connections to the broker that failed before their login, of any client",
            registry=registry,
        )
        self.devices_without_readings = Gauge(
            name + "devices_without_readings",
            "Devices that logged in at least 60 s ago and of which no reading has arrived since",
            registry=registry,
        )
        self.receipts_sent = Counter(name + "receipts_sent", "Receipts sent to devices", registry=registry)
        self.batch_retries = Counter(
            name + "batch_retries", "Failed attempts to store a batch, each followed by another", registry=registry
        )
        self.alert_snapshots_taken = Counter(
            name + "alert_snapshots_taken",
            "Copies of the readings around an alert; each alert is copied twice",
            registry=registry,
        )
        self.alert_snapshots_waiting = Gauge(
            name + "alert_snapshots_waiting",
            "Alerts whose readings are due to be copied; retention keeps the readings until then",
            registry=registry,
        )
        self.chunks_dropped = Counter(
            name + "chunks_dropped",
            "Chunks dropped because they are older than the retention period",
            registry=registry,
        )
        self.rollup_days_different = Gauge(
            name + "rollup_days_different",
            "Days of which a rollup does not have every reading, read once an hour",
            registry=registry,
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
        self.database_blocked = Gauge(
            name + "database_blocked",
            "1 if a batch cannot be stored: the database fails or does not answer",
            registry=registry,
        )
        self.database_connected = Gauge(
            name + "database_connected",
            "1 if the database answered the last query of the check every 10 s, else 0",
            registry=registry,
        )
        self.replication_lag_bytes = Gauge(
            name + "replication_lag_bytes",
            "Bytes of WAL that a standby of the database has not replayed, by standby",
            ["standby"],
            registry=registry,
        )
        self.commit_waits_for_standby = Gauge(
            name + "commit_waits_for_standby",
            "1 if a commit of the database waits for a synchronous standby, else 0",
            registry=registry,
        )
        self.batch_messages = Histogram(name + "batch_messages", "Messages per batch", buckets=SIZES, registry=registry)
        self.batch_duration_seconds = Histogram(
            name + "batch_duration_seconds",
            "Time from the arrival of a batch's first message to its COMMIT",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.lag_seconds = Gauge(name + "lag_seconds", "Age of the newest reading at its COMMIT", registry=registry)
        self.inflight_messages = Gauge(
            name + "inflight_messages", "Messages received and not yet acknowledged", registry=registry
        )
        self.oldest_unacknowledged_seconds = Gauge(
            name + "oldest_unacknowledged_seconds",
            "Age of the oldest message received and not yet acknowledged, 0 if there is none",
            registry=registry,
        )
        self.last_commit_timestamp_seconds = Gauge(
            name + "last_commit_timestamp_seconds", "Unix time of the last COMMIT", registry=registry
        )

    def serve(self, host: str, port: int, health: Health) -> None:
        """Serve /metrics and /healthz; raises PermanentError if the port is in use."""
        serve(self.registry, host, port, "VITALFLOW_INGEST_METRICS_PORT", health)

    def replicated(self, lags: Mapping[str, int]) -> None:
        """Set the lag of each standby; one that is gone has no value."""
        self.replication_lag_bytes.clear()
        for standby, lag in lags.items():
            self.replication_lag_bytes.labels(standby).set(lag)

    def moved(self, stored: int, duplicates: int) -> None:
        """Count late readings that were moved into patient_vitals, or were there already."""
        self.readings_stored.inc(stored)
        self.readings_duplicate.inc(duplicates)

    def committed(self, batch: Batch, result: WriteResult, now: float, duration_s: float) -> None:
        """Count a batch committed at unix time `now`, `duration_s` seconds after its first message."""
        self.messages_received.inc(batch.messages)
        self.readings_stored.inc(result.stored)
        self.readings_duplicate.inc(result.duplicates)
        self.readings_late.inc(result.late)
        for reason in result.rejection_reasons:
            self.messages_rejected.labels(reason).inc()
        self.unknown_keys.inc(batch.unknown_keys.total())
        for device, number in batch.unknown_keys.items():
            self.device_unknown_keys.labels(self._device_label(device)).inc(number)
        for device, number in batch.rejections.items():
            self.device_messages_rejected.labels(self._device_label(device)).inc(number)
        self.batch_messages.observe(batch.messages)
        self.batch_duration_seconds.observe(duration_s)
        self.last_commit_timestamp_seconds.set(now)
        if batch.newest_time is not None:
            self.lag_seconds.set(now - batch.newest_time.timestamp())

    def _device_label(self, device: str) -> str:
        if device not in self._labelled_devices:
            if len(self._labelled_devices) >= MAX_DEVICE_LABELS:
                return OTHER_DEVICES
            self._labelled_devices.add(device)
        return device
