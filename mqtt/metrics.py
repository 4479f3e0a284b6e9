"""Shared by the services' metrics: the buckets of durations and the HTTP server for Prometheus."""

from prometheus_client import CollectorRegistry, start_http_server

from vitals.errors import PermanentError

DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Buckets of a histogram of durations, in seconds."""


def serve(registry: CollectorRegistry, host: str, port: int, setting: str) -> None:
    """Serve /metrics; raises PermanentError that names `setting` if the port is in use."""
    try:
        start_http_server(port, host, registry=registry)
    except OSError as error:
        raise PermanentError(
            f"cannot serve /metrics on {host}:{port}: {error.strerror}; set {setting} to a free port, or to 0 for none"
        ) from None
