"""The file of readings: CSV as the database sends it, or Parquet (`parquet`)."""

from collections.abc import Sequence
from enum import StrEnum
from typing import IO, Protocol

from vitals.errors import PermanentError


class Format(StrEnum):
    """Supported formats."""

    CSV = "csv"
    PARQUET = "parquet"


class Writer(Protocol):
    """Writes lines of CSV to a file."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""

    def close(self) -> None:
        """Complete the file, which stays open."""


class CsvWriter:
    """Writes the lines below a line of names."""

    def __init__(self, file: IO[bytes], names: Sequence[str]) -> None:
        self._file = file
        file.write(",".join(names).encode() + b"\n")

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""
        self._file.write(b"".join(rows))

    def close(self) -> None:
        """Complete the file, which stays open."""


def writer_of(format: Format, file: IO[bytes], names: Sequence[str]) -> Writer:
    """Return the writer of a format; raises PermanentError if its library is missing."""
    if format is Format.CSV:
        return CsvWriter(file, names)
    try:
        from sql.export.parquet import ParquetWriter
    except ModuleNotFoundError as error:
        raise PermanentError(
            f'Parquet needs {error.name}, the optional extra "export": pip install -e ".[export]"'
        ) from None
    return ParquetWriter(file, names)
