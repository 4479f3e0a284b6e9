"""Divide the bytes of a port into lines of text, and the lines into measurements. Pure.

Reading a port begins anywhere in a line, so its first one is not used unless it is known to be whole. A line
that does not end is not kept.
"""

import re
from collections.abc import Callable

from edges.serial.measurement import Measurement

MAX_LINE = 4096  # bytes; a longer line is thrown away to its end
_END = re.compile(rb"[\r\n]")
_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_LEADING_NOISE = re.compile(rb"^[^\x20-\x7e\t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Damaged(ValueError):
    """A line that is not whole."""


class Lines:
    """Divides bytes into lines; bytes before the first printable character of a line are noise.

    from_start   whether the bytes begin with a line, as those of a file may
    """

    def __init__(self, *, from_start: bool) -> None:
        self.noise = 0
        self._rest = b""
        self._skipping = not from_start

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete, without their ends."""
        *ended, rest = _END.split(self._rest + data)
        lines = []
        for line in ended:
            if self._skipping or len(line) > MAX_LINE:
                self._skipping = False
                self.noise += len(line)
            else:
                lines.append(self._clean(line))
        if self._skipping or len(rest) > MAX_LINE:
            self._skipping = True
            self.noise += len(rest)
            rest = b""
        self._rest = rest
        return [line for line in lines if line]

    def _clean(self, line: bytes) -> str:
        text = _LEADING_NOISE.sub(b"", _ANSI.sub(b"", line))
        self.noise += len(line) - len(text)
        return text.decode("utf-8", "surrogateescape")


class TextDecoder:
    """A decoder of lines that each are a moment.

    parse   returns the measurement of a line, None for a line without one; raises Damaged
    """

    def __init__(self, parse: Callable[[str], Measurement | None], *, from_start: bool = False) -> None:
        self.damaged = 0
        self._lines = Lines(from_start=from_start)
        self._parse = parse

    @property
    def noise(self) -> int:
        """Bytes outside of lines."""
        return self._lines.noise

    def feed(self, data: bytes) -> list[Measurement]:
        """Return the measurements of the lines that are complete with these bytes."""
        found = []
        for line in self._lines.feed(data):
            try:
                measurement = self._parse(line)
            except Damaged:
                self.damaged += 1
                continue
            if measurement is not None:
                found.append(measurement)
        return found

    def flush(self) -> list[Measurement]:
        """Return nothing: each line is complete by itself."""
        return []


def is_text(line: str) -> bool:
    """Whether a line holds no control character and nothing that is not UTF-8."""
    return _CONTROL.search(line) is None


def digits(text: str) -> float | None:
    """Return the number of a field of a fixed width; None where it shows no value (---)."""
    return None if text.startswith("-") else float(text)
