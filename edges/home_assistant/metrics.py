"""Metrics of the process that brings beds into Home Assistant, served for Prometheus on /metrics."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.home_assistant.beds import Beds
from edges.home_assistant.publisher import Publisher
from edges.service_connection import ServiceConnection

NAME = "vitalflow_edges_home_assistant_"


class Metrics(Collector):
    """What the parts of the process count."""

    def __init__(self, beds: Beds, publisher: Publisher, source: ServiceConnection) -> None:
        self._beds = beds
        self._publisher = publisher
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Read all values, for each scrape."""
        for name, text, value in (
            ("mqtt_connected", "1 if connected to VitalFlow's broker, else 0", self._source.connected),
            ("publishing", "1 if connected to Home Assistant's broker, else 0", not self._publisher.problem),
            ("beds", "Beds that the broker knows", self._beds.count),
        ):
            yield GaugeMetricFamily(NAME + name, text, value=float(value))
        yield CounterMetricFamily(
            NAME + "states_published", "States of beds published", value=self._publisher.published
        )
