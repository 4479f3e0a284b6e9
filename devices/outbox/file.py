"""An outbox that outlives its process: what the devices of one process owe, in one SQLite file (`--outbox PATH`).

Each reading is written before it is published and struck out by its receipt, so a kill -9 of the process costs
nothing: the next start finds what was unsent or unconfirmed and sends it, under its own boot and seq. That costs
20 us of processor time a reading, and 300 bytes of file for each one owed (CPython 3.11, 2.6 GHz). The file is not
forced to the disk with every reading: a power cut may cost the last moments, but leaves the file whole.

A file that cannot be written any more (a full disk) does not stop a bedside monitor: it goes on in memory and says so.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from devices.outbox.db import Emit, open_database
from devices.outbox.unconfirmed import ReadingId
from devices.source import Source
from vitals.codec import encode
from vitals.errors import PermanentError
from vitals.log import Throttle
from vitals.reading import FullReading, Reading, reading
from vitals.receipt import ranges

_decode = msgspec.json.Decoder(FullReading).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Start:
    """How a device begins with a file behind it: its source under a boot of its own, and what it still owes."""

    source: Source
    journal: "DeviceJournal"
    receipts: bool
    pending: list[Reading]


class OutboxFile:
    """The file of one process. Raises PermanentError with a sentence where it cannot be used; see `outbox_opening`."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self.path = path
        self._emit = emit
        self._throttle = Throttle()
        self._database = open_database(path, emit)

    def begin(self, sources: Sequence[Source]) -> list[Start]:
        """Enter the devices of this run, and read what earlier ones left.

        A device's boot is later than that of any run before, also within one second or after a clock was set back:
        no two readings have one name.
        """
        try:
            with self._writing():
                starts = [self._start(source) for source in sources]
        except sqlite3.Error as error:
            raise PermanentError(f"{self.path} cannot be used as an outbox file: {error}") from None
        running = sum(len(start.pending) for start in starts)
        if running:
            self._emit(f"{running} readings of earlier runs are in {self.path} and will be sent first")
        if self.count() > running:
            self._emit(f"{self.count() - running} readings stay in {self.path}: of devices that are not started now")
        return starts

    def _start(self, source: Source) -> Start:
        ask = self._database.execute
        (last,) = ask("SELECT max(boot) FROM device WHERE device = ?", [source.device]).fetchone()
        boot = source.boot if last is None else max(source.boot, last + 1)
        number, receipts = ask(
            "INSERT INTO device (ward, device, boot) VALUES (?, ?, ?)"
            " ON CONFLICT (ward, device) DO UPDATE SET boot = excluded.boot RETURNING number, receipts",
            [source.ward, source.device, boot],
        ).fetchone()
        pending, unreadable = [], 0
        for row in ask("SELECT boot, seq, payload FROM reading WHERE device = ? ORDER BY boot, seq", [number]):
            try:
                pending.append(_reading(*row))
            except (ValueError, TypeError, KeyError):  # also what msgspec raises
                unreadable += 1
        if unreadable:
            what = "1 reading" if unreadable == 1 else f"{unreadable} readings"
            they = "stays" if unreadable == 1 else "stay"
            self._emit(f"{what} of {source.device} in {self.path} cannot be read and {they} there")
        return Start(replace(source, boot=boot), DeviceJournal(self, number), bool(receipts), pending)

    def count(self) -> int:
        """Readings in the file."""
        return int(self._database.execute("SELECT count(*) FROM reading").fetchone()[0])

    def write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement for each row, all or none of them. Trouble is told and does not raise."""
        try:
            if len(rows) == 1:  # a transaction by itself
                self._database.execute(statement, rows[0])
                return
            with self._writing():
                self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            if self._throttle.due(monotonic()):
                self._emit(f"{self.path} cannot be written ({error}); readings are kept in memory only meanwhile")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def close(self) -> int:
        """Close the file; returns how many readings stay in it."""
        left = self.count()
        with suppress(sqlite3.Error):  # a full disk: what is written so far is whole
            self._database.close()
        return left


class DeviceJournal:
    """One device's part of the file; what an `outbox` calls a journal."""

    def __init__(self, file: OutboxFile, number: int) -> None:
        self._write: Callable[[str, Sequence[Sequence[object]]], None] = file.write
        self._number = number

    def keep(self, readings: Sequence[Reading]) -> None:
        """Write readings down."""
        rows = [(self._number, reading.boot, reading.seq, encode(reading)) for reading in readings]
        self._write("INSERT OR REPLACE INTO reading (device, boot, seq, payload) VALUES (?, ?, ?, ?)", rows)

    def forget(self, names: Sequence[ReadingId]) -> None:
        """Strike readings out."""
        rows = [
            (self._number, boot, first, last)
            for boot in {boot for boot, _ in names}
            for first, last in ranges(seq for its_boot, seq in names if its_boot == boot)
        ]
        self._write("DELETE FROM reading WHERE device = ? AND boot = ? AND seq BETWEEN ? AND ?", rows)

    def receipts_seen(self) -> None:
        """Note that this device's readings are confirmed by receipts."""
        self._write("UPDATE device SET receipts = 1 WHERE number = ?", [(self._number,)])


def _reading(boot: int, seq: int, payload: bytes) -> Reading:
    """A reading as it was written down. Whether a value is plausible is not for us to judge."""
    with suppress(msgspec.ValidationError):
        known: Reading = _decode(payload)
        if (known.boot, known.seq) == (boot, seq):
            return known
    fields = _decode_any(payload) | {"boot": boot, "seq": seq}
    time = datetime.fromisoformat(fields.pop("time"))
    return reading(time, {}, **fields | {"sensor_off": tuple(fields.get("sensor_off", ()))})
