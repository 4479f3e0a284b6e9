"""The FHIR listener as a process: what it answered with 201 reaches the broker, each document once."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stack.servers import BrokerServer
from tests.support.edge import EdgeProcess
from tests.support.fake_ingest import fake_ingest
from tests.support.fhir import TOKEN, fhir_site, heart_rate_at
from tests.support.servers import eventually


class FhirEdge(EdgeProcess):
    """`vitalflow edges fhir listen`, and requests to it."""

    def __init__(self, mqtt_url: str, folder: Path) -> None:
        files = (folder / "site.toml", folder / "inbox.db", folder / "edge.log")
        super().__init__({"VITALFLOW_MQTT_URL": mqtt_url}, *files, kind="fhir")

    def request(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the resource of an answer."""
        given = {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {TOKEN}", **(headers or {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/fhir/R4{path}", body, given)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def fhir_edge(broker: BrokerServer, tmp_path: Path) -> Iterator[FhirEdge]:
    fhir_site(tmp_path, ["monitor-1"])
    with FhirEdge(broker.url, tmp_path) as edge:
        yield edge.start()


def test_a_document_is_published_once_and_each_repeat_gets_the_first_answer(
    broker: BrokerServer, fhir_edge: FhirEdge
) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    content = heart_rate_at(at, 71)
    with fake_ingest(broker.port) as ingest:
        first = fhir_edge.request("/Observation", json.dumps(content).encode())
        assert first[0] == 201
        assert fhir_edge.request("/Observation", json.dumps(content, indent=1, sort_keys=True).encode()) == first
        entry = {"resource": heart_rate_at(at, 72), "request": {"method": "POST", "url": "Observation"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        status, answer = fhir_edge.request("", json.dumps(bundle).encode())
        assert (status, answer["entry"][0]["response"]["status"]) == (200, "201 Created")
        eventually(lambda: len(ingest.stored) == 2, 30, "both readings arrive")
        assert sorted(reading["heart_rate"] for reading in ingest.values.values()) == [71, 72]
        assert fhir_edge.stop() == 0
        assert len(ingest.received) == 2


def test_a_request_that_cannot_be_taken_has_its_status_and_stores_nothing(fhir_edge: FhirEdge) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    body = json.dumps(heart_rate_at(at, 71)).encode()
    answers = {
        "no token": fhir_edge.request("/Observation", body, {"Authorization": ""}),
        "wrong token": fhir_edge.request("/Observation", body, {"Authorization": f"Bearer {TOKEN[::-1]}"}),
        "xml": fhir_edge.request("/Observation", b"<Observation/>", {"Content-Type": "application/fhir+xml"}),
        "xml wanted": fhir_edge.request("/Observation", body, {"Accept": "application/fhir+xml"}),
        "encoded": fhir_edge.request("/Observation", body, {"Content-Encoding": "gzip"}),
        "charset": fhir_edge.request("/Observation", body, {"Content-Type": "application/json; charset=latin1"}),
        "cut off": fhir_edge.request("/Observation", body[:-10]),
        "too large": fhir_edge.request("/Observation", b" " * (1024 * 1024 + 1)),
        "too deep": fhir_edge.request("/Observation", b'{"a":' * 300 + b"1" + b"}" * 300),
        "other path": fhir_edge.request("/Patient", body),
        "read": fhir_edge.request("/Observation"),
        "wrong path": fhir_edge.request("", body),
        "day": fhir_edge.request("/Observation", json.dumps(heart_rate_at(at, 71, day_only=True)).encode()),
    }
    assert {name: status for name, (status, _) in answers.items()} == {
        "no token": 401,
        "wrong token": 401,
        "xml": 415,
        "xml wanted": 406,
        "encoded": 415,
        "charset": 415,
        "cut off": 400,
        "too large": 413,
        "too deep": 400,
        "other path": 404,
        "read": 405,
        "wrong path": 422,
        "day": 422,
    }
    assert {answer["resourceType"] for _, answer in answers.values()} == {"OperationOutcome"}
    assert fhir_edge.metric("messages_total", answer="unproven") == 2
    assert "FHIR: a request from 127.0.0.1 is refused: " in fhir_edge.said()
    status, statement = fhir_edge.request("/metadata", headers={"Authorization": ""})
    assert (status, statement["resourceType"]) == (200, "CapabilityStatement")
