"""Read the times of senders: a text in the forms of ISO 8601, or a number since 1970. A day is no time. Pure."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from vitals.local_time import InvalidTime, to_utc

MAX_OFFSET = timedelta(hours=14)
_MAX_TEXT = 60
_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: ?([AP])\.?M\.?)? ?(Z|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII | re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,9})?", re.ASCII)
_SPACES = str.maketrans(dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}", " "))


def parse_text(value: object, zone: tzinfo | None = None, near: datetime | None = None) -> datetime:
    """Return the moment of a text such as 2026-11-27 08:15:03 +0100, in UTC; raises InvalidTime.

    A leap second is the next second, as on the wire.

    zone   of a text without an offset; None: such a text is no time
    near   the time of receipt: of two moments that a local time can mean when summer time begins or ends, the one
           nearer to it is meant
    """
    text = value.translate(_SPACES).strip() if isinstance(value, str) else ""
    match = _TEXT.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None or (match[9] is None and zone is None):
        stated = "with an offset, such as" if zone is None else "such as"
        raise InvalidTime(f"{value!a:.42} is no time {stated} 2026-11-27T10:15:00+01:00")
    *numbers, fraction, half, offset = match.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    try:
        if half:
            if not 1 <= hour <= 12:
                raise ValueError
            hour = hour % 12 + (12 if half.upper() == "P" else 0)
        leap = second == 60
        microsecond = int((fraction or "0")[:6].ljust(6, "0"))
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, microsecond)  # noqa: DTZ001 - the zone follows
        if offset is None:
            assert zone is not None
            utc = to_utc(moment, zone, near, live=True)
        else:
            utc = moment.replace(tzinfo=parse_offset(offset)).astimezone(UTC)
        return utc + timedelta(seconds=leap)
    except InvalidTime:
        raise
    except (ValueError, OverflowError):
        raise InvalidTime(f"{value!a:.42} is no time of the calendar") from None


def parse_offset(text: str) -> timezone:
    """Return the zone of an offset such as +01:00, +0100, Z or UTC; raises InvalidTime."""
    if text.upper() in ("Z", "UTC"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    size = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or size > MAX_OFFSET:
        raise InvalidTime(f"{text} is no offset from UTC")
    return timezone(-size if text[0] == "-" else size)


def parse_number(value: object, per_second: int = 1) -> datetime:
    """Return the moment of a number since 1970; raises InvalidTime.

    per_second   its unit: a number in another one is centuries away, and refused
    """
    number: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value) if "." in value else int(value)
    if number is not None and 1_000_000_000 <= number / per_second < 4_000_000_000:
        whole, rest = divmod(number, per_second)
        return datetime.fromtimestamp(int(whole), UTC) + timedelta(microseconds=int(rest * 10**6 // per_second))
    raise InvalidTime(f"{value!a:.40} is no time of the years 2001 to 2096 in 1/{per_second} s since 1970")
