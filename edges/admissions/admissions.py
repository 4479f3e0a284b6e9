"""Decide what an admission, transfer, discharge, update or merge changes on the beds. Pure.

The retained assignments and limits of the broker are the state: an event that is applied a second time, after a kill,
finds what the first time left and continues. Two rules keep patients apart:

1. An event changes nothing that was assigned after it, by a user of the station or by a later event.
2. A bed is emptied only of the patient that the event names. A bed into which the hospital's system puts another
   patient is assigned to that one: the monitor's values must not be shown under the name of the former patient.

Limits are removed before the assignment that ends them. The other order, interrupted, would leave them to the next
patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from vitals.assignment import Assignment, Profile, is_same_patient
from vitals.audit import Admission
from vitals.limits import Limits
from vitals.topics import DeviceAddress

DEFAULT_PROFILE: Profile = "adult"
"""Age group of a patient whose date of birth is not known: that of a bed without an assignment."""


class AdmissionEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What another system states about one patient.

    patient_id         after a merge: the number that stays
    former_patient_id  of a merge: the number that it replaces
    profile            age group; None: the date of birth is not known
    bed                where the patient is now, or was discharged from; None for a place without a monitor
    former_bed         of a transfer: where the patient was
    by                 for the assignment: the sender
    other              of a swap: the same of the other patient
    """

    kind: Literal["admit", "transfer", "discharge", "update", "merge"]
    time: Annotated[datetime, Meta(tz=True)]
    by: str
    patient_id: str
    former_patient_id: str | None = None
    profile: Profile | None = None
    bed: DeviceAddress | None = None
    former_bed: DeviceAddress | None = None
    other: "AdmissionEvent | None" = None

    @property
    def moves(self) -> bool:
        """Whether it states where the patient is."""
        return self.kind in ("admit", "transfer", "discharge")


@dataclass(slots=True)
class Beds:
    """What the broker retains for each bed."""

    assignments: dict[DeviceAddress, Assignment] = field(default_factory=dict)
    limits: dict[DeviceAddress, Limits] = field(default_factory=dict)

    def of_patient(self, patient_id: str | None) -> list[DeviceAddress]:
        """Return the beds to which the patient is assigned, in any spelling of the number."""
        return [place for place, found in self.assignments.items() if is_same_patient(found.patient_id, patient_id)]

    def apply(self, step: "Step") -> None:
        """Take a step as done."""
        if isinstance(step.content, Assignment):
            self.assignments[step.bed] = step.content
        elif step.content is not None:
            self.limits[step.bed] = step.content
        else:
            self.limits.pop(step.bed, None)


@dataclass(frozen=True, slots=True)
class Step:
    """One retained message: an assignment, limits, or None for the removal of the limits."""

    bed: DeviceAddress
    content: Assignment | Limits | None


