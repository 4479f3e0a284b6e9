"""So much of the worker's time may one sender have; what is beyond it waits, and only the newest of it. Pure.

First stop inside `beds`: without it one device that sends without end, because it is broken or means harm, would delay
every other bed's alarms by the time that its messages take. The broker limits the size of a message, not their number.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

A_SECOND = 200  # messages,
BYTES_A_SECOND = 256 * 1024  # and bytes, that one sender may have evaluated
BURST = 4.0  # seconds' worth that may come at once: a device that was away brings what it kept
MAX_SENDERS = 50_000  # a client may invent names without end
REMINDER = timedelta(minutes=1)


@dataclass(slots=True)
class TokenBucket:
    """What one sender has left, in seconds, as it stood at `at`; and when we last complained."""

    left: float
    at: datetime
    told_at: datetime | None = None


class RateLimiter:
    """The purses of all senders, by name."""

    def __init__(self) -> None:
        self._purses: dict[str, TokenBucket] = {}

    def allow(self, sender: str, size: int, now: datetime) -> bool:
        """Whether a message of so many bytes may be evaluated now; if so, it is paid for."""
        purse = self._purses.get(sender)
        if purse is None:
            if len(self._purses) >= MAX_SENDERS:
                self._purses.clear()
            purse = self._purses[sender] = TokenBucket(BURST, now)
        elif now != purse.at:
            # A clock that was set back fills no purse, and must not empty any.
            purse.left = min(BURST, purse.left + max(0.0, (now - purse.at).total_seconds()))
            purse.at = now
        if purse.left <= 0:
            return False
        purse.left -= max(1 / A_SECOND, size / BYTES_A_SECOND)
        return True

    def should_log(self, sender: str, now: datetime) -> bool:
        """Whether to say that a sender is beyond its share: once, and then now and then."""
        purse = self._purses[sender]
        if purse.told_at is not None and now - purse.told_at < REMINDER:
            return False
        purse.told_at = now
        return True
