"""Run a service whose host's clock can be set: by the seconds in the file HOST_CLOCK_STEP, as `-m` of its arguments."""

import importlib
import os
import runpy
import sys
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from pydantic_core import core_schema

PACKAGES = ("alerts", "ingest", "mqtt", "station", "vitals")


class SetClock(datetime):
    """The host's clock, as it was set."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        """Return the time that the host's clock shows."""
        return datetime.now(tz) + timedelta(seconds=float(_STEP.read_text()))  # type: ignore[arg-type]

    @classmethod
    def fromtimestamp(cls, seconds: float, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Return a plain datetime: msgspec encodes no other."""
        return datetime.fromtimestamp(seconds, tz)

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> core_schema.DatetimeSchema:
        """Let routes that are declared with it take a datetime."""
        return core_schema.datetime_schema()


_time = time.time


def set_time() -> float:
    """Return the unix seconds that the host's clock shows."""
    return _time() + float(_STEP.read_text())


if __name__ == "__main__":
    _STEP = Path(os.environ.pop("HOST_CLOCK_STEP"))
    sys.argv = sys.argv[1:]
    importlib.import_module(f"{sys.argv[0]}.__main__")  # with all modules of the service
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES]:
        if getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = SetClock
    vars(time)["time"] = set_time
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
