"""A bed: all that is known of one device, and how readings, silence and words about its presence change its alerts.

Third hop of a reading in this room, after the socket and `vitals.codec`. No clock and no socket: the time comes in, the
changes go out as events. One object a device, so a reading costs the same whether there are ten beds or ten thousand;
the value of each rule inside is replaced, never changed, and `machine` says by what.

One time line per device, that of its readings:
- A late or repeated reading (not after the last one taken) moves nothing.
- A stale one, older than `stale_after` by the worker's clock, counts delays and neither raises nor clears; for
  `no-data` it is silence, so a device whose clock is far behind is noticed.
- A sign that is missing, or whose sensor is off, moves nothing of that sign: an alert stays, and what is pending stays
  pending, until a value says otherwise.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts import machine
from alerts.changes import raised, turned
from alerts.machine import Count
from alerts.turnover import meet, uncount
from vitals.alert import Alert, Event
from vitals.limits import Limits
from vitals.news2 import LastValues
from vitals.reading import Reading, sign_values
from vitals.rules import Rule, RuleSet

NOTHING: Sequence[Event] = ()


class Bed:
    """One device. `now` is the worker's clock, of which only silence, pauses and staleness are reckoned."""

    def __init__(self, device: str, ward: str, rules: RuleSet, now: datetime) -> None:
        self.device = device
        self.ward = ward
        self.patient_id: str | None = None
        self.alerts: dict[str, Alert] = {}  # by rule; the open ones
        self.counts: dict[str, Count] = {}  # by rule; only those at which something is counted
        self.last: datetime | None = None  # time of the newest reading taken
        self.fresh_at = now  # when the last reading came that was not stale
        self.offline_since: datetime | None = None
        self.boot: int | None = None
        self.interval = timedelta()
        self.floors: dict[str, datetime] = {}  # after a restart: up to here a rule's alert has seen the readings
        self.floor: datetime | None = None  # the newest of them
        self._stirred: set[int] = set()  # positions of signs at which something is counted
        self.rules = self.ward_rules = rules  # those that hold here, and those of the file
        self.limits: Limits | None = None  # this bed's own, for as long as they hold for its patient
        self.held = LastValues(rules.spo2_scale)

    def evaluate(self, reading: Reading, ward: str, now: datetime) -> Sequence[Event]:
        """Take one reading; the changes it makes, in order."""
        time = reading.time
        if self.last is not None and time <= self.last:
            return NOTHING
        events: list[Event] = []
        patient = reading.patient_id
        if ward != self.ward or (patient != self.patient_id and patient is not None):
            # Delivered again after a restart, and from before what the alerts already know: it moves no one.
            known = any(alert.reading_at and time <= alert.reading_at for alert in self.alerts.values())
            if not known:
                events = meet(self, patient, ward, time)
            elif patient != self.patient_id and patient is not None:
                uncount(self)
                return NOTHING
        self.last = time
        rules = self.rules
        live = now - time <= rules.stale_after
        if live:
            self.fresh_at = now
        if self.floor is not None and time > self.floor:
            self.floor = None
            self.floors = {}
        values = sign_values(reading)
        stirred = self._stirred
        for watch in rules.sign_rules:
            value = values[watch.position]
            if value is None or (watch.low <= value <= watch.high and watch.position not in stirred):
                continue
            counted = len(self.counts)
            for rule in watch.rules:
                self.note(rule, rule.levels_exceeded(value), rule.levels_not_cleared(value), time, live, value, events)
            if len(self.counts) != counted:
                self._stir(watch.position, watch.rules)
        if rules.scored:
            total, worst = self.held.update(reading, values, time)
            for rule in rules.scored:
                self._note_score(rule, total, worst, time, live, events)
        if rules.sensors and (reading.sensor_off or self.counts):
            self._note_sensors(reading, time, live, events)
        if self.counts and live:
            for rule in rules.timed:
                if rule.source == "no-data" and rule.name in self.counts and not self._before(rule, time):
                    self.note(rule, 0, 0, now, True, None, events)
        return events

    def note(
        self, rule: Rule, depth: int, held: int, time: datetime, live: bool, value: float | None, events: list[Event]
    ) -> None:
        """Count, and change the alert where a delay is over; not for a stale reading or one known to the alert."""
        before = self.counts.get(rule.name)
        if before is None:
            if not depth:
                return
            before = machine.fresh(rule)
        after = machine.count(before, depth, held, time)
        if live and not self._before(rule, time):
            after = self.settle(rule, after, time, value, events)
        if after is not before:
            self.store(rule, after)

    def settle(self, rule: Rule, state: Count, time: datetime, value: float | None, events: list[Event]) -> Count:
        """Change the rule's alert where the count calls for another level; the count at that level."""
        level = machine.due(rule, state, time)
        if level == state.level:
            return state
        alert = self.alerts.get(rule.name)
        score = self.held.score() if rule.source == "news2" else None
        if alert is None:
            alert = raised(self, rule, level, state.beyond[level - 1] or time, time, value, score)
        else:
            alert = turned(alert, rule, level, time, self.last, value, score)
        self.keep(alert, events)
        return state._replace(level=level)

    def keep(self, alert: Alert, events: list[Event]) -> None:
        """Hold the alert as it now stands, and tell it."""
        if alert.is_open:
            self.alerts[alert.rule] = alert
        else:
            self.alerts.pop(alert.rule, None)
        events.append(Event(alert))

    def store(self, rule: Rule, state: Count) -> None:
        """Hold a rule's count, or forget it where nothing is counted."""
        if state.is_idle:
            self.counts.pop(rule.name, None)
        else:
            self.counts[rule.name] = state

    def _stir(self, position: int, rules: Sequence[Rule]) -> None:
        if any(rule.name in self.counts for rule in rules):
            self._stirred.add(position)
        else:
            self._stirred.discard(position)

    def _before(self, rule: Rule, time: datetime) -> bool:
        """Whether the rule's alert was changed by this reading or a later one before the restart."""
        return bool(self.floors) and rule.name in self.floors and time <= self.floors[rule.name]

    def _note_score(self, rule: Rule, total: int, worst: int, time: datetime, live: bool, events: list[Event]) -> None:
        """A score clears only where every input that scored at the last change is still there."""
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
            missing = self.held.score().missing
            if any(points and key in missing for key, points in alert.parts.items()):
                held = alert.level
        self.note(rule, depth, held, time, live, float(total), events)

    def _note_sensors(self, reading: Reading, time: datetime, live: bool, events: list[Event]) -> None:
        for rule in self.rules.sensors:
            assert rule.sign is not None
            if rule.sign in reading.sensor_off:
                everything = len(rule.levels)
                self.note(rule, everything, everything, time, live, None, events)
            elif rule.name in self.counts and reading.value(rule.sign) is not None:
                self.note(rule, 0, 0, time, live, None, events)

    def stir(self) -> None:
        """Note which signs have something counted; only of these a value within the quiet range matters."""
        for watch in self.rules.sign_rules:
            self._stir(watch.position, watch.rules)
