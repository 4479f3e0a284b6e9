"""A bed as the screens show it: last reading, last value of each sign, condition. Pure: the caller passes the time.

The station and the demo's screen update it from MQTT. It keeps the last value of each sign, because a cuff measures
only now and then, and its last pressure is shown until the next.
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
    """Condition of a bed as shown; the words differ, so that it does not depend on colour."""

    CRITICAL = CRITICAL
    SILENT = "SILENT"
    OFFLINE = "OFFLINE"
    SENSOR_OFF = "SENSOR OFF"
    WAITING = "WAITING"
    NORMAL = NORMAL


@dataclass(frozen=True, slots=True)
class LastValue:
    """A value and its time of measurement."""

    value: float
    time: datetime


@dataclass(frozen=True, slots=True)
class BedSnapshot:
    """The known state of one bed. `last_values`: the present patient's last value of each sign, by key."""

    bed: DeviceAddress
    last: Reading | None = None
    last_values: Mapping[str, LastValue] = field(default_factory=dict)
    boot: int = 0
    online: bool = True
    interval_s: float = 0.0
    patient: str | None = None  # of the last reading that named one

    @property
    def name(self) -> str:
        """The device name without the ward name in front."""
        return bed_name(self.bed.ward, self.bed.device)

    def with_reading(self, reading: Reading) -> "BedSnapshot":
        """Return the snapshot after a reading; one older than the last (a late backlog) changes nothing."""
        if self.last is not None and reading.time < self.last.time:
            return self
        new = {s.key: LastValue(v, reading.time) for s in SIGNS if (v := reading.value(s.key)) is not None}
        last_values = {key: value for key, value in self.last_values.items() if key not in reading.sensor_off}
        if self.is_of_another_patient(reading):
            last_values = {}
        boot, patient = max(self.boot, reading.boot), reading.patient_id or self.patient
        return replace(self, last=reading, last_values=last_values | new, boot=boot, online=True, patient=patient)

    def with_status(self, state: str, boot: int, interval_s: float | None = None) -> "BedSnapshot":
        """Return the snapshot after a birth or a will; the will of an earlier boot, which may arrive late, is ignored."""
        if boot < self.boot:
            return self
        return replace(self, boot=boot, online=state == "online", interval_s=interval_s or self.interval_s)

    def is_of_another_patient(self, reading: Reading) -> bool:
        """Return whether the reading names another patient than the one known so far."""
        return self.patient is not None and reading.patient_id not in (None, self.patient)

    @property
    def silent_after(self) -> timedelta:
        """Age of the last reading above which the bed is silent."""
        return silent_after(self.interval_s)

    def age(self, now: datetime) -> timedelta | None:
        """Return the age of the last reading, None without one."""
        return None if self.last is None else max(now - self.last.time, timedelta())

    def was_critical(self) -> bool:
        """Return whether the last reading, of any age, was CRITICAL."""
        return self.last is not None and classify(self.last.values) == CRITICAL

    def condition(self, now: datetime) -> Condition:
        """Return the condition. OFFLINE and SILENT come before any verdict, because an old reading is never an all-clear."""
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
    """Sort by ward and device, with bed 9 before bed 10."""
    return sorted(beds, key=lambda seen: (_natural(seen.bed.ward), _natural(seen.bed.device)))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def count_by_condition(beds: Iterable[BedSnapshot], now: datetime) -> dict[Condition, int]:
    """Count beds per condition, worst first; conditions without beds are left out."""
    found = [seen.condition(now) for seen in beds]
    return {condition: found.count(condition) for condition in Condition if condition in found}
