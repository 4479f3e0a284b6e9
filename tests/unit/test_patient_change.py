"""When another patient id is another patient, and when it is only another spelling, or two patients at once."""

from datetime import UTC, datetime, timedelta

from vitals.patient_change import Patient, PatientTracker

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def seen(tracker: PatientTracker, ids: list[str | None], every_s: float = 1, boot: int = 1) -> list[Patient]:
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


def test_one_reading_with_another_id_changes_and_reports_nothing() -> None:
    tracker = PatientTracker("p-1")
    assert Patient.CHANGED not in seen(tracker, ["p-1", "p-9", "p-1", "p-1"])
    assert not tracker.alternates(NOW + timedelta(seconds=4))
