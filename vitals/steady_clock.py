"""A clock that neither goes back nor leaps while the process runs. Pure.

A host's clock may be set: by hand, by the first answer of a time server, by a virtual machine that is resumed. Delays
of alarms and ages of values that are differences of its times would then stand still for as long as it was set back,
or be over at once. A `SteadyClock` goes on as time passes, and approaches a host's clock that was set by at most a
tenth of the time that passes, as a time server's client does (ntpd slews in place of a step, RFC 5905 section 11.3).
"""

from datetime import datetime, timedelta

MAX_SLEW = 0.1  # of the time that passes: a delay of 14 s takes up to 15.6 s
MAX_SLEWED = timedelta(seconds=60)
"""A step that takes ten minutes to approach. A service that can begin anew does so after a larger one."""


class SteadyClock:
    """The time of one process. `wall`: of the host's clock; `passed_s`: of a clock that cannot be set, in seconds.

    step   how far the host's clock was ahead at the last call, before the approach; negative after it was set back
    """

    def __init__(self, wall: datetime, passed_s: float) -> None:
        self._now = wall
        self._passed_s = passed_s
        self.step = timedelta()

    def now(self, wall: datetime, passed_s: float) -> datetime:
        """Return the present time, not earlier than at the last call."""
        passed = timedelta(seconds=max(0.0, passed_s - self._passed_s))
        self._passed_s = max(self._passed_s, passed_s)
        steady = self._now + passed
        self.step = wall - steady
        most = passed * MAX_SLEW
        self._now = steady + max(-most, min(most, self.step))
        return self._now
