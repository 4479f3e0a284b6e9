"""The outbox file: readings survive a restart, and no damaged file stops a device or is lost silently."""

import sqlite3
from pathlib import Path

import pytest

from devices.outbox.db import VERSION
from devices.outbox.file import OutboxFile, Start
from devices.outbox.queue import Outbox
from devices.source import Source
from tests.unit.test_outbox import a_reading, seqs
from vitals.errors import PermanentError
from vitals.receipt import Receipt


def sources(*devices: str, boot: int = 1) -> list[Source]:
    return [Source(device, "icu-1", None, "a test", 1.0, boot, ()) for device in devices]


def begin(file: OutboxFile, *devices: str, boot: int = 1) -> list[tuple[Start, Outbox]]:
    starts = file.begin(sources(*devices, boot=boot))
    outboxes = [Outbox(journal=start.journal, receipts=start.receipts) for start in starts]
    for start, outbox in zip(starts, outboxes, strict=True):
        outbox.restore(start.pending)
    return list(zip(starts, outboxes, strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def emitted() -> list[str]:
    return []


def fill(path: Path, emitted: list[str], readings: int) -> None:
    """Write a file with the readings 1, 2, 3 ... of boot 1."""
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "a")
    for seq in range(1, readings + 1):
        outbox.put(a_reading(seq))
    assert file.close() == readings


def test_the_next_run_restores_unsent_readings_in_order(path: Path, emitted: list[str]) -> None:
    fill(path, emitted, 200)
    [(start, outbox)] = begin(OutboxFile(path, emitted.append), "a")
    assert outbox.next_batch() == [a_reading(seq) for seq in range(1, 151)]
    assert (outbox.waiting, start.receipts) == (200, False)
    assert emitted == [f"200 readings of earlier runs are in {path} and will be sent first"]


def test_a_boot_is_greater_than_all_before_it_whatever_the_clock_shows(path: Path, emitted: list[str]) -> None:
    boots = []
    for clock in (1000, 1000, 2000, 500):
        file = OutboxFile(path, emitted.append)
        [(start, _)] = begin(file, "a", boot=clock)
        boots.append(start.source.boot)
        file.close()
    assert boots == [1000, 1001, 2000, 2001]


def test_with_receipts_a_reading_stays_in_the_file_until_its_receipt(path: Path, emitted: list[str]) -> None:
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "a")
    for seq in (1, 2, 3, 4):
        outbox.put(a_reading(seq))
    outbox.on_puback(outbox.next_batch(), 0.0)
    assert file.count() == 0, "without receipts a PUBACK deletes a reading"
    outbox.confirm(Receipt(boot=1, stored=((1, 1),), rejected=((3, 3),)))
    assert file.count() == 2, "from the first receipt on, the file holds what has none"
    outbox.put(a_reading(5))
    outbox.on_puback(outbox.next_batch(), 1.0)
    assert file.close() == 3
    file = OutboxFile(path, emitted.append)
    [(start, outbox)] = begin(file, "a")
    assert (start.receipts, seqs(outbox.next_batch())) == (True, [2, 4, 5])
    outbox.confirm(Receipt(boot=1, stored=((2, 5), (90, 99))))  # more seqs than are left of that run
    assert (file.count(), outbox.waiting) == (0, 0)


def test_overflow_deletes_from_the_file_too(path: Path, emitted: list[str]) -> None:
    fill(path, emitted, 10)
    file = OutboxFile(path, emitted.append)
    [start] = file.begin(sources("a"))
    outbox = Outbox(4, start.journal)
    outbox.restore(start.pending)
    assert (seqs(outbox.next_batch()), outbox.dropped, file.count()) == ([7, 8, 9, 10], 6, 4)


def test_readings_of_devices_that_are_not_started_stay_and_are_reported(path: Path, emitted: list[str]) -> None:
    fill(path, emitted, 7)
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "b")
    assert (outbox.waiting, file.count()) == (0, 7)
    assert emitted == [f"7 readings stay in {path}: their devices are not started now"]


def test_a_second_process_is_rejected(path: Path, emitted: list[str]) -> None:
    first = OutboxFile(path, emitted.append)
    with pytest.raises(PermanentError, match="in use by another process; each process needs an outbox file of its own"):
        OutboxFile(path, emitted.append)
    first.close()
    OutboxFile(path, emitted.append).close()


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_a_file_of_another_version_is_not_changed(path: Path, emitted: list[str], version: int) -> None:
    fill(path, emitted, 3)
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(PermanentError, match=f"of version {version}, and this program reads version {VERSION}"):
        OutboxFile(path, emitted.append)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_not_changed(path: Path, emitted: list[str]) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE accounts (balance INTEGER)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="a database of another program"):
        OutboxFile(path, emitted.append)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_renamed(path: Path, emitted: list[str]) -> None:
    path.write_bytes(b"not a database at all " * 500)
    file = OutboxFile(path, emitted.append)
    [aside] = path.parent.glob("outbox.db.damaged-*")
    assert aside.read_bytes() == b"not a database at all " * 500
    assert emitted == [f"{path} is damaged (file is not a database) and is now {aside.name}; 0 readings were recovered"]
    [(_, outbox)] = begin(file, "a")
    outbox.put(a_reading(1))
    assert file.close() == 1


def test_the_readable_part_of_a_damaged_file_is_recovered(path: Path, emitted: list[str]) -> None:
    fill(path, emitted, 2000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "a")
    assert "is damaged" in emitted[0]
    assert 1900 < outbox.waiting < 2000, "from both ends up to the damage"
    restored = []
    while batch := outbox.next_batch():
        restored += seqs(batch)
        outbox.on_puback(batch, 0.0)
    assert restored == sorted(set(restored))
    file.close()


def test_an_unreadable_reading_stays_and_is_reported(path: Path, emitted: list[str]) -> None:
    fill(path, emitted, 3)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE reading SET payload = x'00' WHERE seq = 2")
    database.close()
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "a")
    assert seqs(outbox.next_batch()) == [1, 3]
    assert f"{path}: 1 reading of a cannot be read; the file keeps them" in emitted
    assert file.count() == 3


@pytest.mark.parametrize("name", ["nowhere/outbox.db", "."])
def test_an_unusable_path_is_reported(tmp_path: Path, emitted: list[str], name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be used as an outbox file: unable to open database file"):
        OutboxFile(tmp_path / name, emitted.append)


def test_a_full_disk_is_reported_once_and_the_device_continues_in_memory(path: Path, emitted: list[str]) -> None:
    file = OutboxFile(path, emitted.append)
    [(_, outbox)] = begin(file, "a")
    outbox.put(a_reading(1))
    file._database.execute("PRAGMA max_page_count = 1")
    for seq in range(2, 102):
        outbox.put(a_reading(seq))
    assert outbox.waiting == 101
    assert [line for line in emitted if "cannot be written" in line] == [
        f"{path} cannot be written (database or disk is full); readings are kept only in memory meanwhile"
    ]
    assert 1 <= file.close() < 101
