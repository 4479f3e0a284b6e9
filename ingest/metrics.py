"""Metrics of ingest, served for Prometheus on /metrics. Updated once per batch, not once per message."""

from collections.abc import Mapping

from ingest.batch import Batch
from ingest.store import WriteResult
from mqtt.metrics import WriterMetrics
from vitals.codec import Reason

MAX_DEVICE_LABELS = 200  # devices with a label of their own: each is a time series in Prometheus
OTHER_DEVICES = "(other)"  # the label of all further devices
SIZES = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Metrics(WriterMetrics):
    """The metrics of one process."""

    def __init__(self) -> None:
        super().__init__("vitalflow_ingest_")
        self.messages_received = self.counter("messages_received", "Messages received from the broker and committed")
        self.readings_stored = self.counter("readings_stored", "Readings stored as a new row")
        self.readings_duplicate = self.counter("readings_duplicate", "Readings that were stored already")
        self.readings_late = self.counter("readings_late", "Readings older than the refresh window of the rollups")
        self.late_readings_waiting = self.gauge(
            "late_readings_waiting", "Late readings committed to late_reading and not yet moved into patient_vitals"
        )
        self.messages_rejected = self.counter(
            "messages_rejected", "Messages stored in rejected_message, by reason", "reason"
        )
        for reason in Reason:  # from 0, or Prometheus' increase() does not see the first message
            self.messages_rejected.labels(reason)
        self.unknown_keys = self.counter("unknown_keys", "Unknown keys in readings")
        self.device_messages_rejected = self.counter(
            "device_messages_rejected", "Messages rejected in whole or in part, by device", "device"
        )
        self.device_unknown_keys = self.counter("device_unknown_keys", "Unknown keys in readings, by device", "device")
        self._labelled_devices: set[str] = set()
        self.logins_refused = self.counter("logins_refused", "Logins that the broker refused, of any client")
        self.connections_failed = self.counter(
            "connections_failed", "Connections to the broker that failed before their login, of any client"
        )
        self.devices_without_readings = self.gauge(
            "devices_without_readings",
            "Devices that logged in at least 60 s ago and of which no reading has arrived since",
        )
        self.receipts_sent = self.counter("receipts_sent", "Receipts sent to devices")
        self.batch_retries = self.counter("batch_retries", "Failed attempts to store a batch, each followed by another")
        self.alert_snapshots_taken = self.counter(
            "alert_snapshots_taken", "Copies of the readings around an alert; each alert is copied twice"
        )
        self.alert_snapshots_waiting = self.gauge(
            "alert_snapshots_waiting",
            "Alerts whose readings are due to be copied; retention keeps the readings until then",
        )
        self.chunks_dropped = self.counter(
            "chunks_dropped", "Chunks dropped because they are older than the retention period"
        )
        self.rollup_days_different = self.gauge(
            "rollup_days_different", "Days of which a rollup does not have every reading, read once an hour"
        )
        self.database_blocked = self.gauge(
            "database_blocked", "1 if a batch cannot be stored: the database fails or does not answer"
        )
        self.database_connected = self.gauge(
            "database_connected", "1 if the database answered the last query of the check every 10 s, else 0"
        )
        self.replication_lag_bytes = self.gauge(
            "replication_lag_bytes",
            "Bytes of WAL that a standby of the database has not replayed, by standby",
            "standby",
        )
        self.commit_waits_for_standby = self.gauge(
            "commit_waits_for_standby", "1 if a commit of the database waits for a synchronous standby, else 0"
        )
        self.batch_messages = self.histogram("batch_messages", "Messages per batch", buckets=SIZES)
        self.batch_duration_seconds = self.histogram(
            "batch_duration_seconds", "Time from the arrival of a batch's first message to its COMMIT"
        )
        self.lag_seconds = self.gauge("lag_seconds", "Age of the newest reading at its COMMIT")
        self.inflight_messages = self.gauge("inflight_messages", "Messages received and not yet acknowledged")
        self.oldest_unacknowledged_seconds = self.gauge(
            "oldest_unacknowledged_seconds",
            "Age of the oldest message received and not yet acknowledged, 0 if there is none",
        )
        self.last_commit_timestamp_seconds = self.gauge("last_commit_timestamp_seconds", "Unix time of the last COMMIT")

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
