"""The simulated phone: its documents become the values of the patient, and an answer that may pass is tried again."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from devices.scenario import Scenario
from edges.config.site import Site
from edges.config.webhook_table import Webhook
from edges.webhook import simulate as module
from edges.webhook.receive import receive
from edges.webhook.simulate import export, simulate

AT = datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)
VALUES = {"heart_rate": 72, "spo2": 97, "resp_rate": 15, "temperature": 36.8, "systolic_bp": 121, "diastolic_bp": 78}
PHONE = Webhook(name="p", kind="health-auto-export", secret_file="none", ward="w", device="d")  # type: ignore[arg-type]


def test_a_document_has_all_values_of_its_times() -> None:
    body = json.dumps(export({AT: VALUES})).encode()
    received = receive(body, PHONE, Site(zone="UTC"), AT)
    [placed] = received.readings
    assert (placed.reading.time, received.counts) == (AT, {"used": 6})
    assert {key: placed.reading.value(key) for key in VALUES} == VALUES


@contextmanager
def answering(statuses: list[int], bodies: list[bytes]) -> Iterator[str]:
    """Serve these statuses in turn, the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/webhooks/p"
        finally:
            server.shutdown()
            thread.join()


class Enough(Exception):
    """Ends the simulation."""


def test_a_document_is_sent_until_it_is_kept_and_one_that_is_refused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", (0.01, 0.01))
    bodies: list[bytes] = []

    def emit(text: str) -> None:
        if "answers 418" in text:
            raise Enough

    with answering([503, 500, 200, 401, 418], bodies) as url, pytest.raises(Enough):
        simulate(url, "secret", Scenario.STABLE, 0.05, None, emit)
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(bodies) == 5
