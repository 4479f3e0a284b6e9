"""Know what a monitor measured before: to recognise its repeats, and the signs that it measures at all.

Monitors repeat the last values of a cuff or a thermometer in every message. Such a value is stored once for its device
and time. Monitors also state in every message that a module without a sensor has no value: that is news only for a sign
of which the patient had one. The state is pure, is in the inbox, and changes only with `add`, after the readings are
kept, so that a value is never taken for a repeat of one that was lost.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from vitals.signs import SIGNS

CONTINUOUS = frozenset(sign.key for sign in SIGNS if sign.unit in ("/min", "%"))
"""Rates and saturation, which are measured all the time: the same value at the same second is no repeat."""

KEPT = 8  # of a sign and device: cuff, several probes, and an arterial line whose values each have a new time


class Episode(NamedTuple):
    """A value of an episodic sign.

    time   None for a value without a time of its own, which is compared with the value before
    """

    ward: str
    device: str
    sign: str
    time: datetime | None
    value: float


class Measured(NamedTuple):
    """A continuous sign of which a device had a value, and the last patient who had one."""

    ward: str
    device: str
    sign: str
    patient: str | None


class History:
    """The last episodic values of each device that were stored, and its continuous signs.

    episodes       the oldest first
    all_measured   whether each device is presumed to measure all signs
    """

    def __init__(
        self, episodes: Iterable[Episode] = (), measured: Iterable[Measured] = (), *, all_measured: bool = False
    ) -> None:
        self._values: dict[tuple[str, str, str], OrderedDict[datetime | None, float]] = {}
        self._measured: dict[tuple[str, str, str], str | None] = {}
        self._all_measured = all_measured
        self.add(episodes, measured)

    def __contains__(self, episode: Episode) -> bool:
        """Whether this value of this time is stored; without a time, whether it is that of the last one."""
        known = self._values.get(episode[:3])
        return known is not None and known.get(episode.time) == episode.value

    def had_value(self, sign: Measured) -> bool:
        """Whether the device had a value of the sign with this patient, or with one who is unknown or was."""
        if self._all_measured:
            return True
        known = self._measured.get(sign[:3], "")
        return known != "" and (known is None or sign.patient is None or known == sign.patient)

    def changed(
        self, episodes: Iterable[Episode], measured: Iterable[Measured]
    ) -> tuple[list[Episode], list[Measured]]:
        """Return what a file of the history has to hold in addition.

        A repeat is part of it if the sign of the device has so many values that an older one will be dropped.
        """
        new = [item for item in episodes if item not in self or len(self._values[item[:3]]) >= KEPT]
        return new, [item for item in measured if self._measured.get(item[:3], "") != item.patient]

    def add(self, episodes: Iterable[Episode], measured: Iterable[Measured] = ()) -> None:
        """Remember values that are stored now, or were repeated."""
        for episode in episodes:
            known = self._values.setdefault(episode[:3], OrderedDict())
            known[episode.time] = episode.value
            known.move_to_end(episode.time)
            if len(known) > KEPT:
                known.popitem(last=False)
        for item in measured:
            self._measured[item[:3]] = item.patient


NONE = History(all_measured=True)
"""For messages that are compared with no other."""
