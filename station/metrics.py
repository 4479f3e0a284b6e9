"""Metrics of the station, served for Prometheus on /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from mqtt.broker_metrics import BrokerMetrics
from station.auth.sessions import SessionManager
from station.history import History
from station.listener import Listener
from station.views import Views
from station.ward import Ward


class Metrics:
    """The metrics of one process, read from the other objects when the page is requested."""

    def __init__(
        self, ward: Ward, views: Views, sessions: SessionManager, listener: Listener, history: History
    ) -> None:
        self.registry = registry = CollectorRegistry()
        name = "vitalflow_station_"

        counters: dict[str, tuple[str, Callable[[], int]]] = {
            "mqtt_connections": ("Connections established to the broker", lambda: listener.connections),
            "messages_received": ("Messages received from the broker", lambda: ward.counts.messages),
            "readings_received": ("Readings received from the broker", lambda: ward.counts.readings),
            "messages_rejected": ("Messages rejected in whole or in part", lambda: ward.counts.rejected),
            "frames_sent": ("Frames sent to browsers", lambda: views.sent.frames),
            "frames_sent_bytes": ("Bytes of the frames sent to browsers", lambda: views.sent.bytes),
            "slow_clients": ("Times that a browser was too slow for the next frame", lambda: views.sent.slow_clients),
            "login_attempts": ("Logins checked with the broker", lambda: sessions.checked),
            "login_failures": ("Logins rejected, by the broker or by the rate limit", lambda: sessions.rejected),
            "database_errors": ("Failed database queries", lambda: history.failures),
        }
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "mqtt_connected": ("1 if connected to the broker, else 0", lambda: ward.services.broker_connected),
            "devices": ("Devices with a status or a reading", lambda: len(ward.beds)),
            "stream_subscribers": ("Open pages that receive the live stream", lambda: views.browsers),
            "sessions": ("Browser sessions that are logged in", lambda: sessions.signed_in),
        }
        if ward.services.has_database:
            gauges["database_connected"] = (
                "1 if the database answered the last query of the check every 2 s, else 0",
                lambda: ward.services.database_connected,
            )
        self._counters = [
            (Counter(name + key, text, registry=registry), read) for key, (text, read) in counters.items()
        ]
        BrokerMetrics(registry, name, lambda: listener.order, lambda: ward.services.broker_connected)
        self._seen = [0] * len(self._counters)
        for key, (text, read) in gauges.items():
            Gauge(name + key, text, registry=registry).set_function(read)

    def page(self) -> bytes:
        """Return the page in Prometheus' text format."""
        for index, (counter, read) in enumerate(self._counters):
            value = read()
            counter.inc(value - self._seen[index])
            self._seen[index] = value
        return generate_latest(self.registry)
