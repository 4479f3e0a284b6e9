"""The HL7 listener as a process: what it acknowledged reaches the broker, each reading once."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.support.edge import HEART_RATE, SPO2, EdgeProcess, report, site_text
from tests.support.fake_ingest import fake_ingest
from tests.support.servers import eventually

MakeEdge = Callable[..., EdgeProcess]
MakeClient = Callable[[int], AlertClient]


@pytest.fixture
def make_edge(tmp_path: Path) -> Iterator[MakeEdge]:
    """Start edges with one inbox; all of them are gone when the test ends."""
    site, inbox, log = (tmp_path / name for name in ("site.toml", "inbox.db", "edge.log"))
    with ExitStack() as made:

        def make(mqtt_url: str, text: str, *options: str) -> EdgeProcess:
            site.write_text(text)
            edge = EdgeProcess({"VITALFLOW_MQTT_URL": mqtt_url}, site, inbox, log, *options)
            return made.enter_context(edge).start()

        yield make


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_a_message_is_published_until_its_receipt_and_a_repeat_is_not(
    broker: BrokerServer, make_edge: MakeEdge
) -> None:
    at = now() - timedelta(minutes=1)
    with fake_ingest(broker.port) as ingest:
        edge = make_edge(broker.url, site_text(["bed-1", "bed-2"]))
        peer = edge.connect()
        first = report("bed-1", 1, at, {HEART_RATE: 72, SPO2: 97})
        assert [peer.send(first), peer.send(first), peer.send(report("bed-2", 1, at, {HEART_RATE: 80}))] == ["AA"] * 3
        eventually(lambda: len(ingest.stored) == 2, 30, "both readings arrive")
        eventually(lambda: edge.metric("readings_waiting") == 0, 30, "the receipts empty the inbox")
        [reading] = [values for (device, _, _), values in ingest.values.items() if device == "bed-1"]
        assert (reading["heart_rate"], reading["spo2"], reading["patient_id"], reading["seq"]) == (72, 97, "ed-1", 1)
        assert datetime.fromisoformat(reading["time"]) == at
        assert edge.metric("messages_total", answer="accepted") == 2
        assert edge.metric("messages_total", answer="repeated") == 1
        assert edge.metric("observations_total", reason="used") == 3
        assert edge.health()["status"] == "ok"
        assert edge.stop() == 0
        assert len(ingest.received) == 2


def test_messages_of_a_sender_without_a_clock_that_are_equal_are_measurements_of_their_own(
    broker: BrokerServer, make_edge: MakeEdge
) -> None:
    """And those of one frame are each read, and answered."""
    source = '[[source]]\nname = "no clock"\napplication = "A TEST"\nclock = "receipt"\n'
    with fake_ingest(broker.port) as ingest:
        edge = make_edge(broker.url, site_text(["bed-1", "bed-2"], source))
        peer = edge.connect()
        stamp = now().strftime("%Y%m%d%H%M%S.0000+0000").encode()
        same, other = (report(bed, 1, now(), {SPO2: 70}).replace(stamp, b"") for bed in ("bed-1", "bed-2"))
        assert [peer.send(message) for message in (same, same, same + other, b"")] == ["AA"] * 4
        eventually(lambda: len(ingest.stored) == 4, 30, "all readings arrive")
        assert sorted(device for device, _, _ in ingest.stored) == ["bed-1"] * 3 + ["bed-2"]


def test_an_edge_that_is_killed_sends_what_has_no_receipt_under_its_first_number(
    broker: BrokerServer, make_edge: MakeEdge
) -> None:
    at = now() - timedelta(minutes=1)
    with fake_ingest(broker.port) as ingest:
        ingest.silent = True
        edge = make_edge(broker.url, site_text(["bed-1"]))
        peer = edge.connect()
        assert {peer.send(report("bed-1", n, at + timedelta(seconds=n), {HEART_RATE: 70})) for n in range(5)} == {"AA"}
        eventually(lambda: len(ingest.received) == 5, 30, "the readings arrive, and no receipt is sent")
        assert edge.metric("oldest_unconfirmed_seconds") > 0
        edge.kill()
        before = set(ingest.stored)
        ingest.silent = False
        edge = make_edge(broker.url, site_text(["bed-1"]))
        peer = edge.connect()
        assert peer.send(report("bed-1", 4, at + timedelta(seconds=4), {HEART_RATE: 70})) == "AA", "a repeat"
        assert peer.send(report("bed-1", 5, at + timedelta(seconds=5), {HEART_RATE: 70})) == "AA"
        eventually(lambda: edge.metric("readings_waiting") == 0, 30, "all receipts")
        [(device, boot, seq)] = ingest.stored - before
        assert (device, seq) == ("bed-1", 1)
        assert boot > max(boot for _, boot, _ in before)


def test_readings_of_an_unknown_bed_are_published_after_the_site_names_it(
    broker: BrokerServer, make_edge: MakeEdge
) -> None:
    at = now() - timedelta(minutes=1)
    strict = '[[source]]\nname = "strict"\napplication = "STRICT"\nunknown = "AE"\n'
    with fake_ingest(broker.port) as ingest:
        edge = make_edge(broker.url, site_text(["bed-1"], strict))
        peer = edge.connect()
        unknown = report("bed-7", 1, at, {SPO2: 91})
        assert peer.send(unknown) == "AA"
        assert peer.send(unknown.replace(b"A TEST", b"STRICT")) == "AE"
        assert edge.metric("readings_unplaced") == 1
        assert edge.stop() == 0
        edge = make_edge(broker.url, site_text(["bed-1", "bed-7"], strict))
        eventually(lambda: len(ingest.stored) == 1, 30, "the reading arrives")
        eventually(lambda: edge.metric("readings_waiting") == 0, 30, "its receipt")
        assert [reading["spo2"] for reading in ingest.values.values()] == [91]


def test_a_moment_in_two_messages_raises_the_alert_of_each(
    broker: BrokerServer, make_edge: MakeEdge, make_alerts: MakeAlerts, make_alert_client: MakeClient
) -> None:
    at = now()
    make_alerts(broker.url)
    client = make_alert_client(broker.port)
    peer = make_edge(broker.url, site_text(["bed-1"])).connect()
    assert peer.send(report("bed-1", 1, at, {HEART_RATE: 130})) == "AA"
    assert peer.send(report("bed-1", 2, at, {SPO2: 79})) == "AA"
    client.wait_for("icu-1/bed-1/heart-rate-high", 30, state="active")
    client.wait_for("icu-1/bed-1/spo2-low", 30, state="active", value=79.0)


def test_a_sender_whose_clock_is_an_hour_ahead_raises_the_alert_by_arrival(
    broker: BrokerServer, make_edge: MakeEdge, make_alerts: MakeAlerts, make_alert_client: MakeClient
) -> None:
    make_alerts(broker.url)
    client = make_alert_client(broker.port)
    peer = make_edge(broker.url, site_text(["bed-1"])).connect()
    numbers = count(1)

    def raised() -> bool:
        at = datetime.now(UTC) + timedelta(hours=1)
        return (
            peer.send(report("bed-1", next(numbers), at, {SPO2: 79})) == "AA" and "icu-1/bed-1/spo2-low" in client.now
        )

    eventually(raised, 30, "the alert is raised")
    assert client.now["icu-1/bed-1/spo2-low"].value == 79


def test_a_bed_without_a_login_is_reported_and_its_readings_stay(
    broker: BrokerServer, make_edge: MakeEdge, tmp_path: Path
) -> None:
    credentials = tmp_path / "beds.json"
    at = now() - timedelta(minutes=1)
    with fake_ingest(broker.port) as ingest:
        edge = make_edge(broker.url, site_text(["bed-1"]), "--credentials", str(credentials))
        assert edge.connect().send(report("bed-1", 1, at, {HEART_RATE: 70})) == "AA"
        eventually(lambda: edge.metric("beds", state="refused") == 1, 30, "the metric")
        assert "icu-1/bed-1 is not published, its readings stay in the inbox" in edge.said()
        assert edge.metric("readings_waiting") == 1
        descriptor = os.open(credentials, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, b'{"bed-1": {"ward": "icu-1", "password": "x"}}')
        os.close(descriptor)
        eventually(lambda: len(ingest.stored) == 1, 30, "the reading arrives once the bed is enrolled")
