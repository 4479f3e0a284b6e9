"""The webhook listener as a process: what it answered with 2xx reaches the broker once; bad requests end nothing."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edges.observations.json_document import MAX_BODY
from stack.servers import BrokerServer
from tests.support.edge import EdgeProcess
from tests.support.fake_ingest import fake_ingest
from tests.support.servers import eventually
from tests.support.webhook import SECRET, heart_rates, post, webhook_site

MORE = """
[[webhook]]
name = "signed"
kind = "health-connect"
proof = "standard-webhooks"
secret_file = "SECRET"
ward = "icu-1"
device = "ring"
[[webhook]]
name = "scale"
kind = "withings"
secret_file = "SECRET"
"""


@pytest.fixture
def webhook_edge(broker: BrokerServer, tmp_path: Path) -> Iterator[EdgeProcess]:
    site = webhook_site(tmp_path, ["phone"], MORE)
    environment = {"VITALFLOW_MQTT_URL": broker.url}
    with EdgeProcess(environment, site, tmp_path / "inbox.db", tmp_path / "edge.log", kind="webhook") as edge:
        yield edge.start()


def signed(body: bytes, at: float) -> dict[str, str]:
    digest = hmac.digest(SECRET.encode(), f"m-1.{int(at)}.".encode() + body, "sha256")
    return {
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(at)),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def test_a_day_that_is_sent_again_is_published_once(broker: BrokerServer, webhook_edge: EdgeProcess) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    morning = [(at + timedelta(minutes=number), 60 + number) for number in range(5)]
    port = webhook_edge.port
    with fake_ingest(broker.port) as ingest:
        assert post(port, "/webhooks/phone", heart_rates(*morning[:3])) == (200, {"readings": 3, "not_used": {}})
        assert post(port, "/webhooks/phone", heart_rates(*morning[:3])) == (200, {"readings": 3, "not_used": {}})
        assert post(port, "/webhooks/phone", heart_rates(*morning))[0] == 200
        eventually(lambda: webhook_edge.metric("readings_total", state="confirmed") == 5, 30, "all are confirmed")
        assert sorted(reading["heart_rate"] for reading in ingest.values.values()) == [60, 61, 62, 63, 64]
    assert webhook_edge.metric("messages_total", answer="repeated") == 1
    assert webhook_edge.metric("observations_total", reason="same_again") == 3


def test_each_bad_request_has_its_status_and_the_next_good_one_is_kept(webhook_edge: EdgeProcess) -> None:
    port, now = webhook_edge.port, time.time()
    good = heart_rates((datetime.now(UTC), 70))
    forged = signed(good, now) | {"webhook-id": "m-2"}
    other = {"Authorization": f"Bearer {SECRET[:-1]}x"}
    requests = [
        (401, "/webhooks/phone", good, other, None),
        (401, "/webhooks/phone", good, {}, None),
        (401, "/webhooks/signed", good, None, None),
        (401, "/webhooks/signed", good, forged, None),
        (401, "/webhooks/signed", good, signed(good, now - 400), None),
        (401, "/webhooks/signed", good + b" ", signed(good, now), None),
        (401, "/webhooks/scale", b"userid=1", {}, None),
        (401, f"/webhooks/scale/{SECRET}x", b"userid=1", {}, None),
        (404, "/webhooks/other", good, None, None),
        (404, "/", good, None, None),
        (405, "/webhooks/phone", None, None, "GET"),
        (405, "/webhooks/phone", None, None, "DELETE"),
        (413, "/webhooks/phone", b"[" * (MAX_BODY + 1), None, None),
        (400, "/webhooks/phone", b"[" * 100_000, None, None),
        (400, "/webhooks/signed", b"[" * 100_000, signed(b"[" * 100_000, now), None),
        (400, "/webhooks/phone", b"{", None, None),
        (422, "/webhooks/phone", b"[]", None, None),
        (415, "/webhooks/phone", good, {"Authorization": f"Bearer {SECRET}", "Content-Encoding": "gzip"}, None),
        (200, "/webhooks/scale", None, {}, "HEAD"),
        (200, f"/webhooks/scale/{SECRET}", b"userid=1&appli=4", {}, None),
    ]
    for status, path, body, headers, method in requests:
        assert post(port, path, body, headers, method)[0] == status, (path, headers, body and body[:40])
    assert webhook_edge.metric("readings_waiting") == 0
    assert webhook_edge.metric("messages_total", answer="unproven") == 8
    assert "webhook phone: a request from 127.0.0.1 is refused: " in webhook_edge.said()
    first = post(port, "/webhooks/signed", good, signed(good, now))
    assert first == (200, {"readings": 1, "not_used": {}})
    assert post(port, "/webhooks/signed", good, signed(good, now + 5)) == first
    assert webhook_edge.metric("readings_waiting") == 1
    assert SECRET not in json.dumps(webhook_edge.health()) + webhook_edge.said()
