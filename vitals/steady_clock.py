"""A clock that neither goes back nor leaps while the process runs. Pure.

A host's clock may be set: by hand, by the first answer of a time server, by a virtual machine that is resumed. Delays
of alarms and ages of values that are differences of its times would then stand still for as long as it was set back,
or be over at once. A `SteadyClock` goes on as time passes, and approaches a host's clock that was set by at most a
tenth of the time that passes, as a time server's client does (ntpd slews in place of a step, RFC 5905 section 11.3).
"""

from datetime import UTC, datetime

MAX_SLEW = 0.1  # of the time that passes: a delay of 14 s takes up to 15.6 s
MAX_SLEWED_S = 60.0
"""A step that takes ten minutes to approach. A service that can begin anew does so after a larger one."""


class SteadyClock:
    """The time of one process. `wall_s`: of the host's clock, in unix seconds; `passed_s`: of one that cannot be set.

    step_s   how far the host's clock was ahead at the last call, before the approach; negative after it was set back

    Counts in seconds: a service asks after each wait, when nothing is in the processor's cache, and five `timedelta` a
    call were 3 % of the alert worker.
    """

    def __init__(self, wall_s: float, passed_s: float) -> None:
        self._now_s = wall_s
        self._passed_s = passed_s
        self.step_s = 0.0

    def now(self, wall_s: float, passed_s: float) -> datetime:
        """Return the present time, not earlier than at the last call."""
        passed = max(0.0, passed_s - self._passed_s)
        self._passed_s += passed
        steady = self._now_s + passed
        self.step_s = wall_s - steady
        most = passed * MAX_SLEW
        self._now_s = steady + max(-most, min(most, self.step_s))
        return datetime.fromtimestamp(self._now_s, UTC)
