"""Which broker a service is connected to, as metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mqtt.failover import BrokerOrder


class BrokerMetrics(Collector):
    """Serves a gauge with the broker as its label, and a counter of switches, below the prefix `name`."""

    def __init__(
        self, registry: CollectorRegistry, name: str, order: Callable[[], BrokerOrder], is_connected: Callable[[], bool]
    ) -> None:
        self._name = name
        self._order = order
        self._is_connected = is_connected
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Yield both metrics; every broker of the list has a value."""
        brokers = GaugeMetricFamily(
            self._name + "mqtt_broker", "1 for the broker that it is connected to, else 0", labels=["broker"]
        )
        order, connected = self._order(), self._is_connected()
        for one in order.broker.candidates:
            brokers.add_metric([one.address], float(connected and one.address == order.current.address))
        yield brokers
        yield CounterMetricFamily(
            self._name + "mqtt_broker_switches",
            "Connections to another broker than the one before",
            value=order.switches,
        )
