"""What admissions change on the beds: out of order, repeated, interrupted, and beds that others changed."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from edges.admissions.admissions import AdmissionEvent, Beds, Effect, Plan, plan
from vitals.assignment import Assignment
from vitals.limits import Limits
from vitals.topics import DeviceAddress

TIME = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
ONE, TWO = DeviceAddress("icu-1", "bed-1"), DeviceAddress("icu-1", "bed-2")
SPO2: dict[str, float | list[float | None]] = {"spo2-low": [88.0]}


def event(kind: Any, minute: int = 0, patient: str = "p-1", **more: Any) -> AdmissionEvent:
    time = TIME + timedelta(minutes=minute)
    return AdmissionEvent(kind=kind, time=time, by="hl7:his", patient_id=patient, **more)


def assigned(patient: str | None, minute: int = -10, **more: Any) -> Assignment:
    return Assignment(patient_id=patient, by="ada", time=TIME + timedelta(minutes=minute), **more)


def beds(*of_beds: Assignment | None, limits: dict[DeviceAddress, Limits] | None = None) -> Beds:
    known = {place: found for place, found in zip((ONE, TWO), of_beds, strict=False) if found is not None}
    return Beds(known, dict(limits or {}))


def do(event: AdmissionEvent, state: Beds, last: datetime | None = None) -> Plan:
    found = plan(event, state, last)
    for step in found.steps:
        state.apply(step)
    return found


def patients(state: Beds) -> list[str | None]:
    return [state.assignments[place].patient_id if place in state.assignments else None for place in (ONE, TWO)]


def test_an_admission_assigns_the_patient_with_its_age_group() -> None:
    state = beds()
    found = do(event("admit", bed=ONE, profile="child-1-4"), state)
    assert found.effect is Effect.APPLIED
    assert state.assignments == {
        ONE: Assignment(patient_id="p-1", profile="child-1-4", by="hl7:his", time=TIME),
    }
    [(place, record)] = found.records
    assert (place, record.action, record.patient_id, record.profile) == (ONE, "admit", "p-1", "child-1-4")


def test_a_transfer_brings_what_is_known_of_the_patient_and_empties_the_former_bed_last() -> None:
    limits = {ONE: Limits(by="ada", limits=SPO2, patient_id="p-1"), TWO: Limits(by="ada", limits=SPO2)}
    state = beds(assigned("p-1", spo2_scale=2), assigned(None), limits=limits)
    found = do(event("transfer", bed=TWO, former_bed=ONE), state)
    assert [(step.bed, type(step.content)) for step in found.steps] == [
        (TWO, Limits),
        (TWO, Assignment),
        (ONE, type(None)),
        (ONE, Assignment),
    ]
    assert patients(state) == [None, "p-1"]
    assert state.assignments[TWO].spo2_scale == 2
    assert state.limits == {TWO: Limits(by="hl7:his", limits=SPO2, patient_id="p-1", time=TIME)}
    [(place, record)] = found.records
    assert (place, record.action, record.bed) == (ONE, "transfer", "icu-1/bed-2")


def test_a_transfer_without_the_former_bed_empties_the_one_that_is_known() -> None:
    state = beds(assigned("p-1"))
    do(event("transfer", bed=TWO), state)
    assert patients(state) == [None, "p-1"]


def test_a_transfer_to_a_place_without_a_monitor_empties_the_bed() -> None:
    state = beds(assigned("p-1"))
    assert do(event("transfer", former_bed=TWO), state).effect is Effect.NOT_ASSIGNED
    assert do(event("transfer", former_bed=ONE), state).effect is Effect.APPLIED
    assert state.assignments[ONE].is_discharge


def test_a_patient_without_limits_does_not_get_those_of_the_bed_from_another_one() -> None:
    of_anyone = {TWO: Limits(by="ada", limits=SPO2)}
    state = beds(assigned("p-1"), limits=of_anyone)
    do(event("transfer", bed=TWO, former_bed=ONE), state)
    assert state.limits == {}
    state = beds(None, assigned(None), limits=of_anyone)
    do(event("admit", bed=TWO), state)
    assert state.limits == of_anyone, "set for the vacant bed"


def test_a_bed_with_another_patient_is_assigned_to_the_admitted_one_without_the_limits_of_the_former() -> None:
    state = beds(assigned("p-2"), limits={ONE: Limits(by="ada", limits=SPO2)})
    found = do(event("admit", bed=ONE), state)
    assert found.effect is Effect.REPLACED
    assert (patients(state), state.limits) == (["p-1", None], {})


def test_a_discharge_empties_only_the_bed_of_its_patient() -> None:
    state = beds(assigned("P-1"), assigned("p-2"), limits={ONE: Limits(by="ada", limits=SPO2)})
    assert do(event("discharge", bed=TWO), state).effect is Effect.NOT_ASSIGNED
    assert do(event("discharge", bed=ONE), state).effect is Effect.APPLIED, "another spelling of the number"
    assert (patients(state), state.limits) == ([None, "p-2"], {})


def test_an_update_changes_the_age_group_and_no_bed() -> None:
    state = beds(assigned("p-1", spo2_scale=2))
    assert do(event("update", profile="adult"), state).effect is Effect.UNCHANGED
    assert do(event("update"), state).effect is Effect.UNCHANGED, "the date of birth is not known"
    assert do(event("update", profile="child-5-11"), state).effect is Effect.APPLIED
    assert (state.assignments[ONE].profile, state.assignments[ONE].spo2_scale) == ("child-5-11", None)
    assert do(event("update", patient="p-2", profile="adult"), state).effect is Effect.NOT_ASSIGNED


def test_a_swap_brings_what_is_known_of_both_patients() -> None:
    limits = {ONE: Limits(by="ada", limits=SPO2, patient_id="p-1")}
    state = beds(assigned("p-1", spo2_scale=2), assigned("p-2", profile="child-5-11"), limits=limits)
    swap = event("transfer", bed=TWO, other=event("transfer", patient="p-2", bed=ONE))
    found = do(swap, state)
    assert (found.effect, patients(state)) == (Effect.APPLIED, ["p-2", "p-1"])
    assert (state.assignments[ONE].profile, state.assignments[TWO].spo2_scale) == ("child-5-11", 2)
    assert [(place, place in state.limits) for place in (ONE, TWO)] == [(ONE, False), (TWO, True)]
    assert [(place, record.action, record.patient_id) for place, record in found.records] == [
        (ONE, "transfer", "p-1"),
        (TWO, "transfer", "p-2"),
    ]
    assert do(swap, state).effect is Effect.UNCHANGED
    later = beds(assigned("p-1"), assigned("p-2", minute=5))
    assert do(swap, later).effect is Effect.OLDER


def test_a_merge_changes_the_number_wherever_it_is_assigned() -> None:
    limits = {ONE: Limits(by="ada", limits=SPO2, patient_id="p-0")}
    state = beds(assigned("p-0", spo2_scale=2), assigned("p-0", minute=5), limits=limits)
    assert do(event("merge", former_patient_id="p-0"), state).effect is Effect.APPLIED
    assert patients(state) == ["p-1", "p-1"]
    assert (state.assignments[ONE].spo2_scale, state.limits[ONE].patient_id) == (2, "p-1")
    assert state.assignments[TWO].time == TIME + timedelta(minutes=5), "not before the assignment that it changes"
    assert do(event("merge", former_patient_id="p-0"), state).effect is Effect.UNCHANGED
    assert do(event("merge", patient="p-7", former_patient_id="p-8"), state).effect is Effect.NOT_ASSIGNED


@pytest.mark.parametrize(
    ("late", "state"),
    [
        (event("admit", bed=ONE), beds(assigned("p-2", minute=1))),
        (event("admit", bed=ONE), beds(assigned(None, minute=1))),
        (event("admit", bed=ONE), beds(None, assigned("p-1", minute=1))),
        (event("transfer", bed=TWO, former_bed=ONE), beds(assigned("p-1", minute=1))),
        (event("discharge", bed=ONE), beds(assigned("p-1", minute=1))),
        (event("update", profile="neonate"), beds(assigned("p-1", minute=1))),
    ],
)
def test_a_later_assignment_stays(late: AdmissionEvent, state: Beds) -> None:
    before = dict(state.assignments)
    assert do(late, state).effect is Effect.OLDER
    assert state.assignments == before


def test_a_late_admission_does_not_bring_back_a_patient_who_was_discharged_from_another_bed() -> None:
    state = beds()
    assert do(event("admit", bed=ONE), state, last=TIME + timedelta(minutes=1)).effect is Effect.OLDER


def test_every_order_of_a_stay_ends_with_the_last_event() -> None:
    stay = [
        event("admit", 0, bed=ONE),
        event("transfer", 1, bed=TWO, former_bed=ONE),
        event("admit", 2, "p-2", bed=ONE),
        event("discharge", 3, bed=TWO),
    ]
    for order in itertools.permutations(stay):
        state, last = beds(), dict[str, datetime]()
        for each in order:
            found = do(each, state, last.get(each.patient_id))
            if found.effect is not Effect.OLDER:
                last[each.patient_id] = each.time
        assert patients(state)[1] is None, order
        assert patients(state)[0] == "p-2", order


def test_a_repeat_changes_nothing() -> None:
    for each in (
        event("admit", bed=ONE, profile="child-1-4"),
        event("transfer", bed=TWO, former_bed=ONE),
        event("merge", patient="p-9", former_patient_id="p-1"),
    ):
        state = beds(assigned("p-1"))
        do(each, state)
        assert not do(each, state).steps
    state = beds(assigned("p-1"))
    do(event("discharge", bed=ONE), state)
    assert not do(event("discharge", bed=ONE), state).steps


@pytest.mark.parametrize(
    "each",
    [
        event("admit", bed=TWO),
        event("transfer", bed=TWO, former_bed=ONE),
        event("discharge", bed=ONE),
        event("merge", patient="p-9", former_patient_id="p-1"),
    ],
)
def test_an_event_that_was_interrupted_after_any_step_ends_as_without_the_interruption(each: AdmissionEvent) -> None:
    def start() -> Beds:
        limits = {ONE: Limits(by="ada", limits=SPO2, patient_id="p-1"), TWO: Limits(by="ada", limits=SPO2)}
        return beds(assigned("p-1"), assigned("p-2"), limits=limits)

    whole = start()
    number = len(do(each, whole).steps)
    assert number
    for done in range(number):
        state = start()
        for step in plan(each, state).steps[:done]:
            state.apply(step)
        do(each, state)
        assert state == whole, done


def test_no_event_names_a_bed_of_another_patient_as_vacant() -> None:
    state = beds(assigned("p-2"), assigned("p-3"))
    for each in (event("discharge", bed=ONE), event("transfer", former_bed=ONE), event("merge", former_patient_id="x")):
        assert not plan(replace(each, patient_id="p-1"), state).steps
