"""Exponential back-off. Pure: it returns durations and reads no clock."""

from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts: `first_s`, doubling up to `max_s`.

    steady_s   an attempt that lasted at least this many seconds counts as a success and resets the pause
    """

    first_s: float
    max_s: float
    steady_s: float = inf
    _pause_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._pause_s = self.first_s

    def reset(self) -> None:
        """Begin again with `first_s`."""
        self._pause_s = self.first_s

    def next(self, lasted_s: float = 0.0) -> float:
        """Return the seconds to wait after an attempt that lasted `lasted_s` seconds."""
        if lasted_s >= self.steady_s:
            self.reset()
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self.max_s)
        return pause_s
