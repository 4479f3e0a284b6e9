"""Notice that this process stood still: stopped, swapped out, or its virtual machine paused or suspended. Pure.

Meanwhile another process may have taken over its work, so what lies in its sockets and queues is out of date.
"""

import time

MAX_STANDSTILL_S = 5.0
"""As long as a service may be silent before another process takes over (`mqtt.service_status`)."""


def boot_clock() -> float:
    """Return seconds of a clock that also runs while the machine is suspended, if the system has one (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Standstill:
    """The time since the main loop last passed here. `now` is of `boot_clock`."""

    def __init__(self, now: float) -> None:
        self._last = now

    def passed(self, now: float) -> float:
        """Note that the loop passes; return how long it stood still, 0 for less than MAX_STANDSTILL_S."""
        stood_s, self._last = now - self._last, now
        return stood_s if stood_s > MAX_STANDSTILL_S else 0.0