class Effect(StrEnum):
    """What an event does."""

    APPLIED = "applied"
    REPLACED = "replaced"  # applied, and the patient who was assigned to the bed is now in none
    UNCHANGED = "unchanged"  # the beds say so already
    OLDER = "older"  # something later is known of the patient or the bed
    NOT_ASSIGNED = "not_assigned"  # the patient is in no bed that it could change


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of an event in their order, and for the audit record what was requested of which bed."""

    effect: Effect
    steps: Sequence[Step] = ()
    records: Sequence[tuple[DeviceAddress, Admission]] = ()


def plan(event: AdmissionEvent, beds: Beds, last: datetime | None = None) -> Plan:
    """Return what an event changes.

    last   time of the newest event that stated where the patient is: one that arrives late moves no patient back
    """
    if event.moves and last is not None and last > event.time:
        return Plan(Effect.OLDER)
    match event.kind:
        case "discharge":
            return _discharge(event, beds)
        case "update":
            return _update(event, beds)
        case "merge":
            return _merge(event, beds)
        case _ if event.other is not None:
            return _swap((event, event.other), beds)
        case _:
            return _move(event, beds)


def _move(event: AdmissionEvent, beds: Beds) -> Plan:
    to = event.bed
    former = [place for place in beds.of_patient(event.patient_id) if place != to]
    if to is None and event.former_bed is not None:
        former = [place for place in former if place == event.former_bed]
    if any(_is_newer(beds.assignments.get(place), event) for place in ([to] if to else []) + former):
        return Plan(Effect.OLDER)
    if to is None and not former:
        return Plan(Effect.NOT_ASSIGNED)
    origin = event.former_bed if event.former_bed in former else max(former, key=_time_in(beds), default=None)
    steps = _assign(event, beds, to, origin) if to else []
    records = [(to, _record(event, "admit", steps[-1].content))] if to and steps and not former else []
    effect = Effect.REPLACED if to and _has_other_patient(beds, to, event) else Effect.APPLIED
    for place in former:
        steps += _vacate(event, beds, place)
        records.append((place, _record(event, "transfer", bed=to) if to else _record(event, "discharge")))
    return Plan(effect, steps, records) if steps else Plan(Effect.UNCHANGED)


def _swap(events: Sequence[AdmissionEvent], beds: Beds) -> Plan:
    """Assign both patients by what is known of them before the swap: age group, SpO2 scale and limits come along."""
    moves = [(event, event.bed, beds.of_patient(event.patient_id)) for event in events]
    targets = [to for _, to, _ in moves]
    if any(
        _is_newer(beds.assignments.get(place), events[0]) for _, to, found in moves for place in [to, *found] if place
    ):
        return Plan(Effect.OLDER)
    steps: list[Step] = []
    records: list[tuple[DeviceAddress, Admission]] = []
    for event, to, found in moves:
        former = [place for place in found if place != to]
        origin = max(former, key=_time_in(beds), default=None)
        assigned = _assign(event, beds, to, origin) if to else []
        steps += assigned
        for place in former:
            records.append((place, _record(event, "transfer", bed=to)))
            steps += [] if place in targets else _vacate(event, beds, place)
        if assigned and to and not former:
            records.append((to, _record(event, "admit", assigned[-1].content)))
    return Plan(Effect.APPLIED, steps, records) if steps else Plan(Effect.UNCHANGED)


def _assign(event: AdmissionEvent, beds: Beds, to: DeviceAddress, origin: DeviceAddress | None) -> list[Step]:
    """Return the limits and the assignment of the patient in the bed; what is known of the patient comes along."""
    present, limits = beds.assignments.get(to), beds.limits.get(to)
    stays = present is not None and is_same_patient(present.patient_id, event.patient_id)
    known = present if stays else beds.assignments.get(origin) if origin else None
    assignment = _assignment(event, event.patient_id, known)
    steps: list[Step] = []
    brought = beds.limits.get(origin) if origin else None
    if brought is not None and not brought.applies_to(event.patient_id):
        brought = None
    # What a user set while the event is applied is later than it, in the former bed and in the new one.
    is_set_here = limits is not None and limits.patient_id == event.patient_id and _is_later(limits, event.time)
    if brought is not None and is_set_here and limits is not None and not _is_later(brought, limits.time):
        brought = None
    if brought is not None and (not stays or _is_later(brought, event.time)):
        moved = replace(brought, by=event.by, time=max(event.time, brought.time or event.time))
        steps += [Step(to, moved)] if moved != limits else []
    elif not stays and limits is not None and limits.patient_id != event.patient_id:
        is_of_bed = limits.patient_id is None and origin is None and (present is None or present.is_discharge)
        if not is_of_bed:  # set for a vacant bed, limits are those of the next patient
            steps.append(Step(to, None))
    if not (present is not None and _says_the_same(present, assignment)):
        steps.append(Step(to, assignment))
    return steps


def _discharge(event: AdmissionEvent, beds: Beds) -> Plan:
    place = event.bed
    if place is None or place not in beds.of_patient(event.patient_id):
        return Plan(Effect.NOT_ASSIGNED)
    if _is_newer(beds.assignments[place], event):
        return Plan(Effect.OLDER)
    return Plan(Effect.APPLIED, _vacate(event, beds, place), [(place, _record(event, "discharge"))])


def _update(event: AdmissionEvent, beds: Beds) -> Plan:
    found = beds.of_patient(event.patient_id)
    if not found:
        return Plan(Effect.NOT_ASSIGNED)
    steps, older = [], False
    for place in found:
        present = beds.assignments[place]
        assignment = _assignment(event, present.patient_id, present)
        if _says_the_same(present, assignment):
            continue
        if _is_newer(present, event):
            older = True
        else:
            steps.append(Step(place, assignment))
    if steps:
        return Plan(Effect.APPLIED, steps, [(step.bed, _record(event, "admit", step.content)) for step in steps])
    return Plan(Effect.OLDER if older else Effect.UNCHANGED)


def _merge(event: AdmissionEvent, beds: Beds) -> Plan:
    """Replace the number wherever it is assigned, also by a later assignment: the number is not valid any more."""
    former = beds.of_patient(event.former_patient_id)
    steps: list[Step] = []
    records = []
    for place in former:
        present, limits = beds.assignments[place], beds.limits.get(place)
        if present.patient_id == event.patient_id:
            continue  # another spelling of it
        time = max(event.time, present.time or event.time)
        if limits is not None and limits.patient_id is not None and limits.patient_id == present.patient_id:
            steps.append(Step(place, replace(limits, patient_id=event.patient_id, by=event.by, time=time)))
        assignment = replace(_assignment(event, event.patient_id, present), time=time)
        steps.append(Step(place, assignment))
        records.append((place, _record(event, "merge", assignment)))
    if steps:
        return Plan(Effect.APPLIED, steps, records)
    return Plan(Effect.UNCHANGED if beds.of_patient(event.patient_id) else Effect.NOT_ASSIGNED)


def _vacate(event: AdmissionEvent, beds: Beds, place: DeviceAddress) -> list[Step]:
    discharge = Assignment(patient_id=None, by=event.by, time=event.time)
    return [*([Step(place, None)] if place in beds.limits else []), Step(place, discharge)]


def _assignment(event: AdmissionEvent, patient_id: str | None, known: Assignment | None) -> Assignment:
    profile = event.profile or (known.profile if known else DEFAULT_PROFILE)
    scale = known.spo2_scale if known is not None and profile == "adult" else None
    return Assignment(patient_id=patient_id, profile=profile, spo2_scale=scale, by=event.by, time=event.time)


def _says_the_same(first: Assignment, second: Assignment) -> bool:
    return replace(first, by=second.by, time=second.time) == second


def _is_newer(assignment: Assignment | None, event: AdmissionEvent) -> bool:
    return assignment is not None and assignment.time is not None and assignment.time > event.time


def _is_later(limits: Limits, time: datetime | None) -> bool:
    return limits.time is not None and (time is None or limits.time > time)


def _has_other_patient(beds: Beds, place: DeviceAddress, event: AdmissionEvent) -> bool:
    present = beds.assignments.get(place)
    return present is not None and not present.is_discharge and place not in beds.of_patient(event.patient_id)


def _time_in(beds: Beds) -> Callable[[DeviceAddress], datetime]:
    """Return a key that orders beds by the time of their assignment; one without a time is the oldest."""
    return lambda place: beds.assignments[place].time or datetime.min.replace(tzinfo=UTC)


def _record(
    event: AdmissionEvent,
    action: Literal["admit", "transfer", "discharge", "merge"],
    content: Assignment | Limits | None = None,
    bed: DeviceAddress | None = None,
) -> Admission:
    assigned = content if isinstance(content, Assignment) else None
    return Admission(
        action=action,
        time=event.time,
        patient_id=event.patient_id,
        profile=assigned.profile if assigned else None,
        spo2_scale=assigned.spo2_scale if assigned else None,
        bed=f"{bed.ward}/{bed.device}" if bed else None,
        former_patient_id=event.former_patient_id if action == "merge" else None,
    )
