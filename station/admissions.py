"""Admit, transfer and discharge patients for users of the pages. One change at a time, each checked against the last.

The request is recorded on the user's own broker connection, so that the broker vouches for the user; then the station
publishes the retained assignment with the user's name, and waits until it has come back: the next request sees it.
Every step can fail. None is undone: the error states what was done.
"""

import asyncio
from datetime import UTC, datetime

import msgspec

from station.auth.user_connection import UserConnection
from station.bed import BedState
from station.patient_names import PatientName, PatientNames
from station.pending_commands import Publish
from station.ward import Ward
from vitals.alert_format import bed_name, sanitize
from vitals.assignment import Assignment, Profile, Scale, encode_assignment, is_same_patient, rules_for_bed
from vitals.audit import Admission
from vitals.errors import TransientError
from vitals.limits import Limits, RequestRejected, require_printable

ECHO_TIMEOUT_S = 3.0  # seconds in which the broker delivers an assignment to the station that published it


class Admissions:
    """The changes of assignments that the station makes. `publish`: retained, on the station's own connection."""

    def __init__(self, ward: Ward, publish: Publish, names: PatientNames) -> None:
        self._ward = ward
        self._publish = publish
        self._names = names
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()

    def on_assignment(self) -> None:
        """Continue the request that waits for its assignment."""
        self._changed.set()

    async def admit(
        self,
        user: UserConnection,
        bed: BedState,
        present: str | None,
        patient_id: str,
        profile: Profile,
        scale: Scale,
        known: PatientName | None = None,
    ) -> None:
        """Assign a patient to a bed, or change the age group, the SpO2 scale or the name of the assigned one.

        present   the patient that the form of the user shows as assigned
        known     name and date of birth; None: leave what is stored

        Raises RequestRejected with a sentence for the user, and TransientError if it is not certain that it was done.
        """
        patient_id = _patient_id(patient_id)
        known = self._names.check(known)
        async with self._lock:
            self._require_present(bed, present)
            if present not in (None, patient_id):
                raise RequestRejected(f"patient {present} is in this bed; discharge or transfer this patient first")
            self._require_in_no_other_bed(user, bed, patient_id)
            now = datetime.now(UTC)
            assignment = Assignment(patient_id=patient_id, profile=profile, spo2_scale=scale, by=user.name, time=now)
            self._check_limits(bed, assignment)
            # First: pages ask for names when the assignment arrives, and an error here has changed nothing.
            await self._names.store(patient_id, known, user.name, correct=present is not None)
            await self._record(
                user, bed, Admission(action="admit", time=now, patient_id=patient_id, profile=profile, spo2_scale=scale)
            )
            await self._assign(bed, assignment)

    async def discharge(self, user: UserConnection, bed: BedState, present: str | None) -> None:
        """Discharge a bed: end the assignment and remove the limits. The alert worker closes its alerts."""
        async with self._lock:
            self._require_present(bed, present)
            now = datetime.now(UTC)
            await self._record(user, bed, Admission(action="discharge", time=now, patient_id=present))
            await self._vacate(user, bed, now)

    async def transfer(self, user: UserConnection, bed: BedState, present: str, to: BedState) -> None:
        """Move the assigned patient with the limits to another bed, then discharge the former one."""
        async with self._lock:
            self._require_present(bed, present)
            assignment, limits = bed.assignment, bed.limits
            if assignment is None:
                raise RequestRejected("no patient is assigned to this bed; reload the page")
            if bed is to:
                raise RequestRejected("the patient is in this bed already; choose another bed")
            self._require_present(to, None)
            now = datetime.now(UTC)
            moved = msgspec.structs.replace(assignment, by=user.name, time=now)
            if limits is not None and limits.applies_to(present):
                limits = msgspec.structs.replace(limits, by=user.name, time=now)
            elif to.limits is not None and to.limits.applies_to(present):
                raise RequestRejected(
                    f"{to.snapshot.name} has limits that {sanitize(to.limits.by)} set, and this patient has none; "
                    f"reset the limits of {to.snapshot.name} first, or choose another bed"
                )
            else:
                limits = to.limits
            self._check_limits(to, moved, limits)
            target = to.snapshot.bed
            request = Admission(action="transfer", time=now, patient_id=present, bed=f"{target.ward}/{target.device}")
            await self._record(user, bed, request)
            await self._assign(to, moved)
            try:
                if limits is not to.limits:
                    await self._publish(
                        self._ward.topics.limits(target.ward, target.device), msgspec.json.encode(limits)
                    )
                await self._vacate(user, bed, now)
            except TransientError as error:
                raise TransientError(
                    f"patient {present} is now in {to.snapshot.name}, but it is not certain that "
                    f"{bed.snapshot.name} was discharged: check the limits and both beds ({error})"
                ) from None

    async def note_use(self, now: datetime) -> None:
        """State in the retained discharge of a bed that a value was measured since then.

        A service that starts later would otherwise take the silence of that bed for a vacant one. A request of a user
        comes first: then the next call does it. Where another client assigned a patient in the same moment, its
        assignment is published again. Raises TransientError.
        """
        if self._lock.locked():
            return
        for device in list(self._ward.overwritten):
            async with self._lock:
                if device in self._ward.overwritten and device in self._ward.beds:
                    await self._assign(self._ward.beds[device], self._ward.assignments[device])
        for place in self._ward.newly_in_use():
            async with self._lock:
                discharged = self._ward.assignments.get(place.device)
                if discharged is not None and discharged.is_discharge and discharged.in_use_since is None:
                    await self._assign(
                        self._ward.beds[place.device], msgspec.structs.replace(discharged, in_use_since=now)
                    )

    # --- checks ---

    def _require_present(self, bed: BedState, present: str | None) -> None:
        """Raise RequestRejected unless this patient is assigned to the bed: another user may have been faster."""
        assigned = bed.assignment
        if (None if assigned is None else assigned.patient_id) == present:
            return
        last = self._ward.assignments.get(bed.snapshot.bed.device)
        by = f" by {sanitize(last.by)}" if last is not None else ""
        if assigned is None:
            raise RequestRejected(f"patient {present} was discharged from {bed.snapshot.name}{by} in the meantime")
        raise RequestRejected(
            f"patient {assigned.patient_id} was admitted to {bed.snapshot.name}{by} in the meantime; "
            "check the patient and the bed"
        )

    def _require_in_no_other_bed(self, user: UserConnection, bed: BedState, patient_id: str) -> None:
        """Raise RequestRejected if the patient, in any spelling of the number, is assigned to another bed."""
        for other in self._ward.beds.values():
            assigned = other.assignment
            if other is bed or assigned is None or not is_same_patient(assigned.patient_id, patient_id):
                continue
            place = other.snapshot.bed
            if not user.viewable.includes(place.ward):
                raise RequestRejected("this patient is in a bed of another ward; ask that ward to transfer the patient")
            raise RequestRejected(
                f"patient {assigned.patient_id} is in {bed_name(place.ward, place.device)} of ward {place.ward}; "
                "transfer the patient from there, or check the number"
            )

    def _check_limits(self, bed: BedState, assignment: Assignment, limits: Limits | None = None) -> None:
        """Raise RequestRejected if the bed's limits contradict the rules of the patient's age group."""
        encode_assignment(assignment)
        limits = limits or bed.limits
        if self._ward.rules is None or limits is None:
            return
        try:
            rules_for_bed(self._ward.rules, assignment, limits, assignment.patient_id)
        except RequestRejected:
            raise RequestRejected(
                f"the limits of {bed.snapshot.name} contradict those of this age group; reset the limits first"
            ) from None

    # --- steps ---

    async def _record(self, user: UserConnection, bed: BedState, admission: Admission) -> None:
        place = bed.snapshot.bed
        topic = self._ward.topics.admissions(place.ward, place.device, user.name)
        await user.publish(topic, msgspec.json.encode(admission))

    async def _vacate(self, user: UserConnection, bed: BedState, now: datetime) -> None:
        await self._assign(bed, Assignment(patient_id=None, by=user.name, time=now))
        place = bed.snapshot.bed
        try:
            await self._publish(self._ward.topics.limits(place.ward, place.device), b"")
        except TransientError:
            raise TransientError(
                f"the bed {bed.snapshot.name} is discharged, but it is not certain that its limits were removed; "
                "check the limits before the next patient"
            ) from None

    async def _assign(self, bed: BedState, assignment: Assignment) -> None:
        """Publish an assignment and wait until the broker delivers it here."""
        place = bed.snapshot.bed
        self._changed.clear()
        await self._publish(self._ward.topics.assignments(place.ward, place.device), encode_assignment(assignment))
        try:
            async with asyncio.timeout(ECHO_TIMEOUT_S):
                while self._ward.assignments.get(place.device) != assignment:
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            raise TransientError("it is not certain that this was done; check the page before trying again") from None


def _patient_id(text: str) -> str:
    """Return a patient number without spaces around it; raises RequestRejected with a sentence for the user."""
    patient_id = text.strip()
    try:
        require_printable("patient_id", patient_id)
    except RequestRejected:
        raise RequestRejected(
            "the patient number must have 1 to 200 characters, without line ends and invisible characters"
        ) from None
    return patient_id
