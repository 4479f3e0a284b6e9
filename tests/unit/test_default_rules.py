"""What the default rule file raises, beds played second by second as a worker sees them."""

import tomllib
from typing import Any

import pytest

from alerts.rulefile.parser import DEFAULT, parse
from tests.support.bed_driver import BedDriver
from vitals.alert import Priority
from vitals.rules import RuleSet
from vitals.thresholds import STALE_AFTER

WELL: dict[str, Any] = {"spo2": 97.0, "resp_rate": 16.0}


def test_the_default_rules_and_the_services_without_rules_share_one_limit_of_lateness() -> None:
    assert parse(DEFAULT.read_text(), "rules.toml").stale_after == STALE_AFTER
    assert tomllib.loads(DEFAULT.read_text())["stale_after_s"] == STALE_AFTER.total_seconds()
    assert RuleSet(()).stale_after == STALE_AFTER


def bed() -> BedDriver:
    return BedDriver(DEFAULT.read_text())


def play(bed: BedDriver, first: int, last: int, heart_rate: float | None = 80.0, **signs: Any) -> list[str]:
    """A reading every second, with the ticks of a worker: each change with its second."""
    return [
        f"{second}: {change}"
        for second in range(first, last)
        for change in bed.read(second, heart_rate, **signs) + bed.tick(second + 0.5)
    ]


def test_a_fever_raises_and_a_hyperpyrexia_escalates_the_same_alert() -> None:
    ill = bed()
    assert play(ill, 0, 40, **WELL, temperature=39.5) == ["19: temperature-high raised"]
    assert play(ill, 40, 60, **WELL, temperature=41.8) == ["54: temperature-high escalated"]
    assert ill.priority == Priority.HIGH


@pytest.mark.parametrize(
    ("systolic", "diastolic", "raised"),
    [
        (118, 70, None),
        (95, 49, ("mean-bp-low", "medium")),  # mean 64.3
        (92, 35, ("mean-bp-low", "high")),  # mean 54
        (85, 50, ("systolic-low", "medium")),  # mean 61.7: the same cause, said once
    ],
)
def test_one_cuff_measurement_raises_by_its_mean_pressure_once(
    systolic: float, diastolic: float, raised: tuple[str, str] | None
) -> None:
    patient = bed()
    play(patient, 0, 5, **WELL)
    patient.read(5, 80, **WELL, systolic_bp=systolic, diastolic_bp=diastolic)
    found = {(name, str(alert.priority)) for name, alert in patient.bed.alerts.items()}
    assert found == ({raised} if raised else set())


def test_two_pressures_in_two_messages_are_one_measurement_and_an_old_one_is_not_its_partner() -> None:
    patient = bed()
    patient.read(0, 80, systolic_bp=95)
    assert patient.read(2, 80, diastolic_bp=49) == ["mean-bp-low raised"]
    assert patient.alert.text == "Mean blood pressure low: 64.3 mm[Hg], limit below 65"
    patient = bed()
    patient.read(0, 80, systolic_bp=95)
    assert play(patient, 60, 61, diastolic_bp=49) == []


def test_a_respiratory_rate_of_zero_is_an_apnoea_after_10_s() -> None:
    patient = bed()
    play(patient, 0, 20, **WELL)
    assert play(patient, 20, 40, spo2=97, resp_rate=0) == ["30: resp-rate-low raised"]
    assert patient.priority == Priority.HIGH
    assert patient.alert.text.startswith("Apnoea")


def test_dips_of_the_respiratory_rate_of_some_seconds_raise_nothing() -> None:
    patient = bed()
    play(patient, 0, 20, **WELL)
    assert play(patient, 20, 24, spo2=97, resp_rate=2) == []
    assert play(patient, 24, 90, **WELL) == []


def test_all_sensors_off_is_one_alert_of_medium_priority() -> None:
    patient = bed()
    play(patient, 0, 30, **WELL)
    off = ("heart_rate", "spo2", "resp_rate")
    (change,) = play(patient, 30, 100, None, sensor_off=off, temperature=37)
    second, _, said = change.partition(": ")
    assert said == "all-sensors-off raised"
    assert 45 <= int(second) <= 52
    assert patient.priority == Priority.MEDIUM
    # The saturation comes back, the electrodes do not.
    changes = [change.partition(": ")[2] for change in play(patient, 100, 130, None, sensor_off=off[::2], spo2=97)]
    assert changes == ["sensor-off-heart-rate raised", "sensor-off-resp-rate raised", "all-sensors-off cleared"]


