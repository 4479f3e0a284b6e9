"""When another patient id is another patient, and when it is only another spelling, or two patients at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from vitals.patient_change import Patient, PatientTracker

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def seen(tracker: PatientTracker, ids: Sequence[str | None], every_s: float = 1, boot: int = 1) -> list[Patient]:
    return [tracker.observe(name, boot, NOW + timedelta(seconds=number * every_s)) for number, name in enumerate(ids)]


def test_the_first_id_identifies_the_patient_at_once() -> None:
    tracker = PatientTracker()
    assert seen(tracker, [None, "p-1", None, "p-1"]) == [Patient.SAME, Patient.CHANGED, Patient.SAME, Patient.SAME]
    assert tracker.current == "p-1"


def test_another_id_is_another_patient_once_it_has_held() -> None:
    tracker = PatientTracker("p-1")
    assert seen(tracker, ["p-2", "p-2", "p-2", "p-2"]) == [
        Patient.CANDIDATE,
        Patient.CANDIDATE,
        Patient.CHANGED,
        Patient.SAME,
    ]
    assert not tracker.alternates(NOW)


def test_a_slow_device_needs_two_readings() -> None:
    assert seen(PatientTracker("p-1"), ["p-2", "p-2"], every_s=300) == [Patient.CANDIDATE, Patient.CHANGED]


def test_a_new_boot_changes_the_patient_at_once() -> None:
    tracker = PatientTracker()
    seen(tracker, ["p-1"], boot=1)
    assert tracker.observe("p-2", 2, NOW) is Patient.CHANGED


def test_two_ids_in_turn_are_never_a_change_and_are_reported_as_long_as_they_last() -> None:
    for other in ("P-1", "p-2"):
        tracker = PatientTracker("p-1")
        found = seen(tracker, ["p-1", other] * 30)
        assert Patient.CHANGED not in found
        assert tracker.current == "p-1"
        assert tracker.other == other
        assert tracker.alternates(NOW + timedelta(seconds=60))
        assert not tracker.alternates(NOW + timedelta(seconds=180))


def test_ids_that_hold_for_seconds_only_are_soon_no_change_either() -> None:
    for period, ids in ((3, ["p-1", "p-2"]), (10, ["p-1", "p-2"]), (25, ["p-1", "p-2"]), (5, ["p-1", "p-2", "p-3"])):
        tracker = PatientTracker("p-1")
        found = seen(tracker, [name for name in ids for _ in range(period)] * (200 // period))
        assert found.count(Patient.CHANGED) <= 1
        assert tracker.alternates(NOW + timedelta(seconds=len(found)))


def test_an_id_of_its_own_in_each_reading_is_reported() -> None:
    tracker = PatientTracker("p-1")
    assert set(seen(tracker, [f"n-{number}" for number in range(60)])) == {Patient.CANDIDATE}
    assert tracker.alternates(NOW + timedelta(seconds=60))


def test_two_devices_with_one_name_and_their_own_boots_are_no_change_with_each_reading() -> None:
    tracker = PatientTracker()
    found = [
        tracker.observe(*(("p-1", 100), ("p-2", 200))[number % 2], NOW + timedelta(seconds=number))
        for number in range(60)
    ]
    assert found.count(Patient.CHANGED) == 2
    assert tracker.alternates(NOW + timedelta(seconds=60))


def test_the_last_id_becomes_the_patient_when_the_others_have_ended() -> None:
    tracker = PatientTracker("p-1")
    found = seen(tracker, [*["p-1", "p-2"] * 30, *["p-2"] * 70])
    assert found.count(Patient.CHANGED) == 1
    assert tracker.current == "p-2"


def test_one_reading_with_another_id_changes_and_reports_nothing() -> None:
    tracker = PatientTracker("p-1")
    assert Patient.CHANGED not in seen(tracker, ["p-1", "p-9", "p-1", "p-1"])
    assert not tracker.alternates(NOW + timedelta(seconds=4))
