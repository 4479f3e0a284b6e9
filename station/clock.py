"""The present time at the station, for ages and silence: it goes on as time passes, if the host's clock is set."""

from datetime import datetime

from mqtt.host_clock import HostClock

_CLOCK = HostClock()


def present_time() -> datetime:
    """Return the present time, not earlier than at the last call."""
    return _CLOCK.now()


def find_step() -> str:
    """Return by how much the host's clock was set, if that is more than a minute; else an empty text."""
    return _CLOCK.find_step()
