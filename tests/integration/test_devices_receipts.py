"""Devices and receipts with a real broker: no reading is deleted before its receipt or resent without need."""

import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path

import pytest

from devices import producer, publisher
from devices.outbox import unconfirmed
from stack.servers import BrokerServer
from tests.integration.test_devices import devices, listening, output_of
from tests.support.fake_ingest import fake_ingest
from tests.support.fleet import fleet
from tests.support.servers import eventually

WARD, BED = "icu-1", "icu-1-bed-01"


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts of the protocol to a tenth."""
    monkeypatch.setattr(unconfirmed, "RESEND_AFTER_S", 1.5)
    monkeypatch.setattr(publisher, "RESEND_INTERVAL_S", 0.5)


@pytest.mark.usefixtures("short_timeouts")
def test_what_the_broker_lost_after_its_puback_is_resent_in_order_until_its_receipt(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.blind = lambda name, before: 15 <= name[2] < 30 and before < 2
        eventually(lambda: running.stats.resent >= 90, 20, "both resends of the fifteen lost readings")
        eventually(lambda: running.stats.confirmed > 200, 10, "more receipts")
        running.stop()
        assert running.stats.unconfirmed == running.stats.dropped == 0
        assert len(ingest.stored) == running.stats.produced == running.stats.confirmed
        times = Counter(ingest.received)
        assert all(count == (3 if 15 <= name[2] < 30 else 1) for name, count in times.items()), "and nothing else"
        arrays = [[one["seq"] for one in decoded] for _, decoded in ingest.payloads if isinstance(decoded, list)]
        assert arrays
        assert all(seqs == sorted(seqs) for seqs in arrays)
    assert len(ingest.received) == len(ingest.stored) + 3 * 2 * 15


@pytest.mark.usefixtures("short_timeouts")
def test_a_killed_broker_that_lost_its_queue_loses_no_reading(own_broker: BrokerServer) -> None:
    with fake_ingest(own_broker.port) as ingest, fleet(own_broker.url, 5, 10) as running:
        eventually(lambda: running.stats.confirmed > 20, 10, "receipts are in use")
        ingest.blind = lambda name, before: True  # the broker loses what it has now
        time.sleep(1)
        own_broker.kill()
        own_broker.start()
        ingest.blind = lambda name, before: False
        eventually(lambda: running.stats.resent >= 40, 20, "the lost readings are resent")
        running.stop()
        assert len(ingest.stored) == running.stats.produced
        assert running.stats.unconfirmed == 0


@pytest.mark.usefixtures("short_timeouts")
def test_without_receipts_a_device_is_a_plain_mqtt_device(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.silent = True
        time.sleep(4)
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 2, "it waits for no receipt"
        assert running.stats.resent == running.stats.waiting == running.stats.unconfirmed == 0
        assert len(ingest.received) == len(ingest.stored) == running.stats.produced


@pytest.mark.usefixtures("short_timeouts")
def test_while_the_database_is_down_nothing_is_resent_and_one_receipt_confirms_all(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        eventually(lambda: running.stats.confirmed > 10, 10, "receipts are in use")
        ingest.silent = True
        time.sleep(4)
        assert running.stats.resent == 0, "a late receipt does not mean loss"
        assert running.stats.unconfirmed > 60
        ingest.silent = False
        eventually(lambda: running.stats.unconfirmed < 30, 5, "receipts for all")
        running.stop()
        assert (running.stats.resent, running.stats.unconfirmed) == (0, 0)
        assert len(ingest.received) == len(ingest.stored)


def test_invalid_receipts_are_reported_once_and_change_nothing(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 1, 10) as running:
        eventually(lambda: running.stats.confirmed > 5, 10, "receipts are in use")
        boot = ingest.received[0][1]
        ingest.silent = True
        time.sleep(1)
        confirmed = running.stats.confirmed
        for nonsense in (
            b"\xff\x00 not JSON",
            b"[" * 10_000,
            b'{"boot": 7, "stored": [[1, 1000000]]}',
            b'{"boot": %d, "stored": [[1, 9223372036854775807]]}' % boot,
            b'{"boot": %d, "stored": [[9, 3]]}' % boot,
            b'{"boot": %d, "stored": [[-5, "x"]]}' % boot,
            b'{"stored": [[1, 2]]}',
            b"",
        ):
            ingest.give(WARD, BED, nonsense)
        time.sleep(1)
        assert running.stats.confirmed == confirmed
        ingest.silent = False
        running.stop()
        assert len(ingest.received) == len(ingest.stored) == running.stats.produced == running.stats.confirmed
    sentences = [sentence for sentence in running.said if "receipt" in sentence]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"a receipt was ignored: {BED}: not a receipt")


def test_a_clock_set_back_an_hour_loses_no_reading_and_keeps_seqs_unique(
    broker: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = timedelta(0)

    class Clock:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) - back

    monkeypatch.setattr(producer, "datetime", Clock)
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 1, 10) as running:
        time.sleep(1.5)
        back = timedelta(hours=1)
        time.sleep(1.5)
        running.stop()
        assert running.stats.unconfirmed == running.stats.dropped == 0
    assert [seq for _, _, seq in ingest.received] == [*range(1, running.stats.produced + 1)]
    assert len({boot for _, boot, _ in ingest.received}) == 1
    times = [datetime.fromisoformat(decoded["time"]) for _, decoded in ingest.payloads]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert [step.total_seconds() < -3500 for step in steps].count(True) == 1
    assert all(abs(step) < timedelta(seconds=1) or step < timedelta(minutes=-59) for step in steps)


@pytest.mark.usefixtures("short_timeouts")
def test_two_devices_with_one_name_do_not_use_each_others_receipts(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 1, 10) as one:
        time.sleep(1.2)  # another second, another boot
        with fleet(broker.url, 1, 10) as other:
            eventually(lambda: any("same name" in sentence for sentence in one.said + other.said), 20, "a hint")
            time.sleep(3)
            other.stop()
        eventually(lambda: one.stats.connected == 1 and one.stats.waiting == 0, 20, "the first one is connected again")
        eventually(lambda: 0 < one.stats.unconfirmed < 10, 20, "lost receipts are replaced")
        one.stop()
        stored = Counter(boot for _, boot, _ in ingest.stored)
    assert one.stats.unconfirmed == one.stats.dropped == 0
    assert stored[min(stored)] == one.stats.produced
    assert stored[max(stored)] >= other.stats.confirmed, "neither used the receipts of the other"


def test_a_device_reports_how_many_readings_it_dropped(own_broker: BrokerServer) -> None:
    with fleet(own_broker.url, 1, 20, capacity=10) as running:
        eventually(lambda: running.stats.published > 5, 10, "it publishes")
        own_broker.stop()
        eventually(lambda: running.stats.dropped > 20, 10, "the outbox overflows")
        own_broker.start()
        with listening(own_broker.port, "vitalflow/status/#") as listener:
            eventually(
                lambda: listener.received and listener.received[-1][1].get("dropped"), 15, "a status that reports it"
            )
            running.stop()
            eventually(lambda: listener.received[-1][1]["state"] == "offline", 5, "the offline status")
            assert listener.received[-1][1]["dropped"] == running.stats.dropped


@pytest.mark.slow
def test_the_next_start_sends_what_a_killed_process_left(own_broker: BrokerServer, tmp_path: Path) -> None:
    line = ["simulate", "--count", "5", "--interval", "0.1", "--outbox", str(tmp_path / "outbox.db")]
    with fake_ingest(own_broker.port) as ingest:
        for turn in range(3):
            process = devices(own_broker, *line)
            received = len(ingest.received)
            known = {(device, boot) for device, boot, _ in ingest.received}
            eventually(
                lambda start=received, known=known: (  # type: ignore[misc]
                    len(ingest.received) > start + 100
                    and len({(device, boot) for device, boot, _ in ingest.received[start:]} - known) == 5
                ),
                20,
                "all five publish readings of their own, and not only those of an earlier run",
            )
            if turn == 1:
                own_broker.kill()  # with everything that ingest has not received
                time.sleep(2)  # the process locks its outbox, so its rows cannot be counted before its end
            process.kill()
            process.communicate()
            if turn == 1:
                assert unsent(tmp_path / "outbox.db") > 50
                own_broker.start()
        process = devices(own_broker, *line, "--seconds", "4")
        output, _ = process.communicate(timeout=40)
    assert "readings of earlier runs are in" in output
    assert "0 unsent, 0 dropped" in output
    boots = {(device, boot) for device, boot, _ in ingest.stored}
    assert len(boots) == 4 * 5
    for device, boot in boots:
        seqs = {seq for d, b, seq in ingest.stored if (d, b) == (device, boot)}
        assert seqs == {*range(1, len(seqs) + 1)}, "no gap"
    arrays = [decoded for _, decoded in ingest.payloads if isinstance(decoded, list)]
    assert all(decoded == sorted(decoded, key=lambda one: (one["boot"], one["seq"])) for decoded in arrays)
    assert max(map(len, arrays)) > 10


def unsent(path: Path) -> int:
    """Count the readings in the file of a killed process."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM reading").fetchone()[0])


def test_two_processes_do_not_share_an_outbox_file(broker: BrokerServer, tmp_path: Path) -> None:
    line = ["simulate", "--count", "1", "--outbox", str(tmp_path / "outbox.db")]
    first = devices(broker, *line)
    eventually(lambda: any(first.printed()), 30, "it runs")
    assert "is in use by another process" in output_of(devices(broker, *line), 2)
    first.send_signal(signal.SIGTERM)
    output_of(first)
