"""Limit the messages of one sender, so that they do not delay the alarms of other beds. Pure.

A token bucket per sender, as the time at which it is full again (ITU-T I.371, the generic cell rate algorithm).
`Engine` evaluates only the newest of the messages beyond the limit. The broker limits the size of a message, not the
number of messages.
"""

from datetime import datetime, timedelta

A_SECOND = 200  # messages,
BYTES_A_SECOND = 256 * 1024  # and bytes, that one sender may have evaluated
SIZE_OF_A_TOKEN = BYTES_A_SECOND / A_SECOND
BURST = 4.0  # seconds' worth that may arrive at once: a device that reconnects sends its outbox
MAX_SENDERS = 50_000  # a client may use any number of names
REMINDER = timedelta(minutes=1)


class RateLimiter:
    """The senders by name, each with the time at which all of its tokens are back.

    Time is the sum of the steps of `now` that go forward: a clock that was set back must not change the tokens.
    """

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}
        self._logged_at: dict[str, datetime] = {}
        self._elapsed_s = 0.0
        self._now: datetime | None = None

    def allow(self, sender: str, size: int, now: datetime) -> bool:
        """Return whether a message of so many bytes may be evaluated now, and if so take its tokens."""
        if now is not self._now:  # the same for all messages that were read together
            self._advance(now)
        elapsed = self._elapsed_s
        full_at = self._full_at.get(sender)
        if full_at is None:
            if len(self._full_at) >= MAX_SENDERS:
                self._full_at.clear()
            full_at = elapsed
        elif full_at < elapsed:
            full_at = elapsed
        elif full_at - elapsed >= BURST:
            return False
        self._full_at[sender] = full_at + (size / BYTES_A_SECOND if size > SIZE_OF_A_TOKEN else 1 / A_SECOND)
        return True

    def should_log(self, sender: str, now: datetime) -> bool:
        """Return whether to log that a sender exceeds its share: at once, then at intervals."""
        logged_at = self._logged_at.get(sender)
        if logged_at is not None and now - logged_at < REMINDER:
            return False
        if len(self._logged_at) >= MAX_SENDERS:
            self._logged_at.clear()
        self._logged_at[sender] = now
        return True

    def _advance(self, now: datetime) -> None:
        if self._now is not None:
            self._elapsed_s += max(0.0, (now - self._now).total_seconds())
        self._now = now
