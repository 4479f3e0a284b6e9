"""Parse times given on the command line. Pure."""

from datetime import UTC, datetime

from vitals.errors import PermanentError

TIME_FORMS = "a day of UTC like 2026-11-22, or a time with its offset like 2026-11-22T10:00Z"


def parse_time_option(option: str, text: str) -> datetime:
    """Return the time that an option states; a day begins at midnight UTC. Raises PermanentError for another form."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is not None and time.tzinfo is None and len(text) == len("2026-11-22"):
        return time.replace(tzinfo=UTC)
    if time is None or time.tzinfo is None:
        raise PermanentError(f"{option} has the value {text[:100]!r}; expected {TIME_FORMS}")
    return time
