"""Read a text file that is read several times, and that must not change in between."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitals.errors import PermanentError

_SAMPLE_BYTES = 65_536
_BUFFER_BYTES = 131_072
CODE_PAGES = ("cp1252", "cp1250", "cp1251", "cp1254", "gb18030", "cp932", "big5")
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0c")


class TextFile:
    """One file; raises PermanentError if it is missing, is not text, or changes between or during two readings.

    Encodings: UTF-8, UTF-16 with a byte order mark (Excel: Unicode text), else the first of CODE_PAGES, until the line
    of names shows another one (Excel: CSV). gzip is unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            # A pipe cannot be read twice: once to check, once to replay.
            raise PermanentError(f"{path} is not a file; expected a recording")
        self._state: tuple[int, ...] | None = None
        self._is_gzip = False
        with self._readable(), self._open() as file:
            self._is_gzip = file.peek(2)[:2] == b"\x1f\x8b"
        with self._readable(), self._open() as file:
            sample = file.read(_SAMPLE_BYTES)
        self.encoding = _encoding(path, sample)

    @contextmanager
    def text(self) -> Iterator[io.TextIOWrapper]:
        """Open the file as text whose line ends are kept."""
        with self._readable(), io.TextIOWrapper(self._open(), encoding=self.encoding, newline="") as file:
            yield file

    def _open(self) -> "io.BufferedReader[Any]":
        raw = io.BufferedReader(_UnchangedFile(self), _BUFFER_BYTES)
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES) if self._is_gzip else raw

    def check(self, descriptor: int) -> int:
        """Raise PermanentError if the open file is not as it was at first; return its size in bytes."""
        status = os.fstat(descriptor)
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        self._state = self._state or state
        if state != self._state:
            raise PermanentError(f"{self.path} changed while it was read; expected a complete file: copy it first")
        return status.st_size

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise PermanentError(f"{self.path} is damaged: {error}; expected a complete gzip file") from None
        except OSError as error:
            raise PermanentError(f"{self.path} cannot be read: {error.strerror}; expected a recording") from None
        except UnicodeDecodeError as error:
            raise PermanentError(
                f"{self.path} is not {error.encoding} text as a whole; expected one encoding"
            ) from None


class _UnchangedFile(io.RawIOBase):
    """The bytes of a file that does not change; what is appended later is not read."""

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._descriptor = os.open(file.path, os.O_RDONLY)
        try:
            self._left = file.check(self._descriptor)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.check(self._descriptor)
        chunk = os.read(self._descriptor, min(len(buffer), self._left))
        self._left -= len(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _encoding(path: Path, sample: bytes) -> str:
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if sample.startswith(b"PK\x03\x04"):
        raise PermanentError(f"{path} is a workbook or an archive; expected text: save the sheet as CSV")
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in set(sample)):
        raise PermanentError(f"{path} is not text; expected a recording as CSV, UTF-8 or UTF-16 with byte order mark")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return CODE_PAGES[0]
    return "utf-8-sig"
