"""The page /healthz of a service, the container health check that asks for it, and the kernel's connections."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry, Counter

from mqtt import metrics
from mqtt.health import find_problem, has_remote_connection, main

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: 030012AC:{local} {remote} {state} 00000000:00000000 00:00000000 00000000 10001        0 1234 1\n"


class Service:
    """A service with a port and a health that a test sets."""

    def __init__(self) -> None:
        self.reason: str | None = None
        registry = CollectorRegistry()
        Counter("made", "Readings made", registry=registry).inc()
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        metrics.serve(registry, "127.0.0.1", self.port, "VITALFLOW_PORT", self.health)

    def health(self) -> tuple[str | None, Mapping[str, object]]:
        return self.reason, {"last_commit": None}

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


def test_a_healthy_service_answers_200_and_a_failing_one_503_with_the_reason(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.reason = None
    status, page = service.get("/healthz")
    assert (status, json.loads(page)) == (200, {"status": "ok", "reason": None, "last_commit": None})
    assert main([str(service.port)]) == 0
    service.reason = "not connected to the broker"
    status, page = service.get("/healthz")
    assert (status, json.loads(page)["status"]) == (503, "failing")
    assert main([str(service.port)]) == 1
    assert capsys.readouterr().out == "healthy\nnot connected to the broker\n"


def test_metrics_are_on_one_path_and_other_paths_are_404(service: Service) -> None:
    assert "made_total 1.0" in service.get("/metrics")[1]
    for path in ("/", "/metrics/", "/healthz/x", "/favicon.ico", "/%2e%2e/metrics"):
        assert service.get(path)[0] == 404, path


def test_a_service_that_does_not_answer_is_unhealthy() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    problem = find_problem(port)
    assert problem is not None
    assert problem.startswith(f"no answer on port {port}: ")


def test_only_established_connections_to_other_machines_count() -> None:
    assert has_remote_connection(TITLE + ROW.format(local="8C3A", remote="020012AC:075B", state="01"))
    for remote, state in [("020012AC:075B", "02"), ("0100007F:075B", "01"), ("0B00007F:9D3B", "01")]:
        assert not has_remote_connection(TITLE + ROW.format(local="8C3A", remote=remote, state=state))
    assert not has_remote_connection(TITLE)
