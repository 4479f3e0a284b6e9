"""The files of readings: CSV as the database sends it, Parquet (`parquet`) or records of WFDB (`wfdb_records`)."""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Protocol

from sql.export.wfdb_records import WfdbWriter
from vitals.errors import PermanentError


class Format(StrEnum):
    """Supported formats."""

    CSV = "csv"
    PARQUET = "parquet"
    WFDB = "wfdb"


class Writer(Protocol):
    """Writes lines of CSV to files in a folder."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""

    def close(self) -> list[str]:
        """Complete the files; returns sentences about what the format cannot hold."""


class CsvWriter:
    """Writes the lines below a line of names."""

    def __init__(self, file: IO[bytes], names: Sequence[str]) -> None:
        self._file = file
        file.write(",".join(names).encode() + b"\n")

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""
        self._file.write(b"".join(rows))

    def close(self) -> list[str]:
        """Complete the file."""
        _sync(self._file)
        return []


class ParquetFile:
    """A file of Parquet; raises PermanentError if its library is missing."""

    def __init__(self, file: IO[bytes], names: Sequence[str]) -> None:
        try:
            from sql.export.parquet import ParquetWriter
        except ModuleNotFoundError as error:
            raise PermanentError(
                f'Parquet needs {error.name}, the optional extra "export": pip install -e ".[export]"'
            ) from None
        self._file = file
        self._writer = ParquetWriter(file, names)
        self.write = self._writer.write

    def close(self) -> list[str]:
        """Complete the file."""
        self._writer.close()
        _sync(self._file)
        return []


def writer_of(format: Format, folder: Path, names: Sequence[str]) -> Writer:
    """Return the writer of a format."""
    if format is Format.WFDB:
        return WfdbWriter(folder, names)
    file = (folder / f"readings.{format}").open("wb")
    return CsvWriter(file, names) if format is Format.CSV else ParquetFile(file, names)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
