"""When a service looks at its socket again: pure, and told the time. Beside `session`, in ingest and in alerts.

On a quiet ward readings come one by one, and waking for each of them costs more than the reading itself. So a look
that found few messages is followed by a rest, and what comes meanwhile is taken together; a look that found many (a
backlog, a flood) is followed by the next look at once. Measured at 1,000 readings a second: docs/benchmarks.md.
"""


class Rest:
    """Tells how long the socket is left alone.

    seconds  how long a rest is: the price, added to a reading's way
    few      messages of one look below which a rest follows; well below the session's window, for the broker sends no
             more than a window without an acknowledgement, and a rest must not be what it waits for
    """

    def __init__(self, seconds: float, few: int) -> None:
        self._seconds = seconds
        self._few = few
        self._until = 0.0

    def after(self, found: int, now: float) -> None:
        """A look at `now` (monotonic seconds) found so many messages."""
        if found < self._few:
            self._until = now + self._seconds

    def left(self, now: float) -> float:
        """Seconds until the next look; 0 where it is time."""
        return max(0.0, self._until - now)
