"""When a service looks at its socket again: pure, and told the time. Beside `session`, in ingest and in alerts.

On a quiet ward readings come one by one, and waking for each of them costs more than the reading itself. So a look
that found little is followed by a rest, and what comes meanwhile is taken together; a look that found much (a backlog,
a flood, few large messages included) is followed by the next look at once. Measured at 1,000 readings a second:
docs/benchmarks.md.
"""

SMALL_READ_BYTES = 32 * 1024
"""Bytes of one look: some 150 readings. Far from what a session's window holds, for the broker sends no more than a
window without an acknowledgement, and a rest must not be what it waits for."""


class PollThrottle:
    """Tells how long the socket is left alone.

    seconds  how long a rest is: the price, added to a reading's way
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    def after(self, read: int, now: float) -> None:
        """A look at `now` (monotonic seconds) read so many bytes."""
        if read < SMALL_READ_BYTES:
            self._until = now + self._seconds

    def left(self, now: float) -> float:
        """Seconds until the next look; 0 where it is time."""
        return max(0.0, self._until - now)
