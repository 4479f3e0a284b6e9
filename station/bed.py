"""One bed as the station knows it: the last value of each sign, its score, and the minutes behind it. Pure.

Third stop of a reading in this room: `listener` receives it, `ward` finds its bed, and `frame` tells the browsers.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from vitals.bed_snapshot import BedSnapshot
from vitals.limits import Limits
from vitals.news2 import LastValues, Score
from vitals.reading import Reading, sign_values
from vitals.rules import RuleSet
from vitals.topics import DeviceAddress

KEPT = timedelta(minutes=5)
"""How far back the live strips reach. One point a second, so that a fast device costs no more than a slow one."""

Values = tuple[float | None, ...]


class BedState:
    """One device. `limits`: its own, where somebody has set them; `rules`: those of the alert worker, once known."""

    def __init__(self, place: DeviceAddress, limits: Limits | None = None, rules: RuleSet | None = None) -> None:
        self.snapshot = BedSnapshot(place)
        self.limits = limits
        self.rules = rules
        self._scored_on = self._scale()
        self._held = LastValues(self._scored_on)
        self._recent: deque[tuple[int, Values]] = deque(maxlen=int(KEPT.total_seconds()))

    def add_reading(self, reading: Reading, ward: str) -> None:
        """Take a reading. One that is not newer than the last changes nothing: it is a backlog arriving late."""
        before = self.snapshot.last
        if before is not None and reading.time <= before.time:
            return
        if self.snapshot.is_of_another_patient(reading):
            self._recent.clear()
            self._held = LastValues(self._scored_on)
        if ward != self.snapshot.bed.ward:
            self.move(ward)
        self.snapshot = self.snapshot.with_reading(reading)
        self.use(self.limits, self.rules)
        values = sign_values(reading)
        self._held.update(reading, values)
        second = int(reading.time.timestamp())
        if self._recent and self._recent[-1][0] == second:
            _, earlier = self._recent.pop()
            values = tuple(new if new is not None else old for new, old in zip(values, earlier, strict=True))
        self._recent.append((second, values))

    def move(self, ward: str) -> None:
        """The device is in another ward."""
        self.snapshot = replace(self.snapshot, bed=DeviceAddress(ward, self.snapshot.bed.device))

    def use(self, limits: Limits | None, rules: RuleSet | None) -> None:
        """Go on with these limits and rules; they say on which scale saturation is scored."""
        self.limits, self.rules = limits, rules
        if self._scale() != self._scored_on:
            self._scored_on = self._scale()
            self._held = self._held.with_scale(self._scored_on)

    @property
    def score(self) -> Score:
        """The NEWS2 as of the last reading."""
        return self._held.score()

    def recent(self, span: timedelta) -> Iterator[tuple[int, Values]]:
        """Unix second and values of the signs, oldest first, over the last `span` up to the last reading."""
        if self._recent:
            begin = self._recent[-1][0] - span.total_seconds()
            for second, values in self._recent:
                if second > begin:
                    yield second, values

    def _scale(self) -> int:
        limits = self.limits
        if limits is not None and limits.spo2_scale is not None and limits.applies_to(self.snapshot.patient):
            return limits.spo2_scale
        return 1 if self.rules is None else self.rules.spo2_scale
