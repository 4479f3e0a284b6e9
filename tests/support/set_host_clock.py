"""Run a service whose host's clock can be set: by the seconds in the file HOST_CLOCK_STEP, as `-m` of its arguments."""

import os
import runpy
import sys
from datetime import datetime, timedelta
from pathlib import Path

import mqtt.host_clock


class SetClock(datetime):
    """The host's clock, as it was set."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        """Return the time that the host's clock shows."""
        return datetime.now(tz) + timedelta(seconds=float(_STEP.read_text()))  # type: ignore[arg-type]


if __name__ == "__main__":
    _STEP = Path(os.environ.pop("HOST_CLOCK_STEP"))
    vars(mqtt.host_clock)["datetime"] = SetClock
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
