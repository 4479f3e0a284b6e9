"""Recognise a measurement that a monitor repeats: the last values of a cuff or a thermometer in every message.

A value of such a sign is stored once for its device and time. The state holds what was stored; it is pure and changes
only with `add`, after the readings are kept, so that a value is never taken for a repeat of one that was lost.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from vitals.signs import SIGNS

CONTINUOUS = frozenset(sign.key for sign in SIGNS if sign.unit in ("/min", "%"))
"""Rates and saturation, which are measured all the time: the same value at the same second is no repeat."""

_KEPT = 8  # of a sign and device: cuff, several probes, and an arterial line whose values each have a new time


class Episode(NamedTuple):
    """A value of an episodic sign.

    time   None for a value without a time of its own, which is compared with the value before
    """

    ward: str
    device: str
    sign: str
    time: datetime | None
    value: float


class Episodes:
    """The last episodic values of each device that were stored."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], OrderedDict[datetime | None, float]] = {}

    def __contains__(self, episode: Episode) -> bool:
        """Whether this value of this time is stored; without a time, whether it is that of the last one."""
        known = self._values.get(episode[:3])
        return known is not None and known.get(episode.time) == episode.value

    def add(self, episodes: Iterable[Episode]) -> None:
        """Remember values that are stored now, or were repeated."""
        for episode in episodes:
            known = self._values.setdefault(episode[:3], OrderedDict())
            known[episode.time] = episode.value
            known.move_to_end(episode.time)
            if len(known) > _KEPT:
                known.popitem(last=False)


NONE = Episodes()
"""For messages that are compared with no other."""
