"""The HTTP server of ingest and alert worker: /metrics for Prometheus, /healthz for an orchestrator or a person.

Any other path is 404. It runs in threads of its own, so that it answers while the main loop waits for a server.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from vitals.errors import PermanentError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Buckets of a histogram of durations, in seconds."""

Health = Callable[[], tuple[str | None, Mapping[str, object]]]
"""Returns why the service does not do its work, in one sentence, or None; and facts to show beside it."""


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
