"""The rule on times after the receipt, one for all kinds of senders. Pure."""

from datetime import datetime

from vitals.codec import MAX_AHEAD


def find_time_ahead(time: datetime, received: datetime, stated: str = "") -> str:
    """Return why a time cannot be that of a value, in one sentence; empty: it can.

    stated   the time in the sender's words; default: in ISO 8601
    """
    if time <= received + MAX_AHEAD:
        return ""
    return f"{stated or time.isoformat()} is after the time of receipt; the sender's clock or the zone is wrong"
