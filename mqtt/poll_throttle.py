"""Adaptive read throttling of a service's socket. Pure: the caller passes the time.

In a quiet ward readings arrive one by one, and waking up for each costs more than handling it. After a small read the
socket is therefore left alone for a pause, and what arrives meanwhile is read at once. After a large read (a backlog, a
flood, a few large messages) the next one follows immediately, and while a backlog drains every one does: a small read
comes between two large ones there. docs/benchmarks.md: measured at 1,000 readings/s, and while a backlog drains.
"""

SMALL_READ_BYTES = 32 * 1024
"""About 150 readings. Much less than the session's receive window: the broker sends no more than a window without an
acknowledgement, and a pause must not delay that acknowledgement."""
BACKLOG_S = 0.5  # seconds without a pause after a backlog was seen


def is_backlog(held: int, window: int) -> bool:
    """Return whether the broker has more than is handled at once: half of the `window` that it may send is held."""
    return 2 * held >= window


class PollThrottle:
    """Decide when to read the socket again.

    pause_s   pause after a small read, and so the upper bound on added latency
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._until = 0.0
        self._backlog_until = 0.0

    def after(self, read: int, now: float, *, backlog: bool = False) -> None:
        """Record a read of `read` bytes at `now` (monotonic seconds).

        backlog   whether the messages that are held show one: `is_backlog`
        """
        if backlog:
            self._backlog_until = now + BACKLOG_S
        elif read < SMALL_READ_BYTES and now >= self._backlog_until:
            self._until = now + self._pause_s

    def left(self, now: float) -> float:
        """Return the seconds until the next read, 0 if it is due."""
        return max(0.0, self._until - now)
