"""Read times of HL7 v2 (type DTM, HL7 v2.6, 2.A.22), which may have no offset."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from vitals.local_time import InvalidTime, to_utc

# To the minute at least: a day or an hour is no time of measurement. Some senders write milliseconds without a point.
_TIME = re.compile(r"(\d{12})(?:(\d\d)(?:\.(\d{1,9})|(\d{3}))?)?([+-]\d\d:?\d\d)?", re.ASCII)
_ISO_8601 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)([.,]\d{1,9})?)?([+-]\d\d:?\d\d|Z)?", re.ASCII)
MAX_OFFSET = timedelta(hours=14)


def parse_time(text: str, zone: tzinfo, near: datetime | None = None) -> datetime:
    """Return the moment in UTC; raises InvalidTime.

    zone   for a time without an offset: that of MSH-7, else the site's
    near   the time of receipt. In the hour that the end of summer time repeats, the nearer of both moments is meant;
           without `near` such a time is refused
    """
    match = _match(text)
    if match is None:
        raise InvalidTime(f"{text[:40]!a} is no time to the minute, such as 20261127101500+0100")
    minute, second, fraction, milliseconds, offset = match.groups()
    try:
        leap = second == "60"  # a leap second is the next second, as on the wire
        year, month, day, hour, to_minute = int(minute[:4]), *(int(minute[at : at + 2]) for at in (4, 6, 8, 10))
        microsecond = int((fraction or milliseconds or "0").ljust(6, "0")[:6])
        to_second = 59 if leap else int(second or 0)
        moment = datetime(year, month, day, hour, to_minute, to_second, microsecond)  # noqa: DTZ001 - the zone follows
        utc = moment.replace(tzinfo=_fixed(offset)).astimezone(UTC) if offset else to_utc(moment, zone, near)
        return utc + timedelta(seconds=leap)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidTime):
            raise
        raise InvalidTime(f"{text[:40]!a} is no time of the calendar") from None


def parse_offset(text: str) -> tzinfo | None:
    """Return the offset of a time, None without one."""
    match = _match(text)
    try:
        return _fixed(match[5]) if match and match[5] else None
    except InvalidTime:
        return None


def _match(text: str) -> re.Match[str] | None:
    """Return the parts of a time, also of one that is written as in ISO 8601 or has Z for the offset."""
    text = text.strip()
    if iso := _ISO_8601.fullmatch(text):
        *moment, fraction, offset = (part or "" for part in iso.groups())
        text = "".join(moment) + fraction.replace(",", ".") + offset.replace(":", "")
    return _TIME.fullmatch(text[:-1] + "+0000" if text.endswith("Z") else text)


def _fixed(offset: str) -> tzinfo:
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    size = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or size > MAX_OFFSET:
        raise InvalidTime(f"{offset} is no offset from UTC")
    return timezone(-size if offset[0] == "-" else size)
