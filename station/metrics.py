"""What the station counts, for Prometheus on /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from station.history import History
from station.listener import Listener
from station.people import People
from station.views import Views
from station.ward import Ward


class Metrics:
    """Read off when somebody asks; counting costs a message nothing."""

    def __init__(self, ward: Ward, views: Views, people: People, listener: Listener, history: History) -> None:
        self._registry = registry = CollectorRegistry()
        name = "vitalflow_station_"

        counted: dict[str, tuple[str, Callable[[], int]]] = {
            "connections": ("Connections made to the broker", lambda: listener.connections),
            "messages": ("Messages heard", lambda: ward.counts.messages),
            "readings": ("Readings heard", lambda: ward.counts.readings),
            "rejected": ("Messages that moved nothing, wholly or in part", lambda: ward.counts.rejected),
            "frames": ("Frames sent to browsers", lambda: views.sent.frames),
            "frame_bytes": ("Bytes of them", lambda: views.sent.bytes),
            "fell_behind": ("Times that a browser was too slow for a frame", lambda: views.sent.fell_behind),
            "asked_logins": ("Times that the broker was asked about a name and a password", lambda: people.asked),
            "refused_logins": ("Attempts to sign in that were refused", lambda: people.refused),
            "database_failures": ("Questions that the database did not answer", lambda: history.failures),
        }
        self._counters = [(Counter(name + key, text, registry=registry), now) for key, (text, now) in counted.items()]
        self._seen = [0] * len(self._counters)
        connected = Gauge(name + "connected", "1 while connected to the broker", registry=registry)
        connected.set_function(lambda: ward.services.broker_there)
        Gauge(name + "beds", "Devices known", registry=registry).set_function(lambda: len(ward.beds))
        Gauge(name + "browsers", "Pages open", registry=registry).set_function(lambda: views.browsers)
        Gauge(name + "logins", "Browsers signed in", registry=registry).set_function(lambda: people.signed_in)

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        for place, (counter, now) in enumerate(self._counters):
            value = now()
            counter.inc(value - self._seen[place])
            self._seen[place] = value
        return generate_latest(self._registry)
