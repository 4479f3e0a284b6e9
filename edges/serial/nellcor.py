"""Nellcor N-560, N-595, NPB-290: a line every two seconds in columns, below a header that is repeated. Pure.

    27-Nov-26 11:24:56   88*     131*   60    PH SL

and N-200: a record between STX and ETX, R rate, S saturation, P amplitude. Sources: manuals of N-560 and N-200, the
specification of the N-595 in OpenICE. A column that begins elsewhere than in the line before shows that a character is
lost or doubled, and the line is not used. The first line waits for a second one that agrees.
"""

import re
from datetime import datetime

from edges.serial.measurement import Measurement, measured, off, without_value
from edges.serial.text import Damaged, TextDecoder, digits

_LINE = re.compile(
    r"(\d\d)-([A-Za-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d)\s+"
    r"(---|\d{1,3})\*?\s+(---|\d{1,3})\*?\s+(---|\d{1,3})\*?((?:\s+[A-Z]{2})*)\s*"
)
_BEGIN = re.compile(r"\d\d?-\w{1,4}-\d\d?")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # whatever the locale
_OFF = {"SD", "SO"}  # sensor disconnect, sensor off
_NO_VALUE = {"PS": "it searches the pulse", "LP": "the pulse is lost"}
_STATUSES = frozenset(("AO", "AS", "LB", "LM", "LP", "MO", "PH", "PL", "PS", "SH", "SL", "SD", "SO"))

_N200 = re.compile(r"R(\d{3})S(\d{3})P(\d{3})(?:\D.*)?")


class _NellcorDecoder(TextDecoder):
    """Compares the columns of each line with those of the line before."""

    def __init__(self, *, from_start: bool) -> None:
        super().__init__(self._compare, from_start=from_start)
        self._is_file = from_start
        self._before: tuple[tuple[int, int], ...] = ()
        self._aligned_at: int | None = None  # 0: at the begin of a column, 1: at its end; None: not known yet
        self._first: Measurement | None = None
        self._agreed: Measurement | None = None

    def feed(self, data: bytes) -> list[Measurement]:
        """Return the measurements of the lines that are complete with these bytes."""
        found = super().feed(data)
        agreed, self._agreed = self._agreed, None
        return found if agreed is None else [agreed, *found]

    def flush(self) -> list[Measurement]:
        """Return the only line of a file; that of a port waits for the next one."""
        first, self._first = (self._first if self._is_file else None), None
        return [] if first is None else [first]

    def _compare(self, line: str) -> Measurement | None:
        is_first, first = not self._before, self._first
        try:
            found = self._parse_line(line)
        except Damaged:
            self.damaged += first is not None  # one of the two is
            self._first = None
            raise
        if found is None:
            return None
        if is_first:
            self._first = found
            return None
        if first is not None:
            self._agreed, self._first = first, None
        return found

    def _parse_line(self, line: str) -> Measurement | None:
        found = _LINE.fullmatch(line)
        if found is None:
            if _BEGIN.match(line):
                raise Damaged
            return None
        columns = tuple(found.span(number) for number in (7, 8, 9))
        before, self._before = self._before or columns, columns
        same = [
            at
            for at in (0, 1)
            if all(now[at] == then[at] for now, then in zip(columns, before, strict=True))
            and self._aligned_at in (None, at)
        ]
        if not same:
            raise Damaged
        if len(same) == 1:
            [self._aligned_at] = same
        statuses = set(found[10].split())
        if not statuses <= _STATUSES:
            raise Damaged
        try:
            day, month, year = int(found[1]), MONTHS.index(found[2].title()) + 1, 2000 + int(found[3])
            clock = datetime(year, month, day, int(found[4]), int(found[5]), int(found[6]))  # noqa: DTZ001  no zone
        except ValueError:
            raise Damaged from None
        if statuses & _OFF:
            return off(clock)
        for status, reason in _NO_VALUE.items():
            if status in statuses:
                return without_value(reason, clock)
        return measured({"heart_rate": digits(found[8]), "spo2": digits(found[7])}, clock)


def decoder(*, from_start: bool = False) -> TextDecoder:
    """Return a decoder of the lines of N-560 and its kin."""
    return _NellcorDecoder(from_start=from_start)


def n200_decoder(*, from_start: bool = False) -> TextDecoder:
    """Return a decoder of the records of the N-200."""
    return TextDecoder(_parse_n200, from_start=from_start)


def _parse_n200(line: str) -> Measurement | None:
    found = _N200.fullmatch(line)
    if found is None:
        if "S" in line and line.startswith("R"):
            raise Damaged
        return None
    return measured({"heart_rate": float(found[1]), "spo2": float(found[2])})
