"""Nellcor N-560, N-595, NPB-290: a line every two seconds in columns, below a header that is repeated. Pure.

    27-Nov-26 11:24:56   88*     131*   60    PH SL

and N-200: a record between STX and ETX, R rate, S saturation, P amplitude. Sources: manuals of N-560 and N-200, the
specification of the N-595 in OpenICE. A column that begins elsewhere than in the line before shows that a character is
lost or doubled, and the line is not used.
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


class _Columns:
    """Compares the columns of each line with those of the line before."""

    def __init__(self) -> None:
        self._before: tuple[tuple[int, int], ...] = ()

    def parse(self, line: str) -> Measurement | None:
        found = _LINE.fullmatch(line)
        if found is None:
            if _BEGIN.match(line):
                raise Damaged
            return None
        columns = tuple(found.span(number) for number in (7, 8, 9))
        before, self._before = self._before, columns
        if not all(
            now[0] == then[0] or now[1] == then[1] for now, then in zip(columns, before or columns, strict=True)
        ):
            raise Damaged
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
    return TextDecoder(_Columns().parse, from_start=from_start)


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
