"""Read the times of rows: moments with or without offset, and elapsed times."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vitals.local_time import InvalidTime, to_utc
from vitals.recording.cells import NUMBER, DecimalMark, InvalidCell
from vitals.recording.layouts import DateOrder

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_AND_TIME = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})"  # 1, 3, 4: year, month and day in some order
    r"(?:\s*T\s*|\s*,\s*|\s+-\s+|\s+)"
    r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:\s*([ap])\.?\s?m\.?)?"
    r"(?:\s*(z|utc|gmt|(?:utc|gmt)?[+-]\d\d:?\d\d))?",
    re.ASCII | re.IGNORECASE,
)
# With the name of the month the order is known.
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_NAMED_MONTH = re.compile(  # November begins in Finnish as March does in English
    rf"(?:(\d{{1,2}})[\s-]+(?!marras)({'|'.join(_MONTHS)})[a-z]*|(?!marras)({'|'.join(_MONTHS)})[a-z]*\s+(\d{{1,2}}))"
    r"[\s,-]+(\d{4})\b",
    re.ASCII | re.IGNORECASE,
)
_CLOCK_FIRST = re.compile(  # brackets: rdsamp
    r"\[?(\d{1,2}:\d\d:\d\d(?:\.\d{1,9})?(?:\s*[ap]m)?),?\s+([^\]]*\d{4})\]?", re.ASCII | re.IGNORECASE
)
_SINCE_1970_WITH_FRACTION = re.compile(r"(\d{10})\.(\d{1,9})", re.ASCII)
_EAST_ASIAN = str.maketrans({"年": "-", "月": "-", "日": " ", "时": ":", "時": ":", "分": ":", "秒": ""})
_ZONE = re.compile(r"z|utc|gmt|(?:utc|gmt)?[+-](?:0\d|1[0-4]):?[0-5]\d", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d)(?:[.,](\d{1,9}))?", re.ASCII)
_MINUTES_AND_SECONDS = re.compile(r"(\d{1,2}):([0-5]\d)\.(\d{1,9})", re.ASCII)  # rdsamp; the fraction shows the seconds
_EXAMPLE = "a date and a time with an offset, like 2026-11-22T10:00:00Z"
_MAX_NEAR = timedelta(minutes=30)
# Digits of a whole number -> parts of a second since 1970, from 2001 to 2286.
_DATE_AND_HOUR = re.compile(r"20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])", re.ASCII)  # in 2033 to 2036
_SINCE_1970 = {10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}


class InstantReader:
    """Read moments; raises InvalidCell.

    zone    of times without an offset
    order   of day and month, which is never guessed
    """

    def __init__(self, zone: tzinfo | None, order: DateOrder | None) -> None:
        self._zone, self._order = zone, order
        self._previous: datetime | None = None

    def read(self, text: str) -> datetime:
        """Return the moment in UTC or with the offset in the text."""
        moment = self._read(text)
        self._previous = moment
        return moment

    def _read(self, text: str) -> datetime:
        if len(text) >= 16 and text[4] == "-" and text[10] in "T ":
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                pass
            else:
                return moment if moment.tzinfo else self._local(moment, text)
        if text.isascii() and text.isdigit() and len(text) in _SINCE_1970 and not _DATE_AND_HOUR.fullmatch(text):
            parts = _SINCE_1970[len(text)]
            seconds, rest = divmod(int(text), parts)
            return _EPOCH + timedelta(seconds=seconds, microseconds=rest * 1_000_000 // parts)
        if match := _SINCE_1970_WITH_FRACTION.fullmatch(text):
            return _EPOCH + timedelta(seconds=int(match[1]), microseconds=int(match[2].ljust(6, "0")[:6]))
        match = _DATE_AND_TIME.fullmatch(_with_numbers(text))
        if match is None:
            raise InvalidCell(f"has {text[:100]!r} for its time", _expected(text))
        first, _, second, third, hour, minute, second_of, fraction, half, offset = match.groups()
        year, month, day = self._date(text, first, second, third)
        hours = int(hour)
        if half:
            if not 1 <= hours <= 12:
                raise InvalidCell(f"has {text[:100]!r} for its time", "an hour from 1 to 12 before AM or PM")
            hours = hours % 12 + (12 if half in "pP" else 0)
        try:
            moment = datetime(  # noqa: DTZ001 - the zone follows
                year, month, day, hours, int(minute), int(second_of or 0), int((fraction or "0").ljust(6, "0")[:6])
            )
            return moment.replace(tzinfo=_offset(offset)) if offset else self._local(moment, text)
        except (ValueError, OverflowError) as error:
            if isinstance(error, InvalidCell):
                raise
            raise InvalidCell(f"has {text[:100]!r} for its time", f"a time of the calendar{self._as_order()}") from None

    def _date(self, text: str, first: str, second: str, third: str) -> tuple[int, int, int]:
        if len(first) == 4 and len(third) <= 2:
            return int(first), int(second), int(third)
        if len(third) != 4 or len(first) > 2:
            raise InvalidCell(f"has {text[:100]!r} for its time", "a year of four digits")
        if self._order is None:
            raise InvalidCell(
                f"has {text[:100]!r} for its time",
                "the order of day and month to be given: --date-order dmy or --date-order mdy",
            )
        day, month = (first, second) if self._order is DateOrder.DMY else (second, first)
        return int(third), int(month), int(day)

    def _as_order(self) -> str:
        return f" in the order {self._order.value}" if self._order else ""

    def _local(self, moment: datetime, text: str) -> datetime:
        if self._zone is None:
            raise InvalidCell(
                f"has the time {text[:100]!r} without an offset", "an offset, like Z, or --zone Europe/Berlin"
            )
        near = self._previous
        try:
            found = to_utc(moment, self._zone, near)
        except InvalidTime as error:
            raise InvalidCell(f"has the time {text[:100]!r}", f"a moment; {error}") from None
        except OverflowError:
            raise InvalidCell(f"has the time {text[:100]!r}", "a time of the calendar") from None
        if near is not None and abs(found - near) > _MAX_NEAR:
            try:
                return to_utc(moment, self._zone)  # no row close to it shows which of two moments is meant
            except InvalidTime as error:
                raise InvalidCell(f"has the time {text[:100]!r}", f"a moment; {error}") from None
        return found


def parse_zone(text: str) -> tzinfo:
    """Return the zone of a text such as Europe/Berlin, UTC+0100 or -05:00; raises InvalidCell."""
    if _ZONE.fullmatch(text):
        return _offset(text)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidCell(f"has the zone {text[:100]!r}", "one such as Europe/Berlin or +01:00") from None


def read_elapsed(text: str, *, unit_s: float, mark: DecimalMark) -> float:
    """Return the seconds of an elapsed time: a number in a unit of `unit_s` seconds, h:mm:ss or m:ss.f."""
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds, fraction = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}")
    if match := _MINUTES_AND_SECONDS.fullmatch(text):
        return int(match[1]) * 60 + float(f"{match[2]}.{match[3]}")
    value = mark.number(text)
    if value is None:
        unit = "seconds" if unit_s == 1 else f"times of {unit_s:g} s"
        raise InvalidCell(f"has {text[:100]!r} for its time", f"a number of {unit}")
    if unit_s >= 1 and 1e11 <= abs(value) < 1e14:  # about 1973 to 5138 as milliseconds since 1970
        raise InvalidCell(f"has {text[:100]!r} for its time, which looks like milliseconds", "seconds: divide by 1000")
    return value * unit_s


def _with_numbers(text: str) -> str:
    """Return a time with the date first, and year, month and day as numbers if the month has a name."""
    if match := _CLOCK_FIRST.fullmatch(text):
        text = f"{match[2]} {match[1]}"
    if "年" in text:
        text = text.translate(_EAST_ASIAN).rstrip(":")
    match = _NAMED_MONTH.match(text)
    if match is None:
        return text
    day, month = (match[1], match[2]) if match[1] else (match[4], match[3])
    return f"{match[5]}-{_MONTHS[month.casefold()]}-{day}{text[match.end() :]}"


def _offset(text: str) -> tzinfo:
    if text[0] not in "+-" and len(text) <= 3:
        return UTC
    sign, digits = text[-6 if ":" in text else -5], re.sub(r"\D", "", text)
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-size if sign == "-" else size)


def _expected(text: str) -> str:
    if NUMBER.fullmatch(text):
        return f"{_EXAMPLE}, or whole seconds since 1970; for seconds since the start, name the column 'seconds'"
    if _CLOCK.fullmatch(text):
        return f"{_EXAMPLE}; for times since the start, name the column 'elapsed_s'"
    return _EXAMPLE
