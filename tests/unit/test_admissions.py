"""Admissions whose steps fail: what is done, what is not, and the sentence for the user."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import msgspec
import pytest

from alerts.rulefile.parser import DEFAULT, load
from station import admissions as module
from station.admissions import Admissions
from station.auth.scope import ALL_WARDS, WardScope
from station.auth.user_connection import UserConnection
from station.patient_names import PatientName, PatientNames
from station.services import Services
from station.ward import Ward
from tests.support.factories import NOW
from vitals.assignment import Assignment, encode_assignment
from vitals.audit import decode_audit
from vitals.codec import encode
from vitals.errors import TransientError
from vitals.limits import Limits, RequestRejected
from vitals.reading import reading
from vitals.rules import encode_rules
from vitals.status import Status, encode_status
from vitals.topics import Topics

TOPICS = Topics()
LIMITS = msgspec.json.encode(Limits(by="Dr. Adams", limits={"spo2-low": [88.0]}, patient_id="p-1"))


@dataclass
class Steps:
    """A ward of two beds, and the messages that were published; number `fails_at` is not, `lost_at` does not return."""

    fails_at: int | None = None
    lost_at: int | None = None
    published: list[str] = field(default_factory=list)
    viewable: WardScope = ALL_WARDS
    name: str = "ada"

    def __post_init__(self) -> None:
        self.ward = Ward(TOPICS, Services((), has_database=False, now=NOW), NOW)
        for device in ("bed-1", "bed-2"):
            self.ward.take(TOPICS.status("icu", device), encode_status(Status(state="online", boot=1)), True, NOW)
        self.admissions = Admissions(self.ward, self._publish, PatientNames(None))
        self.ward.on_assignment = self.admissions.on_assignment
        self.user = cast(UserConnection, self)
        self.one, self.two = self.ward.beds["bed-1"], self.ward.beds["bed-2"]

    async def _publish(self, topic: str, payload: bytes) -> None:
        number = len(self.published) + 1
        if number == self.fails_at:
            raise TransientError("it is not certain that this was done; check the page before trying again")
        self.published.append(topic.removeprefix("vitalflow/"))
        if topic.startswith("vitalflow/audit/"):
            decode_audit("vitalflow", topic, payload)
        elif number != self.lost_at:
            self.ward.take(topic, payload, False, NOW)

    publish = _publish  # of the user

    def admit(self) -> None:
        asyncio.run(self.admissions.admit(self.user, self.one, None, "p-1", "adult", None))

    def with_patient(self) -> None:
        """Admit p-1 to bed-1, with limits."""
        fails_at, self.fails_at = self.fails_at, None
        self.admit()
        self.ward.take(TOPICS.limits("icu", "bed-1"), LIMITS, False, NOW)
        self.published.clear()
        self.fails_at = fails_at

    def transfer(self) -> None:
        asyncio.run(self.admissions.transfer(self.user, self.one, "p-1", self.two))

    @property
    def patients(self) -> list[str | None]:
        return [bed.snapshot.patient for bed in (self.one, self.two)]


def test_a_transfer_assigns_the_new_bed_before_it_empties_the_old_one() -> None:
    steps = Steps()
    steps.with_patient()
    steps.transfer()
    assert steps.published == [
        "audit/admissions/icu/bed-1/ada",
        "assignments/icu/bed-2",
        "limits/icu/bed-2",
        "assignments/icu/bed-1",
        "limits/icu/bed-1",
    ]
    assert steps.patients == [None, "p-1"]
    assert steps.one.limits is None
    assert steps.two.limits is not None
    assert (steps.two.limits.by, steps.two.limits.limits) == ("ada", {"spo2-low": [88.0]})


@pytest.mark.parametrize(
    ("fails_at", "sentence", "patients"),
    [
        (1, "it is not certain that this was done", ["p-1", None]),
        (2, "it is not certain that this was done", ["p-1", None]),
        (3, "patient p-1 is now in bed-2, but it is not certain that bed-1 was discharged", ["p-1", "p-1"]),
        (4, "patient p-1 is now in bed-2, but it is not certain that bed-1 was discharged", ["p-1", "p-1"]),
        (5, "patient p-1 is now in bed-2, but it is not certain that bed-1 was discharged", [None, "p-1"]),
    ],
)
def test_an_interrupted_transfer_states_what_was_done_and_loses_no_patient(
    fails_at: int, sentence: str, patients: list[str | None]
) -> None:
    steps = Steps(fails_at)
    steps.with_patient()
    with pytest.raises(TransientError) as error:
        steps.transfer()
    assert str(error.value).startswith(sentence)
    assert steps.patients == patients


def test_nothing_is_assigned_that_could_not_be_recorded() -> None:
    steps = Steps(fails_at=1)
    with pytest.raises(TransientError):
        steps.admit()
    assert steps.published == []
    assert steps.patients == [None, None]


def test_an_assignment_that_does_not_come_back_is_not_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ECHO_TIMEOUT_S", 0.05)
    steps = Steps(lost_at=2)
    with pytest.raises(TransientError, match="it is not certain that this was done"):
        steps.admit()


def test_a_discharge_states_when_the_limits_may_have_stayed() -> None:
    steps = Steps(fails_at=3)
    steps.with_patient()
    with pytest.raises(TransientError, match="the bed bed-1 is discharged, but it is not certain that its limits were"):
        asyncio.run(steps.admissions.discharge(steps.user, steps.one, "p-1"))
    assert steps.patients == [None, None]


def test_a_patient_without_limits_is_not_moved_under_those_that_another_bed_has_for_anyone() -> None:
    steps = Steps()
    steps.admit()
    steps.published.clear()
    of_anyone = Limits(by="Dr. Brown", limits={"spo2-low": [80.0]})
    steps.ward.take(TOPICS.limits("icu", "bed-2"), msgspec.json.encode(of_anyone), True, NOW)
    with pytest.raises(RequestRejected, match=r"bed-2 has limits that Dr\. Brown set, and this patient has none"):
        steps.transfer()
    assert (steps.published, steps.patients) == ([], ["p-1", None])


def test_the_discharge_of_a_bed_that_is_in_use_again_is_stated_once_and_not_during_a_request() -> None:
    steps = Steps()
    steps.with_patient()

    async def use() -> None:
        await steps.admissions.discharge(steps.user, steps.one, "p-1")
        await steps.admissions.note_use(NOW)
        assert steps.ward.assignments["bed-1"].in_use_since is None, "nothing was measured"
        later = NOW + timedelta(seconds=60)
        steps.ward.take(TOPICS.vitals("icu", "bed-1"), encode(reading(later, {"spo2": 97.0})), False, later)
        async with steps.admissions._lock:
            await steps.admissions.note_use(later)
        steps.published.clear()
        await steps.admissions.note_use(later)
        await steps.admissions.note_use(later)
        assert steps.ward.assignments["bed-1"].in_use_since == later

    asyncio.run(use())
    assert steps.published == ["assignments/icu/bed-1"]
    assert steps.one.vacant_since is None


def test_an_assignment_that_a_statement_of_use_has_overwritten_is_published_again() -> None:
    steps = Steps()
    steps.with_patient()
    topic = TOPICS.assignments("icu", "bed-1")

    async def use() -> None:
        await steps.admissions.discharge(steps.user, steps.one, "p-1")
        discharged = steps.ward.assignments["bed-1"]
        assert discharged.time is not None
        later = discharged.time + timedelta(seconds=1)
        other = Assignment(patient_id="p-2", by="another client", time=later)
        steps.ward.take(topic, encode_assignment(other), False, later)
        stated = encode_assignment(msgspec.structs.replace(discharged, in_use_since=later))
        steps.ward.take(topic, stated, False, later)  # the retained message from now on
        assert steps.ward.assignments["bed-1"].patient_id == steps.one.snapshot.patient == "p-2"
        steps.published.clear()
        await steps.admissions.note_use(later)
        await steps.admissions.note_use(later)

    asyncio.run(use())
    assert steps.published == ["assignments/icu/bed-1"]
    assert steps.ward.assignments["bed-1"].patient_id == "p-2"


def test_limits_that_contradict_the_age_group_are_reset_first() -> None:
    steps = Steps()
    steps.ward.take(TOPICS.rules("alerts"), encode_rules(load(DEFAULT)), True, NOW)
    own = Limits(by="Dr. Adams", limits={"heart-rate-high": [90.0, 95.0, 99.0]})
    steps.ward.take(TOPICS.limits("icu", "bed-1"), msgspec.json.encode(own), True, NOW)
    with pytest.raises(RequestRejected, match="the limits of bed-1 contradict those of this age group"):
        asyncio.run(steps.admissions.admit(steps.user, steps.one, None, "p-1", "neonate", None))
    assert steps.published == []


def test_a_name_that_is_rejected_changes_nothing() -> None:
    steps = Steps()
    with pytest.raises(RequestRejected, match="this site stores no names"):
        asyncio.run(
            steps.admissions.admit(steps.user, steps.one, None, "p-1", "adult", None, PatientName(name="Ada Lovelace"))
        )
    assert (steps.published, steps.patients) == ([], [None, None])
