"""An outbox on disk: the unconfirmed readings of all devices of one process in one SQLite file (`--outbox PATH`).

Each reading is written before it is published and deleted by its receipt, so `kill -9` loses nothing: the next start
sends what was unsent or unconfirmed, with its original boot and seq. This costs 20 us of processor time per reading and
300 bytes of file per unconfirmed reading (CPython 3.11, 2.6 GHz). The file is not synced with every reading: a power
failure may lose the last moments, but does not damage the file.

If the file cannot be written any more (disk full), the devices go on with readings in memory only, and report it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from devices.outbox.db import OUTBOX
from devices.outbox.unconfirmed import ReadingId
from devices.source import Source
from vitals.codec import encode
from vitals.errors import PermanentError
from vitals.log import Throttle
from vitals.reading import FullReading, Reading, reading
from vitals.receipt import ranges
from vitals.sqlite_file import Emit, open_file, transaction

_decode = msgspec.json.Decoder(FullReading).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a device with an outbox file: its source with a new boot, and the readings of earlier runs."""

    source: Source
    journal: "DeviceJournal"
    receipts: bool
    pending: list[Reading]


class OutboxFile:
    """The file of one process. Raises PermanentError if it cannot be used (see `vitals.sqlite_file`)."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self.path = path
        self._emit = emit
        self._throttle = Throttle()
        self._database = open_file(OUTBOX, path, emit)

    def begin(self, sources: Sequence[Source]) -> list[Start]:
        """Register the devices of this run and read what earlier runs left.

        A device's boot is greater than in any earlier run, even within the same second or after the clock was set back,
        so that boot and seq stay unique.
        """
        try:
            with transaction(self._database):
                starts = [self._start(source) for source in sources]
        except sqlite3.Error as error:
            raise PermanentError(f"{self.path} cannot be used as an outbox file: {error}") from None
        restored = sum(len(start.pending) for start in starts)
        if restored:
            self._emit(f"{restored} readings of earlier runs are in {self.path} and will be sent first")
        if self.count() > restored:
            self._emit(f"{self.count() - restored} readings stay in {self.path}: their devices are not started now")
        return starts

    def _start(self, source: Source) -> Start:
        execute = self._database.execute
        (last,) = execute("SELECT max(boot) FROM device WHERE device = ?", [source.device]).fetchone()
        boot = source.boot if last is None else max(source.boot, last + 1)
        number, receipts = execute(
            "INSERT INTO device (ward, device, boot) VALUES (?, ?, ?)"
            " ON CONFLICT (ward, device) DO UPDATE SET boot = excluded.boot RETURNING number, receipts",
            [source.ward, source.device, boot],
        ).fetchone()
        pending, unreadable = [], 0
        for row in execute("SELECT boot, seq, payload FROM reading WHERE device = ? ORDER BY boot, seq", [number]):
            try:
                pending.append(_reading(*row))
            except (ValueError, TypeError, KeyError):  # including what msgspec raises
                unreadable += 1
        if unreadable:
            readings = "1 reading" if unreadable == 1 else f"{unreadable} readings"
            self._emit(f"{self.path}: {readings} of {source.device} cannot be read; the file keeps them")
        return Start(replace(source, boot=boot), DeviceJournal(self, number), bool(receipts), pending)

    def count(self) -> int:
        """Return the number of readings in the file."""
        return int(self._database.execute("SELECT count(*) FROM reading").fetchone()[0])

    def write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement for each row in one transaction. An error is reported and does not raise."""
        try:
            if len(rows) == 1:  # one statement is a transaction
                self._database.execute(statement, rows[0])
                return
            with transaction(self._database):
                self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            if self._throttle.due(monotonic()):
                self._emit(f"{self.path} cannot be written ({error}); readings are kept only in memory meanwhile")

    def close(self) -> int:
        """Close the file; return how many readings it holds."""
        left = self.count()
        with suppress(sqlite3.Error):  # disk full; what is committed stays intact
            self._database.close()
        return left


class DeviceJournal:
    """The journal of one device's outbox, in the file."""

    def __init__(self, file: OutboxFile, number: int) -> None:
        self._write: Callable[[str, Sequence[Sequence[object]]], None] = file.write
        self._number = number

    def keep(self, readings: Sequence[Reading]) -> None:
        """Store readings."""
        rows = [(self._number, reading.boot, reading.seq, encode(reading)) for reading in readings]
        self._write("INSERT OR REPLACE INTO reading (device, boot, seq, payload) VALUES (?, ?, ?, ?)", rows)

    def forget(self, keys: Sequence[ReadingId]) -> None:
        """Delete readings."""
        rows = [
            (self._number, boot, first, last)
            for boot in {boot for boot, _ in keys}
            for first, last in ranges(seq for other, seq in keys if other == boot)
        ]
        self._write("DELETE FROM reading WHERE device = ? AND boot = ? AND seq BETWEEN ? AND ?", rows)

    def receipts_seen(self) -> None:
        """Record that receipts are in use for this device."""
        self._write("UPDATE device SET receipts = 1 WHERE number = ?", [(self._number,)])


def _reading(boot: int, seq: int, payload: bytes) -> Reading:
    """Decode a stored reading. Plausibility is not checked: that is up to ingest."""
    with suppress(msgspec.ValidationError):
        known: Reading = _decode(payload)
        if (known.boot, known.seq) == (boot, seq):
            return known
    fields = _decode_any(payload) | {"boot": boot, "seq": seq}
    time = datetime.fromisoformat(fields.pop("time"))
    return reading(time, {}, **fields | {"sensor_off": tuple(fields.get("sensor_off", ()))})
