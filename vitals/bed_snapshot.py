"""A bed as the screens show it: last reading, last value of each sign, condition. Pure: the caller passes the time.

The station updates it from MQTT. It keeps the last value of each sign, because a cuff measures only now and then, and
its last pressure is shown until the next.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec.structs import replace as replace_fields

from vitals.alert_format import bed_name
from vitals.clock import DeviceClock, Placement
from vitals.news2 import LastValues
from vitals.reading import Consciousness, Reading, sign_values
from vitals.rules import RuleSet
from vitals.signs import (
    CRITICAL,
    DIASTOLIC,
    NORMAL,
    SIGN_KEYS,
    SYSTOLIC,
    classify,
    critical_signs,
    mean_pressure,
)
from vitals.thresholds import VERDICT_MAX_AGE, silent_after
from vitals.topics import DeviceAddress


class Condition(StrEnum):
    """Condition of a bed as shown; the words differ, so that it does not depend on colour.

    VACANT   discharged, and no value was measured since then; it depends on the assignment, and not on the snapshot
    """

    CRITICAL = CRITICAL
    SILENT = "SILENT"
    OFFLINE = "OFFLINE"
    SENSOR_OFF = "SENSOR OFF"
    WAITING = "WAITING"
    VACANT = "VACANT"
    NORMAL = NORMAL


@dataclass(frozen=True, slots=True)
class LastValue:
    """A value and its time of measurement, on the time line of arrivals."""

    value: float
    time: datetime


@dataclass(frozen=True, slots=True)
class BedSnapshot:
    """The known state of one bed and its present patient.

    last          the newest live reading, by order of arrival
    seen_at       when it was measured on the time line of arrivals (`vitals.clock`); never later than its arrival
    last_values   by the key of the sign, its newest value
    sensor_off    keys of the signs whose sensor was off when the device last said something of them
    """

    bed: DeviceAddress
    last: Reading | None = None
    seen_at: datetime | None = None
    last_values: Mapping[str, LastValue] = field(default_factory=dict)
    sensor_off: tuple[str, ...] = ()
    on_oxygen: bool | None = None
    consciousness: Consciousness | None = None
    boot: int = 0
    online: bool = True
    interval_s: float = 0.0  # as the birth announced it; else as the readings arrive
    patient: str | None = None

    @property
    def name(self) -> str:
        """Name of the device, without the ward if it begins with that."""
        return bed_name(self.bed.ward, self.bed.device)

    def shown_part(
        self,
        reading: Reading,
        arrival: datetime,
        placement: Placement,
        clock: DeviceClock,
        held: LastValues,
        rules: RuleSet | None,
    ) -> tuple[Reading, Placement] | None:
        """Return what is new in a live reading, and where it is placed; None if it was sent again.

        A reading that may be late replaces no newer value, unless that value raises an alert by `rules`, those of this
        bed, or is critical: an alert must not be about a value that no screen shows.
        """
        if held.is_repeated(reading, arrival, placement.still_since):
            return None
        if placement.certain:
            part = reading if placement.newest else held.new_part(reading, placement.time)
            return None if part is None else (part, placement)
        late = clock.place_late(reading.time, arrival, self.seen_at)
        part = reading if late.newest else held.new_part(reading, late.time)
        alarming = _alarming_signs(reading, placement.time, held, rules)
        if not alarming:
            return None if part is None else (part, late)
        values = {
            key: value if key in alarming else getattr(part, key, None)
            for key in (*SIGN_KEYS, "on_oxygen", "consciousness")
            if (value := getattr(reading, key)) is not None
        }
        return replace_fields(reading, **values, sensor_off=() if part is None else part.sensor_off), placement

    def with_reading(self, reading: Reading, at: datetime, *, newest: bool = True) -> "BedSnapshot":
        """Return the snapshot after a live reading, measured `at` on the time line of arrivals.

        Of one that is not the newest, `reading` has only what is newer than what is known (`LastValues.new_part`).
        """
        values = {key: LastValue(value, at) for key in SIGN_KEYS if (value := reading.value(key)) is not None}
        last_values = {key: known for key, known in self.last_values.items() if key not in reading.sensor_off} | values
        off = dict.fromkeys(key for key in (*self.sensor_off, *reading.sensor_off) if key not in values)
        return replace(
            self,
            last=reading if newest else self.last,
            seen_at=at if newest else self.seen_at,
            last_values=last_values,
            sensor_off=tuple(off),
            on_oxygen=self.on_oxygen if reading.on_oxygen is None else reading.on_oxygen,
            consciousness=reading.consciousness or self.consciousness,
            boot=max(self.boot, reading.boot),
            online=True,
        )

    def with_patient(self, patient: str | None) -> "BedSnapshot":
        """Return the snapshot for another patient, without values."""
        return replace(
            self,
            patient=patient,
            last=None,
            seen_at=None,
            last_values={},
            sensor_off=(),
            on_oxygen=None,
            consciousness=None,
        )

    def with_status(self, state: str, boot: int, interval_s: float | None = None) -> "BedSnapshot":
        """Return the snapshot after a birth or a will; a late will of an earlier boot is ignored."""
        if boot < self.boot:
            return self
        return replace(self, boot=boot, online=state == "online", interval_s=interval_s or self.interval_s)

    @property
    def silent_after(self) -> timedelta:
        """Age of the last reading above which the bed is SILENT."""
        return silent_after(timedelta(seconds=self.interval_s))

    def age(self, now: datetime) -> timedelta | None:
        """Return the age of the last reading, by arrival; None if there was none. Never negative."""
        return None if self.seen_at is None else max(now - self.seen_at, timedelta())

    def is_critical(self, now: datetime) -> bool:
        """Return whether the newest value of a sign that is not too old to be judged is beyond a critical limit."""
        oldest = now - max(VERDICT_MAX_AGE, self.silent_after)
        known = (self.last_values.get(key) for key in SIGN_KEYS)
        return classify(tuple(v.value if v is not None and v.time >= oldest else None for v in known)) == CRITICAL

    def has_values(self) -> bool:
        """Return whether something was measured with the last reading or shortly before; not if no value was usable."""
        if self.last is None or self.seen_at is None:
            return False
        if self.last.on_oxygen is not None or self.last.consciousness is not None:
            return True
        oldest = self.seen_at - max(VERDICT_MAX_AGE, self.silent_after)
        return any(known.time >= oldest for known in self.last_values.values())

    def was_critical(self) -> bool:
        """Return the verdict as of the last reading, whatever its age."""
        return self.seen_at is not None and self.is_critical(self.seen_at)

    def condition(self, now: datetime) -> Condition:
        """Return the condition; OFFLINE and SILENT come first, because an old reading is never an all-clear."""
        age = self.age(now)
        if not self.online:
            return Condition.OFFLINE
        if age is None:
            return Condition.WAITING
        if age > self.silent_after:
            return Condition.SILENT
        if self.was_critical():
            return Condition.CRITICAL
        if self.sensor_off:
            return Condition.SENSOR_OFF
        return Condition.NORMAL if self.has_values() else Condition.WAITING


def _alarming_signs(reading: Reading, time: datetime, held: LastValues, rules: RuleSet | None) -> set[str]:
    """Return the signs of a reading, and other inputs of NEWS2, for which it may raise an alert, or that are critical.

    As `alerts.engine.bed` judges it. rules: None, where they are not known
    """
    values = sign_values(reading)
    found = critical_signs(values)
    if rules is None:
        return found
    found |= {
        watch.key
        for watch in rules.sign_rules
        if (value := values[watch.position]) is not None and not watch.low <= value <= watch.high
    }
    pressures = values[SYSTOLIC], values[DIASTOLIC]
    if pressures[0] is not None and pressures[1] is not None:
        mean = mean_pressure(*pressures)  # type: ignore[arg-type]
        if any(rule.levels_exceeded(mean) for rule in rules.mean_bp):
            found |= {SIGN_KEYS[SYSTOLIC], SIGN_KEYS[DIASTOLIC]}
    score = held.score_with(reading, time)
    total, worst = rules.quiet_score
    if score.total > total or score.worst > worst:
        found |= {key for key, points in score.parts.items() if points}
    return found


def sort_beds(beds: Iterable[BedSnapshot]) -> list[BedSnapshot]:
    """Sort by ward and device, with bed 9 before bed 10."""
    return sorted(beds, key=lambda snapshot: (_natural(snapshot.bed.ward), _natural(snapshot.bed.device)))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
