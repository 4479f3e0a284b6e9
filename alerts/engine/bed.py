"""The state of one device, and how its readings change its alerts. Pure: the caller passes the time.

`Engine` passes decoded readings; `evaluate` returns the changes as events. The state of each rule is an immutable
`level_state.LevelState`.

`vitals.clock` places each reading on one time line per device, that of arrivals:
- A backlog counts towards delays and neither raises nor clears an alert; for `no-data` it is silence. A late value
  changes nothing.
- A reading that may be late may raise an alert and does not clear one.
- A sign without a value, or whose sensor is off, changes nothing for that sign: an alert stays open and a pending one
  pending until there is a value.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from alerts.engine import level_state
from alerts.engine.context_changes import change_patient, change_ward
from alerts.engine.level_state import LevelState
from alerts.engine.transitions import raised, transition, worsened
from vitals.alert import Alert, Event
from vitals.assignment import Assignment
from vitals.clock import DeviceClock
from vitals.limits import Limits
from vitals.news2 import LastValues
from vitals.patient_change import Patient, PatientTracker
from vitals.reading import Reading, sign_values
from vitals.rules import Rule, RuleSet, SignRules
from vitals.signs import DIASTOLIC, SIGN_KEYS, SYSTOLIC, mean_pressure

NOTHING: Sequence[Event] = ()
ONE_MEASUREMENT = timedelta(seconds=30)  # both pressures of a cuff come within this time
NEVER = datetime.min.replace(tzinfo=UTC)
NO_COUNTS: dict[str, LevelState] = {}
"""Those of every bed at which nothing is counted, and never filled: a dict of each is a cache miss per reading."""


class _NeededByEachReading:
    """The attributes that an ordinary reading needs: CPython lays those of a base class out first, the rest by name.

    With thousands of beds, each 64 bytes of a bed that a reading touches are a cache miss.
    """

    __slots__ = (
        "_active_signs",
        "_certain",
        "_redelivered",
        "clock",
        "counts",
        "held",
        "last",
        "last_live_at",
        "next_check",
        "off",
        "offline_since",
        "patient",
        "replay_watermark",
        "rules",
        "vacant_since",
        "ward",
    )


class Bed(_NeededByEachReading):
    """The state of one device. `now` is the time of the worker's clock, by which readings are placed."""

    __slots__ = (
        "alerts",
        "assignment",
        "boot",
        "checks",
        "created_at",
        "device",
        "interval",
        "limits",
        "nothing_measured",
        "pressures",
        "replay_watermarks",
        "reported",
        "ward_rules",
    )

    def __init__(self, device: str, ward: str, rules: RuleSet, now: datetime) -> None:
        self.device = device
        self.ward = ward
        self.patient = PatientTracker()
        self.clock = DeviceClock(rules.stale_after)
        self.alerts: dict[str, Alert] = {}  # by rule; the open ones
        self.counts = NO_COUNTS  # by rule; only those at which something is counted
        self.reported: frozenset[str] = frozenset()  # rules due whose alert would repeat an open one
        self.last: datetime | None = None  # time of the newest reading taken, by the device's clock
        self.last_live_at = now  # when the last live reading arrived
        self.created_at = now  # or restored
        self.offline_since: datetime | None = None
        self.boot: int | None = None
        self.interval = timedelta()  # as the birth announced it
        self.replay_watermarks: dict[
            str, datetime
        ] = {}  # after a restart: up to here a rule's alert has seen the readings
        self.replay_watermark: datetime | None = None  # the newest of them
        self.off: frozenset[str] = frozenset()  # signs whose sensor is off
        self.next_check = now  # of the device itself (`timers`)
        self.checks: Mapping[str, int] = {}  # by sign: how many checks it had a value at (`timers`)
        self.nothing_measured = False  # as of the last check
        self.pressures: dict[int, tuple[float, datetime]] = {}  # by position in SIGNS: the last value and its time
        self.assignment: Assignment | None = None  # of a patient to this bed, by a person
        self.vacant_since: datetime | None = None  # the discharge, if no value was measured after it
        self._redelivered = False  # whether the present reading may have been evaluated before a restart
        self._certain = True  # whether it is known not to be late
        self._active_signs = 0  # bits of the signs at which something is counted
        self.rules = self.ward_rules = rules  # the rules that apply here, and those of the file
        self.limits: Limits | None = None  # the bed's own limits; they apply to its patient only
        self.held = LastValues(rules.spo2_scale)

    @property
    def patient_id(self) -> str | None:
        """The patient on the device."""
        return self.patient.current

    @patient_id.setter
    def patient_id(self, patient_id: str | None) -> None:
        self.patient = PatientTracker(patient_id)

    @property
    def contradicts_assignment(self) -> bool:
        """Whether the device reports another patient than the assigned one."""
        return self.assignment is not None and not self.assignment.applies_to(self.patient.current)

    @property
    def usual_interval(self) -> timedelta | None:
        """The time between two readings, as announced or as they arrive."""
        return self.clock.usual_interval(self.interval)

    def evaluate(self, reading: Reading, ward: str, now: datetime, *, dup: bool = False) -> Sequence[Event]:
        """Evaluate a reading that arrived at `now`; return the changes in order.

        `dup`: the reading may have been delivered and evaluated before (MQTT's DUP flag).
        """
        self._redelivered = dup
        clock = self.clock
        if not clock.undecided:
            time, boot, seq = reading.time, reading.boot, reading.seq
            if clock.take_usual(time, now, boot, seq):
                return self._observe(reading, ward, now, time)
            placement = clock.place(time, now, boot, seq)
            if placement is not None:
                return self._observe(reading, ward, now, *placement)
            clock.hold(reading, now)
            return NOTHING
        return [
            event
            for earlier, arrival, placement in clock.add(reading, now)
            for event in self._observe(earlier, ward, arrival, *placement)
        ]

    def begin_check(self) -> None:
        """Prepare for conditions that the worker's clock shows, not a reading."""
        self._redelivered, self._certain = False, True

    def settle_undecided(self, now: datetime) -> list[Event]:
        """Evaluate held readings that no other reading has followed: they are no backlog."""
        return [
            event
            for reading, arrival, placement in self.clock.settle(now)
            for event in self._observe(reading, self.ward, arrival, *placement)
        ]

    def _observe(
        self,
        reading: Reading,
        ward: str,
        arrival: datetime,
        time: datetime,
        live: bool = True,
        certain: bool = True,
        newest: bool = True,
        still_since: datetime | None = None,
    ) -> Sequence[Event]:
        """Evaluate a reading at its place (`Placement`) on the time line of arrivals."""
        events: list[Event] = []
        self._certain = certain
        if still_since is not None and self.held.is_repeated(reading, arrival, still_since):
            return NOTHING
        if not newest:
            part = self.held.new_part(reading, time) if live else None
            if part is None:
                return NOTHING  # late or sent again, which is no sign of life either
            reading = part
        if self.vacant_since is not None:
            if time < self.vacant_since:
                return NOTHING  # of the patient who was discharged
            self.vacant_since = None
        patient, known = reading.patient_id, self.patient
        if patient is not None and (patient != known.current or known.candidate is not None):
            if not live and known.current is not None:
                return NOTHING  # a backlog of another patient
            before = known.current
            # A redelivered reading that was evaluated before the restart does not change the patient back.
            hold = self._redelivered and self._is_known(reading.time)
            at = time if newest else arrival  # else a former patient may have been measured since then
            if known.observe(patient, reading.boot, arrival, time=at, hold=hold) is Patient.CHANGED:
                events += change_patient(self, before, patient, time, known.since or arrival)
        if ward != self.ward and not (self._redelivered and self._is_known(reading.time)):
            events += change_ward(self, ward, time)
        if newest:
            self.last = reading.time
        values = sign_values(reading)
        if live:
            self.last_live_at = arrival
            if self.offline_since is not None:
                self.offline_since = None  # a device that sends is online, even without a birth
                for rule in self.rules.offline:
                    self.note(rule, 0, 0, arrival, True, None, events)
        if self.replay_watermark is not None and reading.time > self.replay_watermark:
            self.replay_watermark = None
            self.replay_watermarks = {}
        if reading.sensor_off or self.off:
            self._note_off(reading)
        rules = self.rules
        active_signs = self._active_signs
        for position, low, high, bit, watch in rules.quiet_ranges:
            value = values[position]
            if value is None or (low <= value <= high and not (active_signs and active_signs & bit)):
                continue
            counted = len(self.counts)
            for rule in watch.rules:
                self.note(rule, rule.levels_exceeded(value), rule.levels_not_cleared(value), time, live, value, events)
            if len(self.counts) != counted:
                self._refresh_active_sign(watch)
        if rules.mean_bp and (values[SYSTOLIC] is not None or values[DIASTOLIC] is not None):
            self._note_mean_pressure(values, time, live, events)
        total, worst = self.held.update(reading, values, time)
        quiet_total, quiet_worst = rules.quiet_score
        if total > quiet_total or worst > quiet_worst or self.counts:
            for rule in rules.scored:
                self.note_score(rule, total, worst, time, live, events)
        if rules.sensors and (reading.sensor_off or self.counts):
            self._note_sensors(reading, time, live, events)
        if self.counts and live:
            for rule in rules.no_data:
                if rule.name in self.counts:
                    self.note(rule, 0, 0, arrival, True, None, events)
        return events

    def _note_mean_pressure(
        self, values: tuple[float | None, ...], time: datetime, live: bool, events: list[Event]
    ) -> None:
        """Evaluate the mean of two pressures of one cuff measurement, which may come in two messages."""
        for position in (SYSTOLIC, DIASTOLIC):
            value = values[position]
            if value is not None:
                self.pressures[position] = (value, time)
        if len(self.pressures) < 2:
            return
        (systolic, measured), (diastolic, other) = self.pressures[SYSTOLIC], self.pressures[DIASTOLIC]
        if abs(measured - other) > ONE_MEASUREMENT or systolic <= diastolic:
            return
        mean = mean_pressure(systolic, diastolic)
        for rule in self.rules.mean_bp:
            self.note(rule, rule.levels_exceeded(mean), rule.levels_not_cleared(mean), time, live, mean, events)

    def _note_off(self, reading: Reading) -> None:
        """Record which sensors are off."""
        back = {key for key in self.off if reading.value(key) is not None}
        self.off = (self.off - back) | frozenset(reading.sensor_off)

    def _is_known(self, time: datetime) -> bool:
        """Return whether a reading of this time was evaluated before the restart."""
        return any(alert.reading_at and time <= alert.reading_at for alert in self.alerts.values())

    def note(
        self, rule: Rule, depth: int, held: int, time: datetime, live: bool, value: float | None, events: list[Event]
    ) -> None:
        """Count the delays of a rule, and change its alert where one has passed.

        A backlog, and a redelivered reading that was evaluated before a restart, count and change no alert.
        """
        before = self.counts.get(rule.name)
        if before is None:
            if not depth:
                return
            before = level_state.initial(rule)
        alert = self.alerts.get(rule.name)
        is_replayed = self._redelivered and self.is_replayed(rule)  # it was evaluated before a restart
        if not is_replayed:
            before = _at_level_of(alert, rule, before)  # first, for it drops the delays of a level that has ended
        if not self._certain and alert is not None and held < alert.level:
            return  # a reading that may be late ends nothing
        after = level_state.observe(before, depth, held, time, value)
        if is_replayed:
            after = level_state.follow(rule, after, time, self.clock.longest_interval(self.interval))
        elif live:
            after = self.settle(rule, after, time, value, events)
        if is_replayed or not live:
            self.reported = frozenset()
        if after is not before:
            self.store(rule, after)

    def settle(
        self, rule: Rule, state: LevelState, time: datetime, value: float | None, events: list[Event]
    ) -> LevelState:
        """Change the rule's alert if its delays call for another level; return the state at that level."""
        alert = self.alerts.get(rule.name)
        state = _at_level_of(alert, rule, state)
        # Of use to a delay only. A device may announce a shorter interval than it has.
        interval = self.clock.longest_interval(self.interval) if state.depth > state.level else None
        level = level_state.target_level(rule, state, time, interval)
        says_nothing_new = level > state.level and self._says_nothing_new(rule, level)
        if rule.source == "news2":
            self._note_reported(rule, says_nothing_new and level == state.depth)
        if level == state.level or says_nothing_new:
            worse = None if alert is None else worsened(alert, rule, time, self.last, value)
            if worse is not None:
                self.keep(worse, events)
            return state
        score = self.held.score() if rule.source == "news2" else None
        if alert is None:
            alert = raised(self, rule, level, state.beyond[level - 1] or time, time, value, score)
            if self.patient.alternates(time):
                alert = replace(alert, patient_id=None)  # it may be of any of them
        else:
            alert = transition(alert, rule, level, time, self.last, value, score)
        self.keep(alert, events)
        if level < state.level:  # a level that has ended needs its whole delay again
            return state._replace(level=level, beyond=level_state.without_delays(state.beyond, level))
        return state._replace(level=level)

    def _says_nothing_new(self, rule: Rule, level: int) -> bool:
        """Return whether the alert would repeat an open one: one cause raises one alarm.

        - NEWS2, if a single input scores and its sign has an alert.
        - The mean pressure, if the systolic pressure has an alert.
        - A sensor that is off, or a sign that is gone, if no sign is measured: `all-sensors-off` reports it.

        For a redelivered reading that was evaluated before a restart, the alerts of that time are not known.
        """
        if rule.name in self.alerts:
            return False
        if rule.source in ("sensor-off", "sign-gone"):
            return self.nothing_measured and any(r.source == "all-sensors-off" for r in self.rules.device_checks)
        if rule.source == "news2":
            repeated = self.held.scoring_inputs()
        elif rule.source == "mean-bp":
            repeated = [SIGN_KEYS[SYSTOLIC]]
        else:
            return False
        if len(repeated) != 1:
            return False
        (sign,) = repeated
        wanted = rule.levels[level - 1].priority.rank
        return any(
            alert.sign == sign and alert.level and alert.priority.rank >= wanted for alert in self.alerts.values()
        ) or any(other.sign == sign and self.is_replayed(other) for other in self.rules.rules)

    def _note_reported(self, rule: Rule, reported: bool) -> None:
        """Record whether only a reading, or a change of another alert of the bed, can raise this rule's alert."""
        if (reported and self.replay_watermark is None) != (rule.name in self.reported):
            self.reported ^= {rule.name}

    def keep(self, alert: Alert, events: list[Event]) -> None:
        """Store the alert and add it to the events."""
        self.reported = frozenset()
        if alert.is_open:
            self.alerts[alert.rule] = alert
        else:
            self.alerts.pop(alert.rule, None)
        events.append(Event(alert))

    def store(self, rule: Rule, state: LevelState) -> None:
        """Store the state of a rule, or drop it if nothing is counted and no alert is open."""
        if state.is_idle and rule.name not in self.alerts:
            self.counts.pop(rule.name, None)
            self.counts = self.counts or NO_COUNTS
        elif self.counts:
            self.counts[rule.name] = state
        else:
            self.counts = {rule.name: state}

    def _refresh_active_sign(self, watch: SignRules) -> None:
        if any(rule.name in self.counts for rule in watch.rules):
            self._active_signs |= watch.bit
        else:
            self._active_signs &= ~watch.bit

    def is_replayed(self, rule: Rule) -> bool:
        """Return whether this reading was evaluated before the restart, as far as the rule's alert shows."""
        return self._redelivered and self.last is not None and self.last <= self.replay_watermarks.get(rule.name, NEVER)

    def note_score(self, rule: Rule, total: int, worst: int, time: datetime, live: bool, events: list[Event]) -> None:
        """Evaluate the score; it clears only while every input that scored at the last change has a value."""
        depth = held = 0
        for place, level in enumerate(rule.levels, 1):
            single = level.single is not None and worst >= level.single
            if single or total > level.limit:
                depth = place
            if single or total > level.clear:
                held = place
        if not depth and rule.name not in self.counts:
            return
        alert = self.alerts.get(rule.name)
        if alert is not None and alert.parts and held < alert.level:
            scored_then = [key for key, points in alert.parts.items() if points]
            held = alert.level if self.held.lacks(scored_then) else held
        elif alert is None and self.is_replayed(rule) and rule.name in self.counts:
            held = max(held, self.counts[rule.name].level)  # the inputs that scored then are not known
        self.note(rule, depth, held, time, live, float(total), events)

    def _note_sensors(self, reading: Reading, time: datetime, live: bool, events: list[Event]) -> None:
        for rule in self.rules.sensors:
            assert rule.sign is not None
            if rule.sign in reading.sensor_off:
                everything = len(rule.levels)
                self.note(rule, everything, everything, time, live, None, events)
            elif rule.name in self.counts and reading.value(rule.sign) is not None:
                self.note(rule, 0, 0, time, live, None, events)

    def refresh_active_signs(self) -> None:
        """Update which signs have a delay or an alert; only for these a value within all limits matters."""
        for watch in self.rules.sign_rules:
            self._refresh_active_sign(watch)


def _at_level_of(alert: Alert | None, rule: Rule, state: LevelState) -> LevelState:
    """Return the state at the level of the alert: `follow` cannot reproduce every change before a restart."""
    if state.level == (0 if alert is None else alert.level):
        return state
    level = min(alert.level, len(rule.levels)) if alert is not None else 0
    beyond = level_state.without_delays(state.beyond, level) if level < state.level else state.beyond
    return state._replace(level=level, beyond=beyond)
