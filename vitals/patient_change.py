"""Which patient a device measures: when another patient id counts as another patient. Pure.

A wrong answer is dangerous in both directions. A change that is believed too early resets the delays of alarms: two
spellings of one id in turn (`p-1`, `P-1`) would silence them for ever. One that is believed too late shows one
patient's values as another's. So another id counts at once after a later boot of the device, or when a person has
assigned that patient to the bed, and otherwise when it has held for CHANGE_AFTER. Ids that replace each other are never
a change: they are reported, because the patients cannot be distinguished.
"""

from datetime import datetime, timedelta
from enum import Enum

CHANGE_AFTER = timedelta(seconds=2)
ALTERNATING_WITHIN = timedelta(seconds=60)
"""Two ids within this time that did not hold for as long are ids in turn; the report ends after as long without one."""


class Patient(Enum):
    """Verdict on the patient id of a reading."""

    SAME = "same"
    CANDIDATE = "candidate"  # another id, which has not held yet
    CHANGED = "changed"  # from this reading on; the candidate's readings are of the new patient too


class PatientTracker:
    """The patient on one device."""

    __slots__ = (
        "_alternated_at",
        "_boot",
        "_changed_at",
        "_held_since",
        "candidate",
        "current",
        "is_reported",
        "other",
        "since",
    )

    def __init__(self, current: str | None = None) -> None:
        self.current = current
        self.is_reported = current is not None  # by the device, not only assigned
        self.other: str | None = None  # the id that was reported in turn with `current`, last
        self.candidate: str | None = None  # another id, which has not held yet
        self.since: datetime | None = None  # time of the first reading of the candidate, or of the present patient
        self._held_since: datetime | None = None  # its arrival
        self._boot = 0
        self._changed_at: datetime | None = None  # arrival at which an id that had to hold became `current`
        self._alternated_at: list[datetime] = []

    def observe(
        self, patient_id: str | None, boot: int, arrival: datetime, *, time: datetime | None = None, hold: bool = False
    ) -> Patient:
        """Take the id of a reading; None where the reading names no patient.

        time   of the reading on the time line of arrivals, if it is not that of its arrival
        hold   it cannot be a change yet
        """
        if patient_id is None:
            return Patient.SAME if self.candidate is None else Patient.CANDIDATE
        if patient_id == self.current:
            if self.candidate is not None:
                self._note_turn(self.candidate, arrival)
                self.candidate = None
            self._boot = boot
            self.is_reported = True
            return Patient.SAME
        if self.current is None and self.alternates(arrival):  # after a restart: it may be any of them
            self.current, self._boot, self.is_reported = patient_id, boot, True
            return Patient.SAME
        # A boot that is not later is no new start: two devices may have one name.
        if self.current is None or (boot > self._boot > 0 and not hold and not self.alternates(arrival)):
            self.since = time or arrival
            return self._change(patient_id, boot)
        if patient_id != self.candidate or self._held_since is None:
            if self.candidate is not None:
                self._note_turn(self.candidate, arrival)
            self.candidate, self.since, self._held_since = patient_id, time or arrival, arrival
        elif arrival - self._held_since >= CHANGE_AFTER and not hold and not self.alternates(arrival):
            if self._changed_at is None or arrival - self._changed_at > ALTERNATING_WITHIN:
                self._changed_at = arrival
                return self._change(patient_id, boot)
            self.other, self._alternated_at = patient_id, [arrival, arrival]  # the present one has not held
        return Patient.CANDIDATE

    def assign(self, patient_id: str | None, now: datetime) -> bool:
        """Take the patient that a user has assigned, None for a discharge; return whether the patient changes.

        A patient that the device itself reports stays: then the assignment contradicts the device.
        """
        if patient_id == self.current or (self.is_reported and patient_id != self.candidate):
            return False
        if self.candidate is None or patient_id != self.candidate:
            self.since = now
        self.current, self.candidate, self.is_reported = patient_id, None, False
        return True

    def forget(self) -> None:
        """Forget the patient, also one that the device itself reports: the bed was discharged."""
        self.current, self.candidate, self.is_reported = None, None, False

    def alternates(self, now: datetime) -> bool:
        """Return whether two ids alternate: more than one patient, or one patient in two spellings."""
        returns = self._alternated_at
        return len(returns) == 2 and returns[1] - returns[0] <= ALTERNATING_WITHIN >= now - returns[1]

    def restore_turns(self, now: datetime) -> None:
        """Continue, after a restart, with ids that alternated before it."""
        self._alternated_at = [now, now]

    def _note_turn(self, other: str, arrival: datetime) -> None:
        """Note that an id did not hold."""
        self.other = other
        self._alternated_at = [*self._alternated_at[-1:], arrival]

    def _change(self, patient_id: str, boot: int) -> Patient:
        self.current, self.candidate, self._boot = patient_id, None, boot
        self.is_reported = True
        return Patient.CHANGED
