"""Limit how often something is done: at once as long as it is rare, at an interval once it is frequent. Pure."""


class Pace:
    """Allows `burst` calls in a row, and then one at each interval."""

    def __init__(self, burst: int, interval_s: float) -> None:
        self._allowance_s = (burst - 1) * interval_s
        self._interval_s = interval_s
        self._next = float("-inf")  # when the next call would be if all before had come at the interval

    def take(self, now: float) -> float:
        """Return 0.0 and count a call if it is allowed now, else the seconds until it is."""
        wait_s = self._next - self._allowance_s - now
        if wait_s > 0:
            return wait_s
        self._next = max(self._next, now) + self._interval_s
        return 0.0