def test_signs_that_end_without_sensor_off_raise_one_alert() -> None:
    patient = bed()
    play(patient, 0, 30, **WELL)
    changes = play(patient, 30, 150, None, temperature=37)
    assert [change.partition(": ")[2] for change in changes] == ["all-sensors-off raised"]


def test_sensors_that_were_never_on_raise_no_alert_about_all_sensors() -> None:
    waiting = bed()
    changes = play(waiting, 0, 60, None, sensor_off=("heart_rate", "spo2", "resp_rate"))
    assert {change.partition(": ")[2] for change in changes} == {
        "sensor-off-heart-rate raised",
        "sensor-off-spo2 raised",
        "sensor-off-resp-rate raised",
    }


def test_a_heart_rate_above_120_is_medium_above_150_high_and_above_180_high_at_once() -> None:
    patient = bed()
    assert play(patient, 0, 30, 130, **WELL)[0] == "14: heart-rate-high raised"
    assert str(patient.bed.alerts["heart-rate-high"].priority) == "medium"
    assert "44: heart-rate-high escalated" in play(patient, 30, 60, 160, **WELL)
    assert str(patient.bed.alerts["heart-rate-high"].priority) == "high"
    assert play(bed(), 0, 1, 190, **WELL) == ["0: heart-rate-high raised"]


def test_a_spot_check_of_a_device_that_measures_every_4_hours_raises_its_score_at_once() -> None:
    device = bed()
    device.status(0, online=True, interval_s=14_400)
    device.read(1, 140, spo2=84, resp_rate=30, temperature=34.0, systolic_bp=118, consciousness="U", on_oxygen=True)
    assert "news2" in device.bed.alerts
    assert device.bed.alerts["news2"].value == 17
    assert device.bed.alerts["news2"].priority is Priority.HIGH


# An unacknowledged alert


def test_an_unacknowledged_high_alert_is_repeated_every_minute_and_then_marked() -> None:
    patient = bed()
    changes = play(patient, 0, 200, spo2=70, resp_rate=16)
    assert changes[0] == "0: spo2-low raised"
    assert [c for c in changes if "reminded" in c] == [
        "60: spo2-low reminded",
        "120: spo2-low reminded",
        "180: spo2-low reminded",
    ]
    alert = patient.bed.alerts["spo2-low"]
    assert (alert.priority, alert.reminders, alert.attention) == (Priority.HIGH, 3, "escalated")


def test_an_acknowledgement_ends_reminders_and_an_escalation_restarts_them() -> None:
    patient = bed()
    play(patient, 0, 70, spo2=85, resp_rate=16)
    patient.acknowledge(70, "spo2-low")
    assert [c for c in play(patient, 71, 300, spo2=85, resp_rate=16) if "spo2" in c] == []
    changes = [c for c in play(patient, 300, 370, spo2=70, resp_rate=16) if "spo2" in c]
    assert changes == ["300: spo2-low escalated", "360: spo2-low reminded"]
    assert patient.bed.alerts["spo2-low"].attention == "normal"


def test_reminders_go_on_after_a_restart_and_none_is_made_up_for() -> None:
    patient = bed()
    play(patient, 0, 70, spo2=70, resp_rate=16)
    patient.restart(200)
    assert [c for c in patient.tick(200.5) if "reminded" in c] == ["spo2-low reminded"]
    assert patient.bed.alerts["spo2-low"].reminders == 3


def test_an_alert_of_medium_priority_is_not_repeated() -> None:
    patient = bed()
    assert [c for c in play(patient, 0, 300, **WELL, temperature=39.5) if "reminded" in c] == []


# After a restart of the worker


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("all-sensors-off", {"sensor_off": ("heart_rate", "spo2", "resp_rate"), "temperature": 37}, {}),
        ("sign-gone-spo2", {"heart_rate": 80, "resp_rate": 16}, {}),
        ("clock", {"heart_rate": 80, **WELL}, {"behind": 40}),
    ],
)
def test_a_restart_keeps_what_is_wrong_with_a_device(rule: str, before: dict[str, Any], after: dict[str, int]) -> None:
    device = bed()
    behind = after.get("behind", 0)

    def go_on(first: int, last: int, **fields: Any) -> list[str]:
        return [
            change
            for second in range(first, last)
            for change in device.read(second - behind, fields.get("heart_rate"), arrives=second, **_rest(fields))
            + device.tick(second + 0.5)
        ]

    go_on(100, 130, heart_rate=80, **WELL)
    assert go_on(130, 240, **before)[-1:] == [f"{rule} raised"] or rule in device.bed.alerts
    open_alerts = set(device.bed.alerts)
    device.restart(240)
    assert go_on(240, 300, **before) == []
    assert set(device.bed.alerts) == open_alerts


def _rest(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != "heart_rate"}
