"""The present time of this process, for delays and ages: `vitals.steady_clock` on the clocks of the host."""

from datetime import UTC, datetime

from mqtt.standstill import boot_clock
from vitals.steady_clock import MAX_SLEWED, SteadyClock


class HostClock:
    """The time of a service; one thread at a time calls it."""

    def __init__(self) -> None:
        self._clock = SteadyClock(datetime.now(UTC), boot_clock())

    def now(self) -> datetime:
        """Return the present time, not earlier than at the last call."""
        return self._clock.now(datetime.now(UTC), boot_clock())

    def find_step(self) -> str:
        """Return by how much the host's clock was set, if that is too much to approach; else an empty text."""
        step = self._clock.step
        if abs(step) <= MAX_SLEWED:
            return ""
        return f"the clock of this host was set {'back' if step.days < 0 else 'forward'} by {abs(step)}"
