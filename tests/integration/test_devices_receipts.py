"""Devices and receipts on a real broker: nothing is forgotten before its receipt, nothing sent again without need."""

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
from tests.integration.test_devices import devices, listening
from tests.support.fake_ingest import fake_ingest
from tests.support.fleet import fleet
from tests.support.servers import eventually

WARD, BED = "icu-1", "icu-1-bed-01"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-outs of the protocol, ten times as short."""
    monkeypatch.setattr(unconfirmed, "RESEND_AFTER_S", 1.5)
    monkeypatch.setattr(publisher, "RESEND_INTERVAL_S", 0.5)


@pytest.mark.usefixtures("hasty")
def test_what_the_broker_took_and_lost_is_sent_again_in_order_until_its_receipt(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.blind = lambda name, before: 15 <= name[2] < 30 and before < 2
        eventually(lambda: running.stats.resent >= 90, 20, "both resends of the fifteen lost ones")
        eventually(lambda: running.stats.confirmed > 200, 10, "receipts go on")
        running.stop()
        assert running.stats.unconfirmed == running.stats.dropped == 0
        assert len(ingest.stored) == running.stats.produced == running.stats.confirmed
        times = Counter(ingest.heard)
        assert all(count == (3 if 15 <= name[2] < 30 else 1) for name, count in times.items()), "and nothing else"
        arrays = [[one["seq"] for one in told] for _, told in ingest.payloads if isinstance(told, list)]
        assert arrays
        assert all(seqs == sorted(seqs) for seqs in arrays)
    assert len(ingest.heard) == len(ingest.stored) + 3 * 2 * 15


@pytest.mark.usefixtures("hasty")
def test_a_broker_that_died_with_its_queue_costs_nothing(own_broker: BrokerServer) -> None:
    with fake_ingest(own_broker.port) as ingest, fleet(own_broker.url, 5, 10) as running:
        eventually(lambda: running.stats.confirmed > 20, 10, "receipts are in use")
        ingest.blind = lambda name, before: True  # what the broker now has dies with it
        time.sleep(1)
        own_broker.kill()
        own_broker.start()
        ingest.blind = lambda name, before: False
        eventually(lambda: running.stats.resent >= 40, 20, "the lost ones are sent again")
        running.stop()
        assert len(ingest.stored) == running.stats.produced
        assert running.stats.unconfirmed == 0


@pytest.mark.usefixtures("hasty")
def test_without_receipts_a_device_is_a_plain_mqtt_device(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.silent = True
        time.sleep(4)
        begun = time.monotonic()
        running.stop()
        assert time.monotonic() - begun < 2, "it waits for no receipt"
        assert running.stats.resent == running.stats.waiting == running.stats.unconfirmed == 0
        assert len(ingest.heard) == len(ingest.stored) == running.stats.produced


@pytest.mark.usefixtures("hasty")
def test_while_the_database_is_away_nothing_is_sent_again_and_the_first_receipt_ends_it(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        eventually(lambda: running.stats.confirmed > 10, 10, "receipts are in use")
        ingest.silent = True
        time.sleep(4)
        assert running.stats.resent == 0, "late is not lost"
        assert running.stats.unconfirmed > 60
        ingest.silent = False
        eventually(lambda: running.stats.unconfirmed < 30, 5, "receipts for all")
        running.stop()
        assert (running.stats.resent, running.stats.unconfirmed) == (0, 0)
        assert len(ingest.heard) == len(ingest.stored)


def test_receipts_that_make_no_sense_are_told_once_and_cost_nothing(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 1, 10) as running:
        eventually(lambda: running.stats.confirmed > 5, 10, "receipts are in use")
        boot = ingest.heard[0][1]
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
        assert len(ingest.heard) == len(ingest.stored) == running.stats.produced == running.stats.confirmed
    told = [sentence for sentence in running.said if "receipt" in sentence]
    assert len(told) == 1
    assert told[0].startswith(f"a receipt was ignored: {BED}: not a receipt")


def test_a_clock_set_back_an_hour_costs_no_reading_and_no_name(
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
    assert [seq for _, _, seq in ingest.heard] == [*range(1, running.stats.produced + 1)]
    assert len({boot for _, boot, _ in ingest.heard}) == 1
    times = [datetime.fromisoformat(told["time"]) for _, told in ingest.payloads]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert [step.total_seconds() < -3500 for step in steps].count(True) == 1
    assert all(abs(step) < timedelta(seconds=1) or step < timedelta(minutes=-59) for step in steps)


@pytest.mark.usefixtures("hasty")
def test_two_devices_with_one_name_keep_each_others_receipts_apart(broker: BrokerServer) -> None:
    with fake_ingest(broker.port) as ingest, fleet(broker.url, 1, 10) as one:
        time.sleep(1.2)  # another second, another boot
        with fleet(broker.url, 1, 10) as other:
            eventually(lambda: any("same name" in sentence for sentence in one.said + other.said), 20, "a hint")
            time.sleep(3)
            other.stop()
        eventually(lambda: one.stats.connected == 1 and one.stats.waiting == 0, 20, "the first one has its place again")
        eventually(lambda: 0 < one.stats.unconfirmed < 10, 20, "receipts that were lost are made up for")
        one.stop()
        stored = Counter(boot for _, boot, _ in ingest.stored)
    assert one.stats.unconfirmed == one.stats.dropped == 0
    assert stored[min(stored)] == one.stats.produced
    assert stored[max(stored)] >= other.stats.confirmed, "no receipt of the one was taken by the other"
    assert any("of which this device has no readings" in sentence for sentence in one.said + other.said)


def test_a_device_says_how_many_readings_it_dropped(own_broker: BrokerServer) -> None:
    with fleet(own_broker.url, 1, 20, capacity=10) as running:
        eventually(lambda: running.stats.published > 5, 10, "it publishes")
        own_broker.stop()
        eventually(lambda: running.stats.dropped > 20, 10, "the outbox overflows")
        own_broker.start()
        with listening(own_broker.port, "vitalflow/status/#") as listener:
            eventually(lambda: listener.heard and listener.heard[-1][1].get("dropped"), 15, "a status that tells it")
            running.stop()
            eventually(lambda: listener.heard[-1][1]["state"] == "offline", 5, "the goodbye")
            assert listener.heard[-1][1]["dropped"] == running.stats.dropped


@pytest.mark.slow
def test_a_killed_process_owes_nothing_after_its_next_start(own_broker: BrokerServer, tmp_path: Path) -> None:
    line = ["simulate", "--count", "5", "--interval", "0.1", "--outbox", str(tmp_path / "outbox.db")]
    with fake_ingest(own_broker.port) as ingest:
        for turn in range(3):
            process = devices(own_broker, *line)
            heard = len(ingest.heard)
            eventually(
                lambda: len(ingest.heard) > heard + 100 and len({name for name, *_ in ingest.heard[heard:]}) == 5,  # noqa: B023
                20,
                "all five publish",
            )
            if turn == 1:
                own_broker.kill()  # with all that ingest has not fetched
                time.sleep(2)
            process.kill()
            process.communicate()
            if turn == 1:
                assert unsent(tmp_path / "outbox.db") > 50
                own_broker.start()
        process = devices(own_broker, *line, "--seconds", "8")
        said, _ = process.communicate(timeout=40)
    assert "readings of earlier runs are in" in said
    assert "0 unsent, 0 dropped" in said
    boots = {(device, boot) for device, boot, _ in ingest.stored}
    assert len(boots) == 4 * 5
    for device, boot in boots:
        seqs = {seq for d, b, seq in ingest.stored if (d, b) == (device, boot)}
        assert seqs == {*range(1, len(seqs) + 1)}, "no gap"
    arrays = [told for _, told in ingest.payloads if isinstance(told, list)]
    assert all(told == sorted(told, key=lambda one: (one["boot"], one["seq"])) for told in arrays)
    assert max(map(len, arrays)) > 10


def unsent(path: Path) -> int:
    """Readings in the file of a process that has been killed."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM reading").fetchone()[0])


@pytest.mark.parametrize(
    ("outbox", "sentence"),
    [
        ("nowhere/outbox.db", "cannot be used as an outbox file: unable to open database file"),
        (".", "is a directory"),
        ("other.db", "is a database of another program, not an outbox file; choose another path"),
    ],
)
def test_an_outbox_file_that_cannot_be_used_is_one_sentence(
    broker: BrokerServer, tmp_path: Path, outbox: str, sentence: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE accounts (balance INTEGER)")
    process = devices(broker, "simulate", "--outbox", str(tmp_path / outbox))
    said, _ = process.communicate(timeout=15)
    assert process.returncode == 2
    assert sentence in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said


def test_two_processes_do_not_share_an_outbox_file(broker: BrokerServer, tmp_path: Path) -> None:
    line = ["simulate", "--count", "1", "--outbox", str(tmp_path / "outbox.db")]
    first = devices(broker, *line)
    assert first.stdout is not None
    first.stdout.readline()
    second = devices(broker, *line)
    said, _ = second.communicate(timeout=15)
    assert second.returncode == 2
    assert "is in use by another process" in said
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=15)
    assert first.returncode == 0
