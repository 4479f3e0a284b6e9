"""The present time of this process, for delays and ages: `vitals.steady_clock` on the clocks of the host."""

import time
from datetime import datetime, timedelta

from mqtt.standstill import boot_clock
from vitals.steady_clock import MAX_SLEWED_S, SteadyClock


class HostClock:
    """The time of a service; one thread at a time calls it."""

    def __init__(self) -> None:
        self._clock = SteadyClock(time.time(), boot_clock())

    def now(self) -> datetime:
        """Return the present time, not earlier than at the last call."""
        return self._clock.now(time.time(), boot_clock())

    def find_step(self) -> str:
        """Return by how much the host's clock was set, if that is too much to approach; else an empty text."""
        step_s = self._clock.step_s
        if abs(step_s) <= MAX_SLEWED_S:
            return ""
        step = timedelta(seconds=abs(step_s))
        return f"the clock of this host was set {'back' if step_s < 0 else 'forward'} by {step}"
