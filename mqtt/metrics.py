"""The HTTP server of ingest and alert worker: /metrics for Prometheus, /healthz for an orchestrator or a person.

Any other path is 404. It runs in threads of its own, so that it answers while the main loop waits for a server.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

from mqtt.certificate_expiry import CertificateExpiry
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Buckets of a histogram of durations, in seconds."""

Health = Callable[[], tuple[str | None, Mapping[str, object]]]
"""Returns why the service does not do its work, in one sentence, or None; and facts to show beside it."""


class MetricSet:
    """The metrics of one process: a registry, and the prefix of the names in it, such as `vitalflow_ingest_`.

    A counter's name is served with the suffix `_total`, which the client appends.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.registry = CollectorRegistry()

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Return a new counter."""
        return Counter(self.prefix + name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Return a new gauge."""
        return Gauge(self.prefix + name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float] = DURATION_BUCKETS) -> Histogram:
        """Return a new histogram."""
        return Histogram(self.prefix + name, text, labels, registry=self.registry, buckets=buckets)

    def serve(self, host: str, port: int, broker: BrokerEndpoint, health: Health) -> None:
        """Serve /metrics, with the end of the connection's certificates, and /healthz; not if `port` is 0.

        Raises PermanentError if the port is in use.
        """
        if port:
            CertificateExpiry(self.registry, self.prefix, broker, {}).start()
            serve(self.registry, host, port, f"{self.prefix.upper()}METRICS_PORT", health)


class ServiceMetrics(MetricSet):
    """The metrics of a service with one session at the broker."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.mqtt_connections = self.counter("mqtt_connections", "Connections established to the broker")
        self.mqtt_connected = self.gauge("mqtt_connected", "1 if connected to the broker, else 0")


class WriterMetrics(ServiceMetrics):
    """The metrics of a service of which one process writes and others may stand by."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.standby = self.gauge("standby", "1 while another process is active and this one waits to take over")
        self.epoch = self.gauge(
            "epoch_timestamp_seconds",
            "Epoch of this process as a writer, a unix time: higher with each one that takes over",
        )


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10.0  # of a request that is sent slowly

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request every few seconds is no event."""


def serve(registry: CollectorRegistry, host: str, port: int, setting: str, health: Health) -> None:
    """Serve /metrics and /healthz; raises PermanentError that names `setting` if the port is in use.

    /healthz answers 200 with `"status": "ok"`, or 503 with `"status": "failing"` and the reason.
    """
    try:
        server = make_server(host, port, _application(make_wsgi_app(registry), health), _Server, _Handler)
    except OSError as error:
        raise PermanentError(
            f"cannot serve /metrics on {host}:{port}: {error.strerror}; set {setting} to a free port, or to 0 for none"
        ) from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


def _application(metrics: "WSGIApplication", health: Health) -> "WSGIApplication":
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                reason, facts = health()
                status = "200 OK" if reason is None else "503 Service Unavailable"
                answer = {"status": "ok" if reason is None else "failing", "reason": reason, **facts}
            case _:
                status, answer = "404 Not Found", {"detail": "not found; there are /metrics and /healthz"}
        start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [json.dumps(answer).encode() + b"\n"]

    return application
