"""Read times of HL7 v2 (type DTM, HL7 v2.6, 2.A.22), which may have no offset, also those written as in ISO 8601."""

import re
from datetime import datetime, tzinfo

from edges.observations import times
from vitals.local_time import InvalidTime

# To the minute at least: a day or an hour is no time of measurement. Some senders write milliseconds without a point.
_DTM = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:\.(\d{1,9})|(\d{3}))?)?([+-]\d\d:?\d\d|Z)?", re.ASCII | re.IGNORECASE
)
_OFFSET = re.compile(r".*\d\d([+-]\d\d:?\d\d|Z)", re.ASCII | re.IGNORECASE)


def parse_time(text: str, zone: tzinfo, near: datetime | None = None) -> datetime:
    """Return the moment in UTC; raises InvalidTime.

    zone   for a time without an offset: that of MSH-7, else the site's
    near   the time of receipt: of two moments that a time can mean when summer time begins or ends, the nearer one is
           meant; without `near` such a time is refused
    """
    text = text.strip()
    if match := _DTM.fullmatch(text):
        year, month, day, hour, minute, second, fraction, milliseconds, offset = (part or "" for part in match.groups())
        text = f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}.{fraction or milliseconds or '0'}{offset}"
    elif not re.match(r"\d{4}-", text):
        raise InvalidTime(f"{text[:40]!a} is no time to the minute, such as 20261127101500+0100")
    return times.parse_text(text, zone, near)


def parse_offset(text: str) -> tzinfo | None:
    """Return the offset of a time, None without one."""
    match = _OFFSET.fullmatch(text.strip())
    try:
        return times.parse_offset(match[1]) if match else None
    except InvalidTime:
        return None
