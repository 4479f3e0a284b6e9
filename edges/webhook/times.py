"""Read the times of webhooks: a text with an offset, or seconds since 1970. A day is no time. Pure."""

import re
from datetime import UTC, datetime, timedelta, timezone

_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: ?([AP])\.?M\.?)? ?(Z|[+-]\d\d:?\d\d)",
    re.ASCII | re.IGNORECASE,
)
_SPACES = str.maketrans(dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}", " "))
MAX_TEXT = 60


class NoTime(ValueError):
    """There is no time; the text is one sentence."""


def parse_text(value: object) -> datetime:
    """Return the moment of a text such as 2026-11-27 08:15:03 +0100, in UTC; raises NoTime."""
    text = value.translate(_SPACES).strip() if isinstance(value, str) else ""
    match = _TEXT.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise NoTime(f"{value!a:.42} is no time with an offset, such as 2026-11-27T10:15:00+01:00")
    year, month, day, hour, minute, second, fraction, half, offset = match.groups()
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            raise NoTime(f"{value!a:.42} is no time of the clock")
        hours = hours % 12 + (12 if half.upper() == "P" else 0)
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            hours,
            int(minute),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(offset),
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NoTime(f"{value!a:.42} is no time of the calendar") from None


def parse_seconds(value: object, offset_s: object = 0) -> datetime:
    """Return the moment of seconds since 1970, and seconds after it; raises NoTime."""
    numbers = [_whole(value), _whole(offset_s)]
    if None in numbers:
        raise NoTime(f"{value!a:.42} and {offset_s!a:.42} are no seconds")
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=sum(number or 0 for number in numbers))
    except OverflowError:
        raise NoTime(f"{value!a:.42} is no time of the calendar") from None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _zone(text: str) -> timezone:
    if text in ("Z", "z"):
        return UTC
    digits = text[1:].replace(":", "")
    if int(digits[2:]) > 59:
        raise ValueError(text)
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(offset if text[0] == "+" else -offset)
