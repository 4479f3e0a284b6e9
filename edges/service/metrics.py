"""Metrics of the edges, served for Prometheus on /metrics."""

import sqlite3
import time
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.inbox.feed import Feed
from edges.inbox.inbox import Inbox
from mqtt.metrics import MetricSet
from vitals.errors import TransientError

NAME = "vitalflow_edges_"


class Metrics(MetricSet):
    """The metrics of one process."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.messages = self.counter(
            "messages", "Messages by answer: accepted, repeated, error, rejected, or unreadable", "answer"
        )
        self.observations = self.counter("observations", "Observations by what became of them", "reason")
        self.admissions = self.counter(
            "admissions", "Events of admissions by why they are not used, or else by what they did", "effect"
        )
        self.commit_seconds = self.histogram(
            "commit_seconds", "Duration of a transaction of the inbox, with the sync to the disk"
        )
        for answer in ("accepted", "repeated", "error", "rejected", "unreadable"):
            self.messages.labels(answer)

    def watch(
        self, inbox: Inbox, feed: Feed, is_connected: Callable[[], bool], admissions_waiting: Callable[[], int]
    ) -> None:
        """Serve what the inbox and the feed count."""
        self.registry.register(_State(inbox, feed, is_connected, admissions_waiting))


class _State(Collector):
    def __init__(
        self, inbox: Inbox, feed: Feed, is_connected: Callable[[], bool], admissions_waiting: Callable[[], int]
    ) -> None:
        self._inbox = inbox
        self._feed = feed
        self._is_connected = is_connected
        self._admissions_waiting = admissions_waiting

    def collect(self) -> Iterable[Metric]:
        """Read all values, for each scrape."""
        counts, beds = self._inbox.counts, list(self._feed.beds.values())
        readings = CounterMetricFamily(
            NAME + "readings", "Readings by state: published with PUBACK, confirmed, rejected", labels=["state"]
        )
        for state in ("published", "confirmed", "rejected", "resent"):
            readings.add_metric([state], sum(getattr(feed.stats, state) for feed in beds))
        yield readings
        states = GaugeMetricFamily(NAME + "beds", "Beds by state of their connection", labels=["state"])
        connected = sum(feed.stats.connected for feed in beds)
        refused = sum(bool(feed.problem and not feed.stats.connected) for feed in beds)
        states.add_metric(["connected"], connected)
        states.add_metric(["refused"], refused)
        states.add_metric(["disconnected"], len(beds) - connected - refused)
        yield states
        yield CounterMetricFamily(NAME + "commits", "Transactions of the inbox", value=counts.commits)
        yield CounterMetricFamily(
            NAME + "commit_failures", "Transactions of the inbox that failed", value=counts.failed_commits
        )
        yield CounterMetricFamily(
            NAME + "unplaced_dropped",
            "Readings of unknown places that were dropped at the limit",
            value=counts.unplaced_dropped,
        )
        for name, text, value in (
            ("readings_waiting", "Readings in the inbox: without a receipt", counts.readings),
            ("readings_unplaced", "Readings of places that the site does not name", counts.unplaced),
            ("mqtt_connected", "1 if the service is connected to the broker, else 0", float(self._is_connected())),
            ("admissions_waiting", "Events of admissions that are not applied yet", self._admissions()),
            ("oldest_unconfirmed_seconds", "Age of the oldest reading without a receipt; 0: none", self._age()),
        ):
            yield GaugeMetricFamily(NAME + name, text, value=value)

    def _admissions(self) -> float:
        try:
            return float(self._admissions_waiting())
        except sqlite3.Error:
            return float("nan")

    def _age(self) -> float:
        try:
            oldest = self._inbox.oldest()
        except TransientError:
            return float("nan")
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)
