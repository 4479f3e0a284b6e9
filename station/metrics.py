"""What the station counts, for Prometheus on /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from station.history import History
from station.hub import Hub
from station.listener import Listener
from station.ward import Ward


class Metrics:
    """Read off when somebody asks; counting costs a message nothing."""

    def __init__(self, ward: Ward, hub: Hub, listener: Listener, history: History) -> None:
        self._registry = registry = CollectorRegistry()
        name = "vitalflow_station_"

        counted: dict[str, tuple[str, Callable[[], int]]] = {
            "connections": ("Connections made to the broker", lambda: listener.connections),
            "messages": ("Messages heard", lambda: ward.counts.messages),
            "readings": ("Readings heard", lambda: ward.counts.readings),
            "rejected": ("Messages that moved nothing, wholly or in part", lambda: ward.counts.rejected),
            "frames": ("Frames sent to browsers", lambda: hub.sent),
            "frame_bytes": ("Bytes of them", lambda: hub.sent_bytes),
            "fell_behind": ("Times that a browser was too slow for a frame", lambda: hub.fell_behind),
            "database_failures": ("Questions that the database did not answer", lambda: history.failures),
        }
        self._counters = [(Counter(name + key, text, registry=registry), now) for key, (text, now) in counted.items()]
        self._seen = [0] * len(self._counters)
        connected = Gauge(name + "connected", "1 while connected to the broker", registry=registry)
        connected.set_function(lambda: ward.services.broker_there)
        Gauge(name + "beds", "Devices known", registry=registry).set_function(lambda: len(ward.beds))
        Gauge(name + "browsers", "Pages open", registry=registry).set_function(lambda: len(hub.browsers))

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        for place, (counter, now) in enumerate(self._counters):
            value = now()
            counter.inc(value - self._seen[place])
            self._seen[place] = value
        return generate_latest(self._registry)
