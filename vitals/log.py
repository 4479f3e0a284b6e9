"""Logging set-up of the services, and log lines that are repeated at most every LOG_INTERVAL_S."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

LOG_INTERVAL_S = 30.0


def configure(verbose: bool) -> None:
    """Log to standard error: time, level, logger and message; from DEBUG on if `verbose`, else from INFO on."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@dataclass(slots=True)
class Throttle:
    """Decide whether a repeated message is due. Pure: the caller passes the time, in monotonic seconds.

    suppressed   messages skipped before the one that was due last
    """

    interval_s: float = LOG_INTERVAL_S
    suppressed: int = field(default=0, init=False)
    _skipped: int = field(default=0, init=False)
    _last: float | None = field(default=None, init=False)

    def due(self, now: float) -> bool:
        """Return whether to emit the message: the first one at once, then one per interval."""
        if self._last is not None and now - self._last < self.interval_s:
            self._skipped += 1
            return False
        self._last, self.suppressed, self._skipped = now, self._skipped, 0
        return True

    def reset(self) -> bool:
        """Make the next message due at once; return whether one was emitted since the last reset."""
        emitted, self._last, self._skipped = self._last is not None, None, 0
        return emitted


class WaitLog:
    """Emit "waiting for TARGET: REASON" throttled, from the first failure until `over`.

    emit   takes the finished line, such as `log.warning`
    note   appended to each line
    """

    def __init__(self, target: str, emit: Callable[[str], object], note: str = "") -> None:
        self._target = target
        self._emit = emit
        self._note = note
        self._throttle = Throttle()

    def waiting(self, reason: str, now: float) -> None:
        """Report a failed attempt; `now` is monotonic."""
        if self._throttle.due(now):
            self._emit(f"waiting for {self._target}: {reason}{self._note}")

    def over(self) -> bool:
        """End the wait; return whether it was reported."""
        return self._throttle.reset()
