"""Metrics of serial ports, served for Prometheus on /metrics."""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.serial.intake import Intake
from edges.serial.reader import PortReader, State
from edges.service.metrics import NAME


class PortMetrics(Collector):
    """The metrics of all ports of a process."""

    def __init__(self, ports: Sequence[tuple[PortReader, Intake]]) -> None:
        self._ports = ports

    def collect(self) -> Iterable[Metric]:
        """Read all values, for each scrape."""
        states = GaugeMetricFamily(NAME + "serial_ports", "Ports by what they do", labels=["state"])
        counted = Counter(reader.state for reader, _ in self._ports)
        for state in State:
            states.add_metric([state.value], counted[state])
        yield states
        for name, text, values in (
            ("bytes", "Bytes received", [reader.received for reader, _ in self._ports]),
            ("noise_bytes", "Bytes outside of packets and lines", [reader.noise for reader, _ in self._ports]),
            ("damaged", "Packets and lines that are not whole", [reader.damaged for reader, _ in self._ports]),
            ("measurements", "Packets, lines or moments decoded", [reader.measurements for reader, _ in self._ports]),
            ("dropped", "Entries lost because the inbox could not be written", [one.dropped for _, one in self._ports]),
        ):
            family = CounterMetricFamily(f"{NAME}serial_{name}", text, labels=["device"])
            for (reader, _), value in zip(self._ports, values, strict=True):
                family.add_metric([reader.table.device], value)
            yield family
