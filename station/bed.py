"""State of one bed: patient, last value of each sign, score, and the values of the last minutes. Pure.

Path of a reading: `listener` receives it, `ward` finds its bed, `BedState` applies it, `frame` encodes it for browsers.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from vitals.assignment import Assignment, rules_for_bed, spo2_scale_for_bed
from vitals.bed_snapshot import BedSnapshot, Condition
from vitals.clock import DeviceClock, Placement
from vitals.limits import Limits, RequestRejected
from vitals.news2 import LastValues, Score
from vitals.patient_change import Patient, PatientTracker
from vitals.reading import Reading, sign_values
from vitals.rules import RuleSet
from vitals.thresholds import STALE_AFTER
from vitals.topics import DeviceAddress

KEPT = timedelta(minutes=5)
"""How far back the live curves reach. One point per second, so that a fast device needs no more memory."""

MAX_CANDIDATES = 60
NOT_APPLICABLE = Score(0, {}, ())

Values = tuple[float | None, ...]


class BedState:
    """One device. `limits`: the bed's own, if set; `rules`: those of the alert worker, once known."""

    def __init__(self, place: DeviceAddress, limits: Limits | None = None, rules: RuleSet | None = None) -> None:
        self.snapshot = BedSnapshot(place)
        self.assignment: Assignment | None = None
        self.assigned_at: datetime | None = None  # or discharged
        self.vacant_since: datetime | None = None  # the discharge, if no value was measured after it
        self.limits = limits
        self.rules = rules
        self.patient = PatientTracker()
        self.announced: timedelta | None = None  # interval of the device's birth
        self.clock = DeviceClock(STALE_AFTER)
        # Readings of a patient id that is not confirmed yet.
        self._candidates: list[tuple[Reading, str, datetime, Placement]] = []
        self._scored_on = self._scale()
        self._held = LastValues(self._scored_on)
        self._recent: deque[tuple[int, Values]] = deque(maxlen=int(KEPT.total_seconds()))

    def add_reading(self, reading: Reading, ward: str, now: datetime) -> None:
        """Take a reading that arrived at `now`. A backlog changes nothing: its values are not current."""
        self._add(self.clock.add(reading, now), ward)

    def settle(self, now: datetime) -> None:
        """Take the readings that were held back until a pause showed that they are no backlog."""
        self._add(self.clock.settle(now), self.snapshot.bed.ward)

    def _add(self, placed: list[tuple[Reading, datetime, Placement]], ward: str) -> None:
        for reading, arrival, placement in placed:
            at = min(placement.time, arrival)
            if self.vacant_since is not None:
                if at < self.vacant_since:
                    continue  # of the patient who was discharged
                self.vacant_since = None
            if not placement.live:
                continue
            rules = None if placement.certain else self._own_rules()
            shown = self.snapshot.shown_part(reading, arrival, placement, self.clock, self._held, rules)
            if shown is None:
                continue  # sent again
            part, place = shown
            since = min(place.time, arrival) if place.newest else arrival
            verdict = self.patient.observe(part.patient_id, part.boot, arrival, time=since)
            if verdict is Patient.CANDIDATE and not self.patient.alternates(arrival):
                self._candidates = [*self._candidates[-MAX_CANDIDATES:], (part, ward, arrival, place)]
                continue
            if verdict is Patient.CHANGED:
                self._change_patient()
            self._candidates.clear()
            self._apply(part, ward, arrival, place)

    def assign(self, assignment: Assignment | None, now: datetime) -> None:
        """Take the patient that a user has assigned to the bed, or a discharge; None: the device alone names one."""
        self.assigned_at = None if assignment is None else min(assignment.time or now, now)
        if assignment is not None and assignment.is_discharge:
            self._discharge(self.assigned_at if assignment.in_use_since is None else None)
            return
        self.assignment, self.vacant_since = assignment, None
        patient = None if assignment is None else assignment.patient_id
        if patient != self.patient.candidate:
            self._candidates.clear()  # of a third patient
        if self.patient.assign(patient, now):
            self._change_patient()
            self._candidates.clear()
        self.use(self.limits, self.rules)

    def _discharge(self, since: datetime | None) -> None:
        """Forget the patient and every value, whoever reports it."""
        self.assignment, self.vacant_since = None, since
        self._candidates.clear()
        self.patient.forget()
        self._forget_values(self.assigned_at)
        self.use(self.limits, self.rules)

    def _forget_values(self, since: datetime | None) -> None:
        self._recent.clear()
        self._held = LastValues(self._scored_on)
        if since is not None:
            self._held.forget_before(since)
        self.snapshot = self.snapshot.with_patient(self.patient.current)

    def _change_patient(self) -> None:
        """Forget the former patient. Values measured while no patient was known belong to the present one."""
        if self.snapshot.patient is None:
            self.snapshot = replace(self.snapshot, patient=self.patient.current)
            return
        self._forget_values(self.patient.since)
        for candidate in self._candidates:
            self._apply(*candidate)

    def _apply(self, reading: Reading, ward: str, arrival: datetime, placement: Placement) -> None:
        """Show a live reading of the present patient; of one that is not the newest, its new part."""
        if ward != self.snapshot.bed.ward:
            self.move(ward)
        at = min(placement.time, arrival)
        snapshot = self.snapshot.with_reading(reading, at, newest=placement.newest)
        interval = self.clock.usual_interval(self.announced)
        if interval is not None:
            snapshot = replace(snapshot, interval_s=interval.total_seconds())
        # With two ids in turn the patient is unknown; the technical alert two-patients says so.
        patient = None if self.patient.alternates(at) else self.patient.current
        self.snapshot = replace(snapshot, patient=patient)
        self.use(self.limits, self.rules)
        values = sign_values(reading)
        self._held.update(reading, values, placement.time)
        second = int(at.timestamp())
        if self._recent and self._recent[-1][0] >= second:
            second, earlier = self._recent.pop()
            values = tuple(new if new is not None else old for new, old in zip(values, earlier, strict=True))
        self._recent.append((second, values))

    def move(self, ward: str) -> None:
        """Move the device to another ward."""
        self.snapshot = replace(self.snapshot, bed=DeviceAddress(ward, self.snapshot.bed.device))

    def use(self, limits: Limits | None, rules: RuleSet | None) -> None:
        """Use these limits and rules from now on; they determine the SpO2 scale of the score."""
        self.limits, self.rules = limits, rules
        if self._scale() != self._scored_on:
            self._scored_on = self._scale()
            self._held = self._held.with_scale(self._scored_on)

    @property
    def score(self) -> Score:
        """The NEWS2 as of the last reading; without parts if it does not apply to the patient."""
        assignment = self.assignment
        if assignment is not None and assignment.applies_to(self.snapshot.patient) and not assignment.has_news2:
            return NOT_APPLICABLE
        return self._held.score()

    def condition(self, now: datetime) -> Condition:
        """Return the condition; a vacant bed has no other one, whatever its device does."""
        return self.snapshot.condition(now) if self.vacant_since is None else Condition.VACANT

    def recent(self, span: timedelta) -> Iterator[tuple[int, Values]]:
        """Unix second and values of the signs, oldest first, over the last `span` up to the last reading."""
        if self._recent:
            begin = self._recent[-1][0] - span.total_seconds()
            for second, values in self._recent:
                if second > begin:
                    yield second, values

    def _own_rules(self) -> RuleSet | None:
        """Return the rules of this bed, as the alert worker applies them; None before they are known."""
        if self.rules is None:
            return None
        patient = self.snapshot.patient
        try:
            return rules_for_bed(self.rules, self.assignment, self.limits, patient)
        except RequestRejected:  # the bed's own limits contradict the age group
            return rules_for_bed(self.rules, self.assignment, None, patient)

    def _scale(self) -> int:
        default = 1 if self.rules is None else self.rules.spo2_scale
        return spo2_scale_for_bed(default, self.assignment, self.limits, self.snapshot.patient)
