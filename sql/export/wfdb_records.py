"""Write records of WFDB, the format of PhysioNet: one sample a second of each sign.

A record holds one stay on one bed without a gap of more than an hour, in format 32 with a gain of 1,000: values are
exact to 0.001, times to the second. See https://wfdb.io/spec/ (header(5), signal(5)).
"""

import csv
import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from vitals.signs import SIGNS

RATE_HZ = 1
GAIN = 1000  # units of a sample in one unit of the sign
MAX_GAP_S = 3600
INVALID = -(2**31)  # a sample without a value, in format 32
LIST = "records.csv"

_Samples = list[int]
_pack = struct.Struct(f"<{len(SIGNS)}i").pack
_EMPTY = [INVALID] * len(SIGNS)


@dataclass(slots=True)
class _Record:
    """The record in progress. `pending` is the last second, which another reading may complete."""

    name: str
    owner: tuple[str, ...]
    start: datetime
    pending: _Samples
    length: int = 1
    initial: _Samples = field(default_factory=list)
    checksums: _Samples = field(default_factory=lambda: [0] * len(SIGNS))

    def take_pending(self, repeated: int = 1) -> bytes:
        """Return the bytes of the pending second."""
        self.initial = self.initial or self.pending
        self.checksums = [sum_ + value * repeated for sum_, value in zip(self.checksums, self.pending, strict=True)]
        return _pack(*self.pending) * repeated


class WfdbWriter:
    """Writes a header and a file of signals for each record, and a list of all."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._time = names.index("time")
        self._owner = [names.index(name) for name in ("ward", "device_id", "patient_id")]
        self._signs = [names.index(sign.key) for sign in SIGNS]
        self._record: _Record | None = None
        self._signals: IO[bytes] = io.BytesIO()
        self._done: list[tuple[str, ...]] = []
        self._replaced = 0

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""
        for row in csv.reader(map(bytes.decode, rows)):
            time = datetime.fromisoformat(row[self._time])
            owner = tuple(row[index] for index in self._owner)
            samples = [round(float(row[index]) * GAIN) if row[index] else INVALID for index in self._signs]
            self._add(time, owner, samples)

    def close(self) -> list[str]:
        """Complete the files; returns a sentence if a value was replaced."""
        self._end()
        with (self._folder / LIST).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("record", "ward", "device_id", "patient_id", "time", "samples"))
            table.writerows(self._done)
        (self._folder / "RECORDS").write_text("".join(f"{record[0]}\n" for record in self._done), encoding="ascii")
        if not self._replaced:
            return []
        return [f"{self._replaced:,} values are not in the records, because another one of the same second is"]

    def _add(self, time: datetime, owner: tuple[str, ...], samples: _Samples) -> None:
        record = self._record
        second = 0 if record is None else int((time - record.start).total_seconds()) * RATE_HZ
        if record is None or owner != record.owner or not 0 <= second - record.length + 1 <= MAX_GAP_S:
            self._end()
            self._begin(time, owner, samples)
        elif second == record.length - 1:
            for index, value in enumerate(samples):
                if value != INVALID:
                    self._replaced += record.pending[index] not in (INVALID, value)
                    record.pending[index] = value
        else:
            self._signals.write(record.take_pending())
            if missing := second - record.length:
                record.pending = _EMPTY
                self._signals.write(record.take_pending(missing))
            record.pending, record.length = samples, second + 1

    def _begin(self, time: datetime, owner: tuple[str, ...], samples: _Samples) -> None:
        name = f"r{len(self._done) + 1:06}"
        self._record = _Record(name, owner, time.replace(microsecond=0), samples)
        self._signals = (self._folder / f"{name}.dat").open("wb")

    def _end(self) -> None:
        record, self._record = self._record, None
        if record is None:
            return
        self._signals.write(record.take_pending())
        self._signals.flush()
        os.fsync(self._signals.fileno())
        self._signals.close()
        lines = [f"{record.name} {len(SIGNS)} {RATE_HZ} {record.length} {record.start:%H:%M:%S %d/%m/%Y}"]
        for sign, initial, checksum in zip(SIGNS, record.initial, record.checksums, strict=True):
            unit = sign.unit.replace("[", "").replace("]", "")
            signed = (checksum + 2**15) % 2**16 - 2**15
            lines.append(f"{record.name}.dat 32 {GAIN}(0)/{unit} 32 0 {initial} {signed} 0 {sign.key}")
        (self._folder / f"{record.name}.hea").write_text("\n".join(lines) + "\n", encoding="ascii")
        self._done.append((record.name, *record.owner, record.start.isoformat(), str(record.length)))
