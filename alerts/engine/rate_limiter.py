"""Limit the messages of one sender, so that they do not delay the alarms of other beds. Pure.

A token bucket per sender. `Engine` evaluates only the newest of the messages beyond the limit. The broker limits the
size of a message, not the number of messages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

A_SECOND = 200  # messages,
BYTES_A_SECOND = 256 * 1024  # and bytes, that one sender may have evaluated
BURST = 4.0  # seconds' worth that may arrive at once: a device that reconnects sends its outbox
MAX_SENDERS = 50_000  # a client may use any number of names
REMINDER = timedelta(minutes=1)


@dataclass(slots=True)
class TokenBucket:
    """The tokens of one sender, in seconds, as of `at`, and when its last log line was due."""

    left: float
    at: datetime
    logged_at: datetime | None = None


class RateLimiter:
    """The token buckets of all senders, by name."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def allow(self, sender: str, size: int, now: datetime) -> bool:
        """Return whether a message of so many bytes may be evaluated now, and if so take its tokens."""
        bucket = self._buckets.get(sender)
        if bucket is None:
            if len(self._buckets) >= MAX_SENDERS:
                self._buckets.clear()
            bucket = self._buckets[sender] = TokenBucket(BURST, now)
        elif now != bucket.at:
            # A clock that was set back must not change the tokens.
            bucket.left = min(BURST, bucket.left + max(0.0, (now - bucket.at).total_seconds()))
            bucket.at = now
        if bucket.left <= 0:
            return False
        bucket.left -= max(1 / A_SECOND, size / BYTES_A_SECOND)
        return True

    def should_log(self, sender: str, now: datetime) -> bool:
        """Return whether to log that a sender exceeds its share: at once, then at intervals."""
        bucket = self._buckets[sender]
        if bucket.logged_at is not None and now - bucket.logged_at < REMINDER:
            return False
        bucket.logged_at = now
        return True
