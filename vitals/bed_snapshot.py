"""The ward as a screen sees it: what was last heard of each bed, and what to call that. Pure: it is told the time.

The demo's screen (`stack`) and the station fill it from MQTT and draw it. A screen holds values: a cuff measures once a
minute, and the last pressure is worth showing until then.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from vitals.alert_format import bed_name
from vitals.reading import Reading
from vitals.signs import CRITICAL, NORMAL, SIGNS, classify
from vitals.thresholds import silent_after
from vitals.topics import DeviceAddress


class Condition(StrEnum):
    """What the screen calls a bed. The words differ, so that colours need not."""

    CRITICAL = CRITICAL
    SILENT = "SILENT"
    OFFLINE = "OFFLINE"
    SENSOR_OFF = "SENSOR OFF"
    WAITING = "WAITING"
    NORMAL = NORMAL


@dataclass(frozen=True, slots=True)
class LastValue:
    """A value and when it was measured."""

    value: float
    time: datetime


@dataclass(frozen=True, slots=True)
class BedSnapshot:
    """What is known of one bed. `held` has, by the key of the sign, the last value of each, of this patient."""

    bed: DeviceAddress
    last: Reading | None = None
    last_values: Mapping[str, LastValue] = field(default_factory=dict)
    boot: int = 0
    online: bool = True
    interval_s: float = 0.0
    patient: str | None = None  # the last one that a reading named

    @property
    def name(self) -> str:
        """The device without its ward, where its name begins with that."""
        return bed_name(self.bed.ward, self.bed.device)

    def with_reading(self, reading: Reading) -> "BedSnapshot":
        """After a reading. An older one than the last changes nothing: it is a backlog arriving late."""
        if self.last is not None and reading.time < self.last.time:
            return self
        new = {s.key: LastValue(v, reading.time) for s in SIGNS if (v := reading.value(s.key)) is not None}
        last_values = {key: value for key, value in self.last_values.items() if key not in reading.sensor_off}
        if self.is_of_another_patient(reading):
            last_values = {}
        boot, patient = max(self.boot, reading.boot), reading.patient_id or self.patient
        return replace(self, last=reading, last_values=last_values | new, boot=boot, online=True, patient=patient)

    def with_status(self, state: str, boot: int, interval_s: float | None = None) -> "BedSnapshot":
        """After a birth or a last will. The will of an earlier boot may come after the birth of the next: ignored."""
        if boot < self.boot:
            return self
        return replace(self, boot=boot, online=state == "online", interval_s=interval_s or self.interval_s)

    def is_of_another_patient(self, reading: Reading) -> bool:
        """Whether the reading names another patient than the last one that was named."""
        return self.patient is not None and reading.patient_id not in (None, self.patient)

    @property
    def silent_after(self) -> timedelta:
        """The age of the last reading from which on the bed counts as silent."""
        return silent_after(self.interval_s)

    def age(self, now: datetime) -> timedelta | None:
        """How old the last reading is; None where there was none."""
        return None if self.last is None else max(now - self.last.time, timedelta())

    def was_critical(self) -> bool:
        """The verdict on the last reading, however old it is."""
        return self.last is not None and classify(self.last.values) == CRITICAL

    def condition(self, now: datetime) -> Condition:
        """What to call it. Silence comes first: no verdict on an old reading is an all-clear."""
        age = self.age(now)
        if not self.online:
            return Condition.OFFLINE
        if age is None or self.last is None:
            return Condition.WAITING
        if age > self.silent_after:
            return Condition.SILENT
        if self.was_critical():
            return Condition.CRITICAL
        return Condition.SENSOR_OFF if self.last.sensor_off else Condition.NORMAL


def sort_beds(beds: Iterable[BedSnapshot]) -> list[BedSnapshot]:
    """By ward and bed, with bed 9 before bed 10."""
    return sorted(beds, key=lambda seen: (_natural(seen.bed.ward), _natural(seen.bed.device)))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def count_by_condition(beds: Iterable[BedSnapshot], now: datetime) -> dict[Condition, int]:
    """How many beds are in each condition, the worst first; conditions of no bed are left out."""
    found = [seen.condition(now) for seen in beds]
    return {condition: found.count(condition) for condition in Condition if condition in found}
