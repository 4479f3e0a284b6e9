"""Logging set-up of the services, and log lines that are repeated at most every LOG_INTERVAL_S."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

LOG_INTERVAL_S = 30.0
FORMAT_VARIABLE = "VITALFLOW_LOG_FORMAT"  # read before all other settings, whose mistakes are logged too
_CONTEXT = ("ward", "device")  # `extra` of a log call


class JsonFormatter(logging.Formatter):
    """One JSON object per event: time, level, component, logger, message; ward, device and exception if there are."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line."""
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": self._component,
            "logger": record.name,
            "message": record.getMessage(),
            **{key: getattr(record, key) for key in _CONTEXT if hasattr(record, key)},
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def configure(component: str, verbose: bool, environ: Mapping[str, str]) -> None:
    """Log to standard error, from DEBUG on if `verbose`, else from INFO on.

    A line of text with time, level, logger and message; a JSON object if VITALFLOW_LOG_FORMAT is json. `component`: the
    service, such as ingest.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    if environ.get(FORMAT_VARIABLE) == "json":
        handler.setFormatter(JsonFormatter(component))
        # A traceback has many lines, and an event has one.
        sys.excepthook = lambda kind, error, trace: _log_defect(component, error)
        threading.excepthook = lambda failed: _log_defect(component, failed.exc_value)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    logging.captureWarnings(True)


def write_fatal(program: str, reason: str) -> None:
    """Write why a program ends: PROGRAM: REASON on standard error, or an event where events are JSON objects."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        logging.getLogger(program.rpartition(" ")[2]).critical("%s", reason)
    else:
        sys.stderr.write(f"{program}: {reason}\n")


def _log_defect(component: str, error: BaseException | None) -> None:
    logging.getLogger(component).critical("a defect ended a thread: %r", error, exc_info=error)


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
