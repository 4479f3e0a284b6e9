"""The counts of a listener, for Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.hl7.listener import REJECTIONS, Listener
from edges.service.metrics import NAME

_COUNTS = {
    "connections_accepted": ("accepted", "Connections accepted"),
    "connections_revoked": ("revoked", "Connections closed because the certificate ended or was revoked"),
    "messages_unanswered": ("unanswered", "Messages without an answer"),
    "frames_incomplete": ("incomplete", "Frames without an end"),
    "frames_oversized": ("oversized", "Frames above the maximum size"),
    "frames_timed_out": ("timed_out", "Frames that took too long"),
    "noise_bytes": ("noise", "Bytes outside of frames"),
}


class ListenerMetrics(Collector):
    """Serves the counts of one listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def collect(self) -> Iterable[Metric]:
        """Read all values, for each scrape."""
        counts = self._listener.counts
        yield GaugeMetricFamily(NAME + "connections", "Connections of senders", value=self._listener.open)
        for name, (field, text) in _COUNTS.items():
            yield CounterMetricFamily(NAME + name, text, value=getattr(counts, field))
        rejected = CounterMetricFamily(NAME + "connections_rejected", "Connections rejected", labels=["reason"])
        for reason in REJECTIONS:  # from the start: an increase needs a value before
            rejected.add_metric([reason], counts.rejected[reason])
        yield rejected
