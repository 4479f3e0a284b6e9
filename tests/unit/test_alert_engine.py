"""A bed's alerts: delays, levels, hysteresis, silence, patients, wards. Each test plays readings second by second."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from alerts.engine.context_changes import PATIENT_CHANGED, apply_rules
from alerts.engine.recovery import restore
from alerts.engine.transitions import CONDITION_ENDED
from tests.support.bed_driver import BedDriver, at, retained, rules
from tests.support.rule_text import HIGH, SCORE, level, rule
from vitals.alert import Change, Event, Priority, State, decode_alert

LATCHING = HIGH.replace("clear_for_s = 5", "clear_for_s = 5\nlatching = true")
TECHNICAL = (
    rule("silent", "no-data", text="No readings", priority="medium", for_s=15)
    + rule("gone", "offline", text="Offline", priority="medium", for_s=5)
    + rule("off", "sensor-off", of=["spo2", "heart_rate"], text="Sensor off", priority="low", for_s=10)
)
BLUE = rule("blue", "spo2", text="SpO2 low", priority="high", below=90, for_s=5)
PRESSURE = rule("pressure", "systolic_bp", text="BP low", priority="high", below=70)
DEVICE = rule("clock", "clock", text="The device's clock is wrong", priority="low", for_s=10) + rule(
    "patients", "patients", text="Two patient ids in turn on one device", priority="medium"
)
GONE = rule("gone", "sign-gone", of=["spo2", "heart_rate"], text="No longer measured", priority="medium", for_s=60)


def test_an_alert_is_raised_exactly_after_its_delay() -> None:
    bed = BedDriver()
    assert bed.steady(0, 20, 130) == ["10: hr raised"]
    assert bed.alert.since == at(0)
    assert bed.alert.raised_at == at(10)
    assert (bed.alert.priority, bed.alert.value, bed.alert.limit) == (Priority.MEDIUM, 130, 120)


def test_the_first_and_the_worst_value_are_kept_and_no_later_value_overwrites_them() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    bed.steady(11, 13, 145)
    bed.steady(14, 30, 119)
    alert = bed.alert
    assert (alert.first_value, alert.first_value_at) == (130, at(10))
    assert (alert.worst_value, alert.worst_value_at, alert.change) == (145, at(11), Change.WORSENED)
    bed.restart(31)
    assert bed.steady(31, 45, 80) == ["36: hr latched"]
    assert (bed.alert.first_value, bed.alert.worst_value, bed.alert.worst_value_at) == (130, 145, at(11))
    assert bed.acknowledge(46) == ["hr cleared"]
    cleared = bed.events[-1].alert
    assert (cleared.first_value, cleared.worst_value, cleared.text) == (
        130,
        145,
        "Heart rate high: 130 /min, limit above 120",
    )


@pytest.mark.parametrize("right_within", [None, timedelta(seconds=60)])
def test_a_value_of_two_days_ago_raises_nothing_where_the_clock_is_right(right_within: timedelta | None) -> None:
    bed = BedDriver(PRESSURE)
    bed.bed.clock.right_within = right_within
    bed.read(-2 * 86_400, systolic_bp=50, arrives=0)
    bed.bed.settle_undecided(at(5))
    assert bool(bed.bed.alerts) is (right_within is None)  # a clock that is estimated may be wrong by two days


def test_the_delay_of_an_old_value_does_not_end_where_the_clock_is_right() -> None:
    bed = BedDriver()
    bed.status(0, online=True)
    bed.bed.clock.right_within = timedelta(seconds=60)
    said = bed.read(-2 * 86_400, 190, arrives=1) + [text for second in range(2, 40) for text in bed.tick(second)]
    assert said == []
    assert bed.steady(40, 60, 190) == ["40: hr raised"]  # a backlog counts towards the delay


def test_a_redelivered_reading_worsens_nothing_twice() -> None:
    bed = BedDriver()
    bed.steady(0, 12, 130)
    bed.read(13, 145)
    revision = bed.alert.revision
    bed.restart(14)
    bed.read(13, 145, arrives=14, dup=True)
    assert (bed.alert.revision, bed.alert.worst_value) == (revision, 145)


def test_the_text_of_an_alert_that_de_escalates_has_no_value_within_its_limit() -> None:
    bed = BedDriver()
    bed.steady(0, 14, 160)
    assert bed.steady(15, 22, 119) == ["20: hr de-escalated"]
    assert (bed.alert.value, bed.alert.text) == (119, "Heart rate high, limit above 120")
    assert bed.alert.worst_value == 160


def test_an_alert_of_a_worker_without_worst_values_gets_its_value_as_the_worst() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    names = ("first_value", "first_value_at", "worst_value", "worst_value_at")
    known = {name: value for name, value in msgspec.to_builtins(bed.alert).items() if name not in names}
    old = decode_alert(msgspec.json.encode(known))
    assert (old.first_value, old.worst_value) == (None, None)
    bed.events.append(Event(old))
    bed.restart(11)
    bed.read(11, 125)
    assert (bed.alert.worst_value, bed.alert.worst_value_at) == (130, at(10))
    bed.read(12, 131)
    assert (bed.alert.worst_value, bed.alert.worst_value_at) == (131, at(12))


def test_a_return_within_the_limit_of_up_to_5_s_takes_nothing_off_the_delay() -> None:
    bed = BedDriver()
    assert bed.steady(0, 8, 130) == []
    assert bed.steady(9, 13, 115) == []
    assert bed.steady(14, 25, 130) == ["15: hr raised"]  # 9 s, and 1 s more


def test_a_longer_return_takes_half_of_what_is_above_5_s_off_the_delay() -> None:
    bed = BedDriver()
    assert bed.steady(0, 8, 130) == []
    assert bed.steady(9, 17, 115) == []
    assert bed.steady(18, 30, 130) == ["21: hr raised"]  # 9 s, less half of 4 s, and 3 s more


def test_a_value_that_flickers_raises_and_one_that_is_beyond_now_and_then_does_not() -> None:
    bed = BedDriver()
    changes = [f"{second}: {said}" for second in range(90) for said in bed.read(second, 115 if second % 2 else 140)]
    assert changes == ["20: hr raised"]
    bed = BedDriver()
    assert [said for second in range(600) for said in bed.read(second, 115 if second % 8 else 140)] == []


def test_a_level_without_delay_is_raised_by_its_first_reading() -> None:
    bed = BedDriver(HIGH.replace("for_s = 3", ""))
    assert bed.read(0, 151) == ["hr raised"]
    assert bed.priority == "high"


def test_escalation_and_de_escalation_update_the_same_alert() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    first = bed.alert
    assert bed.steady(11, 20, 160) == ["14: hr escalated"]
    assert bed.alert.alert_id == first.alert_id
    assert bed.alert.revision == 3  # with the new worst value before
    assert bed.priority == "high"
    assert bed.steady(21, 30, 130) == ["26: hr de-escalated"]
    assert bed.priority == "medium"
    assert bed.alert.since == first.since
    assert bed.steady(31, 40, 100) == ["36: hr cleared"]
    assert bed.events[-1].alert.alert_id == first.alert_id
    assert bed.events[-1].alert.reason == CONDITION_ENDED
    assert not bed.bed.alerts


def test_an_alert_stays_within_the_hysteresis() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    assert bed.steady(11, 100, 116) == []
    assert bed.steady(101, 110, 115) == ["106: hr cleared"]


def test_a_short_normal_value_does_not_clear() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    for second in range(11, 200, 6):
        assert bed.steady(second, second + 4, 100) == []
        assert bed.read(second + 5, 117) == []


def test_an_escalation_ends_an_acknowledgement() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    assert bed.acknowledge(12) == ["hr acknowledged"]
    assert bed.state == "acknowledged"
    assert bed.alert.acknowledged_by == "Nurse Joy"
    assert bed.steady(13, 20, 160) == ["16: hr escalated"]
    assert bed.state == "active"
    assert bed.alert.acknowledged_by is None


def test_a_de_escalation_keeps_an_acknowledgement() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 160)
    bed.acknowledge(11)
    assert bed.steady(12, 30, 130) == ["17: hr de-escalated"]
    assert bed.state == "acknowledged"


def test_an_audio_pause_ends_at_its_time() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    assert bed.pause(11, 60) == ["hr audio_paused"]
    assert bed.tick(70.9) == []
    assert bed.tick(71) == ["hr audio_resumed"]
    assert bed.state == "active"
    assert bed.tick(72) == []


def test_an_escalation_ends_an_audio_pause() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    bed.pause(11, 60)
    assert bed.steady(12, 15, 160) == ["15: hr escalated"]
    assert bed.state == "active"
    assert bed.tick(70) == []


def test_a_latching_alert_stays_until_it_is_acknowledged() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    assert bed.steady(11, 60, 100) == ["16: hr latched"]
    assert bed.alert.latched
    assert bed.acknowledge(61) == ["hr cleared"]
    assert bed.events[-1].alert.acknowledged_by == "Nurse Joy"
    assert not bed.bed.alerts


def test_a_latched_alert_whose_condition_is_back_is_the_same_alert() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    first = bed.alert.alert_id
    bed.steady(11, 30, 100)
    assert bed.steady(31, 45, 130) == ["41: hr returned"]
    assert bed.alert.alert_id == first
    assert bed.state == "active"
    assert not bed.alert.latched


def test_an_acknowledged_latching_alert_does_not_latch() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    bed.acknowledge(11)
    assert bed.steady(12, 30, 100) == ["17: hr cleared"]


def test_a_missing_value_and_a_sensor_that_is_off_neither_raise_nor_clear() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    assert bed.steady(11, 200, spo2=98) == []
    assert bed.steady(201, 400, spo2=98, sensor_off=("heart_rate",)) == []
    assert bed.state == "active"
    assert bed.steady(401, 410, 100) == ["406: hr cleared"]


def test_a_delay_goes_on_while_its_sign_is_missing() -> None:
    bed = BedDriver()
    assert bed.steady(0, 5, 130) == []
    assert bed.steady(6, 30, spo2=98) == []
    assert bed.read(31, 130) == ["hr raised"]


def test_late_and_repeated_readings_change_no_alert() -> None:
    bed = BedDriver()
    bed.steady(0, 9, 130)
    assert bed.read(9, 130, arrives=30) == []
    assert bed.read(3, 90, arrives=30) == []
    assert bed.read(10, 130) == ["hr raised"]


def test_of_two_readings_of_one_moment_the_first_counts() -> None:
    bed = BedDriver(HIGH + TECHNICAL)
    bed.steady(0, 9, 130)
    assert bed.read(9, 100, arrives=20) == []
    assert bed.read(10, 130) == ["hr raised"]
    assert bed.read(10, 100, arrives=20) == []
    assert bed.tick(25) == ["silent raised"]  # the repeated one was no new word from the device


def test_a_backlog_raises_nothing_but_counts_the_delay() -> None:
    bed = BedDriver()
    for second in range(0, 300):
        assert bed.read(second, 130, arrives=400) == []
    assert bed.read(400, 130) == ["hr raised"]
    assert bed.alert.since == at(0)


def test_a_backlog_clears_nothing_either() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    for second in range(11, 300):
        assert bed.read(second, 90, arrives=400) == []
    assert bed.read(400, 90) == ["hr cleared"]


def test_another_patient_closes_open_alerts_and_resets_delays() -> None:
    bed = BedDriver()
    bed.steady(0, 14, 130, patient_id="p-1")
    first = bed.alert.alert_id
    assert bed.steady(15, 30, 130, patient_id="p-2") == ["17: hr cleared", "25: hr raised"]
    closed = bed.events[-2].alert
    assert (closed.patient_id, closed.reason) == ("p-1", PATIENT_CHANGED)
    assert bed.alert.patient_id == "p-2"
    assert bed.alert.alert_id != first


def test_an_alert_by_the_first_reading_of_another_patient_stays_when_the_patient_is_known() -> None:
    bed = BedDriver(BLUE)
    for second in (0, 20, 40):
        bed.read(second, 80, second + 0.3, spo2=97, patient_id="p-1")
    said = [bed.read(second, 80, second + 0.3, spo2=70, patient_id="p-2") for second in (60, 80, 100)]
    assert said == [["blue raised"], ["blue identified"], []]
    assert bed.alert.patient_id == "p-2"


def test_a_reading_without_a_patient_id_keeps_the_patient() -> None:
    bed = BedDriver()
    bed.steady(0, 14, 130, patient_id="p-1")
    assert bed.steady(15, 30, 130) == []
    assert bed.steady(31, 40, 130, patient_id="p-1") == []


def test_a_patient_id_is_added_to_the_open_alert_and_another_one_closes_it() -> None:
    bed = BedDriver()
    bed.steady(0, 14, 130)
    first = bed.alert.alert_id
    assert bed.read(15, 130, patient_id="p-1") == ["hr identified"]
    assert (bed.alert.alert_id, bed.alert.patient_id) == (first, "p-1")
    bed.restart(16)
    assert bed.steady(17, 19, 130, patient_id="p-2") == ["19: hr cleared"]


def test_alerts_follow_a_device_to_another_ward() -> None:
    bed = BedDriver()
    bed.steady(0, 14, 130)
    first = bed.alert.alert_id
    bed.ward = "stroke"
    assert bed.read(15, 130) == ["hr moved"]
    assert bed.events[-1].old_ward == "icu"
    assert (bed.alert.ward, bed.alert.alert_id) == ("stroke", first)
    assert bed.read(16, 130) == []


def test_silence_raises_an_alert_and_clears_none() -> None:
    bed = BedDriver(HIGH + TECHNICAL)
    bed.steady(0, 20, 130)
    assert bed.tick(34.9) == []
    assert bed.tick(35) == ["silent raised"]
    assert bed.bed.alerts["silent"].kind == "technical"
    assert bed.tick(3600) == []
    assert bed.bed.alerts["hr"].state is State.ACTIVE
    assert bed.read(3601, 130) == ["silent cleared"]


def test_a_device_that_reports_every_minute_is_not_silent_after_15_seconds() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True, interval_s=60)
    bed.read(0, 80)
    assert bed.tick(179) == []
    assert bed.tick(180) == ["silent raised"]


def test_a_device_that_announces_milliseconds_as_seconds_is_missed_all_the_same() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True, interval_s=1000)
    bed.steady(0, 70, 80)
    assert (bed.tick(84), bed.tick(85)) == ([], ["silent raised"])


def test_a_backlog_is_silence() -> None:
    bed = BedDriver(TECHNICAL)
    assert bed.read(0, 80) == []
    for second in range(1, 300):
        assert bed.read(second, 80, arrives=600 + second / 100) == []
    assert bed.tick(620) == ["silent raised"]
    assert bed.read(622, 80) == ["silent cleared"]


def test_a_clock_that_is_behind_is_no_silence_and_delays_no_alarm() -> None:
    for behind in (30, 90, 3600):
        bed = BedDriver(HIGH + TECHNICAL)
        bed.bed.last_live_at = at(behind)
        said = [
            (s, change) for s in range(21) for change in bed.read(s, 130, arrives=s + behind) + bed.tick(s + behind)
        ]
        assert said == [(10, "hr raised")]


def test_a_clock_that_is_set_right_delays_no_alarm() -> None:
    for ahead in (60, 290, 100_000, -290):
        bed = BedDriver(HIGH.replace("for_s = 3", ""))
        for second in range(5):
            assert bed.read(second + ahead, 80, arrives=second, seq=second + 1) == []
        assert bed.read(5, 160, seq=6) == ["hr raised"]


def test_one_sign_per_message_and_several_messages_of_one_moment_are_all_evaluated() -> None:
    bed = BedDriver(HIGH + BLUE)
    said = [
        (second, change)
        for second in range(21)
        for part in ({"heart_rate": 80}, {"spo2": 70}, {"resp_rate": 16})
        for change in bed.read(second, **part, seq=0, boot=0)  # type: ignore[arg-type]
    ]
    assert said == [(5, "blue raised")]


def test_signs_of_one_moment_with_one_number_are_all_evaluated_and_a_repeated_one_is_no_sign_of_life() -> None:
    bed = BedDriver(BLUE + TECHNICAL)
    for second in range(6):
        bed.read(second, 80)
        bed.read(second, spo2=85, arrives=second + 0.2)
    assert [event.alert.rule for event in bed.events] == ["blue"]
    bed.read(5, spo2=85, arrives=5.9)
    assert bed.tick(20.3) == ["silent raised"]


@pytest.mark.parametrize(("apart", "interval"), [(2, 5), (14, 60), (19, 60)])
def test_signs_of_one_moment_with_one_number_that_come_seconds_apart_are_evaluated(apart: float, interval: int) -> None:
    bed = BedDriver(BLUE + TECHNICAL)
    said = []
    for moment in range(8):
        begin = interval * moment
        for part, sign in enumerate(("heart_rate", "resp_rate", "spo2")):
            value = 70.0 if sign == "spo2" and moment in (4, 5) else 97.0
            numbers = {"boot": 1, "seq": moment + 1}
            said += bed.read(begin, **{sign: value}, arrives=begin + apart * part, **numbers)  # type: ignore[arg-type]
    assert [change for change in said if change.startswith("blue")] == ["blue raised", "blue cleared"]


def test_a_sign_that_always_comes_after_the_next_moment_is_evaluated() -> None:
    bed = BedDriver(BLUE)
    said = []
    for moment in range(8):
        said += bed.read(10 * moment, 80, seq=moment + 2)
        value = 70 if moment == 4 else 97
        said += bed.read(10 * (moment - 1), spo2=value, arrives=10 * moment + 0.3, seq=moment + 1)
    assert said == ["blue raised", "blue cleared"]


def test_a_cuff_value_with_its_own_earlier_time_raises() -> None:
    bed = BedDriver(PRESSURE)
    bed.steady(100, 103, 80)
    said = bed.read(40, systolic_bp=65, arrives=103.5, seq=0, boot=0)
    for second in (104, 105, 106):
        said += bed.read(second, 80) + bed.tick(second)
    assert said == ["pressure raised"]


def test_a_sign_that_comes_second_in_numbered_moments_ends_its_alert() -> None:
    bed = BedDriver(BLUE)
    said = []
    for second in range(20):
        bed.read(second, 80)
        said += bed.read(second, spo2=70 if second < 10 else 97, arrives=second + 0.01)
    assert said == ["blue raised", "blue cleared"]


def test_a_reading_from_before_the_clock_was_set_back_that_is_sent_again_changes_nothing() -> None:
    bed = BedDriver()
    for second in range(20):
        ahead = 3600 if second < 10 else 0
        bed.read(second + ahead, 130 if second < 3 else 80, arrives=second, seq=second + 1)
        if second > 10:
            bed.read(3600, 190, arrives=second + 0.2, seq=2)
    assert (bed.bed.alerts, bed.bed.clock.offset) == ({}, timedelta())


def test_readings_that_are_delayed_by_an_outage_are_no_sign_of_sensors_that_are_off() -> None:
    bed = BedDriver(rule("off", "all-sensors-off", text="All sensors off", priority="medium", for_s=15))
    for second in range(30):
        assert bed.read(second, 80, spo2=97, resp_rate=16) + bed.tick(second) == []
    for second in (60, 90):
        assert (
            bed.read(second, 80, second + 10, spo2=97, resp_rate=16) + bed.tick(second + 11) + bed.tick(second + 14)
            == []
        )


@pytest.mark.parametrize("behind", [10, 30, 90, 3600])
def test_a_cuff_whose_clock_is_behind_that_of_the_monitor_raises_and_ends_an_alert(behind: int) -> None:
    bed = BedDriver(rule("pressure", "systolic_bp", text="BP low", priority="high", below=90))
    said = []
    for second in range(300):
        said += bed.read(second, 80 + second % 2, boot=0, seq=0)
        if second % 60 == 30:
            pressure = 60 if 60 < second < 180 else 120
            said += bed.read(second - behind, systolic_bp=pressure, arrives=second + 0.5, boot=0, seq=0)
    assert said == ["pressure raised", "pressure cleared"]


@pytest.mark.parametrize("behind", [0, 3, 10, 40, 3600])
def test_a_second_device_without_numbers_raises_whatever_its_clock_says(behind: int) -> None:
    bed = BedDriver(rule("fast", "heart_rate", text="HR high", priority="high", above=150, clear_for_s=5))
    raised_at = []
    for second in range(120):
        bed.read(second, 80)
        ill = 180 if second >= 60 else 80
        said = bed.read(second + 0.5 - behind, ill, arrives=second + 0.5, boot=0, seq=0)
        raised_at += [second] * len(said)
    assert raised_at == [60]


def test_an_old_value_of_a_sign_that_is_no_input_of_the_score_ends_no_alert() -> None:
    bed = BedDriver(rule("pressure", "diastolic_bp", text="BP low", priority="high", below=40))
    bed.read(0, diastolic_bp=80)
    assert bed.read(10, diastolic_bp=30) == ["pressure raised"]
    bed.read(11, 80)
    assert bed.read(10.5, diastolic_bp=80, arrives=11.1, boot=0, seq=0) == ["pressure cleared"]
    assert bed.read(12, diastolic_bp=30) == ["pressure raised"]
    bed.read(13, 80)
    assert bed.read(12, diastolic_bp=30, arrives=13.1, boot=0, seq=0) == []
    assert bed.read(11.9, diastolic_bp=80, arrives=13.2, boot=0, seq=0) == []


def test_two_patient_ids_in_turn_suppress_no_alert() -> None:
    bed = BedDriver()
    said = [
        (second, change)
        for second in range(31)
        for change in bed.read(second, 130, patient_id="p-1" if second % 2 else "P-1")
    ]
    assert [change for _, change in said if "raised" in change or "cleared" in change] == ["hr raised"]
    assert (10, "hr raised") in said


def test_where_readings_are_rarer_than_the_delay_the_first_one_raises() -> None:
    bed = BedDriver()
    bed.status(0, online=True, interval_s=14_400)
    assert bed.read(1, 130) == ["hr raised"]
    bed = BedDriver()
    for second in (0, 20, 40):
        assert bed.read(second, 80) == []
    assert bed.read(60, 130) == ["hr raised"]


def test_where_readings_are_rarer_than_the_delay_a_milder_level_without_delay_does_not_come_first() -> None:
    bed = BedDriver(HIGH.replace("for_s = 10", "for_s = 0"))
    bed.status(0, online=True, interval_s=14_400)
    assert bed.read(1, 160) == ["hr raised"]
    assert bed.alert.priority is Priority.HIGH


def test_a_single_measurement_raises_when_its_delay_has_passed() -> None:
    bed = BedDriver(BLUE + TECHNICAL)
    bed.read(0, spo2=85)
    assert [bed.tick(second) for second in (4, 5, 29, 30)] == [[], ["blue raised"], [], ["silent raised"]]


def test_a_few_measurements_raise_too_and_the_last_one_of_a_monitor_that_is_silent_does_not() -> None:
    slow = BLUE.replace("for_s = 5", "for_s = 14")
    bed = BedDriver(slow)
    bed.steady(0, 3, spo2=85)
    assert [bed.tick(second) for second in (13, 14)] == [[], ["blue raised"]]
    bed = BedDriver(slow)
    bed.steady(0, 99, spo2=97)
    bed.steady(100, 103, spo2=85)
    assert [bed.tick(second) for second in (113, 114, 130)] == [[], [], []]


def test_a_delay_ends_between_two_readings() -> None:
    bed = BedDriver()
    assert [bed.read(second, 130) for second in (0, 4, 8)] == [[], [], []]
    assert bed.tick(9.5) == []
    assert bed.tick(10) == ["hr raised"]


def test_a_device_without_birth_and_a_reading_every_20_s_is_not_silent() -> None:
    bed = BedDriver(TECHNICAL)
    said = []
    for second in range(0, 131):
        if second % 20 == 0:
            said += bed.read(second, 80)
        said += bed.tick(second)
    assert said == []
    assert [second for second in range(131, 260) if bed.tick(second)] == [180]


def test_a_live_reading_ends_offline_without_a_birth_and_one_cause_is_one_alarm() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True)
    bed.read(0, 80)
    said = [change for second in range(1, 20) for change in bed.tick(second)]
    said += bed.status(20, online=False)
    said += [change for second in range(20, 40) for change in bed.tick(second)]
    assert said == ["silent raised"]
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True)
    bed.status(1, online=False)
    assert [change for second in range(1, 30) for change in bed.tick(second)] == ["gone raised"]
    assert bed.read(30, 80) == ["gone cleared"]


def test_offline_raises_one_alert_and_none_of_silence() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True, boot=7)
    bed.read(0, 80)
    assert bed.status(1, online=False, boot=7) == []
    assert bed.tick(6) == ["gone raised"]
    assert bed.tick(600) == []
    assert bed.status(601, online=True, boot=8) == ["gone cleared"]
    assert bed.tick(602) == ["silent raised"]


def test_a_reconnecting_device_stays_offline_until_its_connection_holds() -> None:
    bed = BedDriver(TECHNICAL.replace("for_s = 5", "for_s = 5\nclear_for_s = 10"))
    bed.status(0, online=False)
    assert bed.tick(5) == ["gone raised"]
    assert bed.status(20, online=True) == []
    bed.read(20, 80)
    assert bed.status(25, online=False) == []
    assert bed.tick(31) == []
    assert bed.status(40, online=True) == []
    bed.read(45, 80)
    assert bed.tick(49.5) == []
    assert bed.tick(50) == ["gone cleared"]


def test_after_a_restart_offline_stays_until_a_birth() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=False)
    bed.tick(5)
    bed.restart(6)
    assert bed.tick(7) == []
    assert bed.alert.rule == "gone"
    assert bed.status(8, online=True) == ["gone cleared"]


def test_the_will_of_an_earlier_boot_is_ignored() -> None:
    bed = BedDriver(TECHNICAL)
    bed.status(0, online=True, boot=8)
    bed.status(1, online=False, boot=7)
    bed.read(9, 80)
    assert bed.tick(10) == []


def test_each_sensor_that_is_off_is_an_alarm_of_its_own() -> None:
    bed = BedDriver(TECHNICAL)
    assert bed.steady(0, 15, 80, sensor_off=("spo2",)) == ["10: off-spo2 raised"]
    assert bed.steady(16, 30, None, sensor_off=("spo2", "heart_rate")) == ["26: off-heart-rate raised"]
    assert bed.bed.alerts["off-spo2"].sign == "spo2"
    assert bed.read(31, None, temperature=37) == []
    assert bed.read(32, 80, spo2=97) == ["off-spo2 cleared", "off-heart-rate cleared"]


def test_a_value_that_is_sent_again_does_not_put_its_sensor_back() -> None:
    bed = BedDriver(SCORE)
    for second in range(3):
        bed.read(second, spo2=97)
    bed.read(3, sensor_off=("spo2",))
    bed.read(2, spo2=97, arrives=3.2)
    assert bed.bed.off == {"spo2"}


def test_alerts_and_acknowledgements_survive_a_restart() -> None:
    bed = BedDriver(HIGH + TECHNICAL)
    bed.steady(0, 14, 130, patient_id="p-1")
    bed.acknowledge(14)
    before = bed.alert
    bed.restart(20)
    assert bed.alert == before
    assert bed.steady(21, 40, 130, patient_id="p-1") == []
    assert bed.steady(41, 50, 100, patient_id="p-1") == ["46: hr cleared"]


def test_a_pause_lasts_no_longer_if_the_clock_of_the_last_worker_was_ahead() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    bed.pause(11, 60)
    beds, _ = restore(bed.rules, retained(bed.events), at(11 - 3600))
    restored = beds["mon-1"].alerts["hr"]
    assert restored.audio_paused_until == at(71 - 3600)
    assert restored.revision == bed.alert.revision, "no change: consumers know it"


def test_a_pause_ends_after_a_restart_too() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    bed.pause(11, 60)
    bed.restart(30)
    assert bed.tick(71) == ["hr audio_resumed"]


def test_a_latched_alert_is_latched_after_a_restart() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    bed.steady(11, 30, 100)
    bed.restart(31)
    assert bed.steady(32, 60, 100) == []
    assert bed.acknowledge(61) == ["hr cleared"]


def test_redelivered_readings_raise_nothing_twice_and_restore_delays() -> None:
    bed = BedDriver()
    bed.steady(0, 12, 130)
    bed.restart(13)
    assert bed.steady(0, 12, 130) == []
    assert bed.steady(13, 14, 160) == []
    bed.restart(15)
    assert bed.steady(5, 12, 130) == []
    assert bed.steady(13, 20, 160) == ["16: hr escalated"]


def test_readings_of_a_clock_that_is_behind_are_redelivered_as_a_backlog_and_escalate_nothing() -> None:
    bed = BedDriver(BLUE)
    for second in (0, 20, 40, 60):
        bed.read(second - 3600, spo2=85 if second > 20 else 97, arrives=second, seq=second + 1)
    bed.restart(65)
    for second in (0, 20, 40, 60):
        bed.read(second - 3600, spo2=85 if second > 20 else 97, arrives=65, seq=second + 1, dup=True)
    assert bed.tick(65.5) == []
    assert (bed.alert.rule, bed.alert.change) == ("blue", Change.RAISED)


def test_silence_that_is_open_at_a_restart_ends_with_a_live_reading_and_is_not_repeated() -> None:
    bed = BedDriver(TECHNICAL)
    bed.steady(0, 5, 80)
    assert bed.tick(21) == ["silent raised"]
    for second in (22, 44):
        bed.restart(second)
        bed.steady(3, 5, 80, dup=True, arrives=second)
        assert bed.tick(second + 20) == []
    assert bed.read(70, 80) == ["silent cleared"]


def test_a_late_reading_does_not_change_the_patient_back() -> None:
    bed = BedDriver()
    bed.steady(0, 12, 130, patient_id="p-1")
    bed.steady(13, 30, 130, patient_id="p-2")
    mine = bed.alert
    bed.restart(31)
    assert bed.steady(8, 12, 130, patient_id="p-1", dup=True) == []
    assert bed.steady(13, 31, 130, patient_id="p-2") == []
    assert bed.alert == mine


def test_of_two_retained_alerts_the_newer_is_kept_and_the_older_deleted() -> None:
    bed = BedDriver()
    bed.steady(0, 12, 130)
    old = bed.alert
    bed.ward = "stroke"
    bed.read(13, 130)
    for order in ([old, bed.alert], [bed.alert, old]):
        beds, events = restore(bed.rules, order, at(14))
        assert [(event.alert, event.old_ward) for event in events] == [(bed.alert, "icu")]
        assert beds["mon-1"].ward == "stroke"


def test_an_alert_of_a_removed_rule_is_closed_with_that_reason() -> None:
    bed = BedDriver()
    bed.steady(0, 12, 130)
    (event,) = apply_rules(bed.bed, rules(TECHNICAL), None, at(13))
    assert event.alert.state is State.CLEARED
    assert "rule" in str(event.alert.reason)


def test_a_delay_that_other_rules_make_void_raises_nothing() -> None:
    text = HIGH + SCORE.replace('text = "NEWS2"', 'text = "NEWS2"\nfor_s = 10')
    bed = BedDriver(text)
    bed.steady(0, 9, 130, spo2=89)
    for old, new in (("above = 120", "above = 140"), ("above = 4", "above = 5"), ("    single = 3\n", "")):
        text = text.replace(old, new)
    assert apply_rules(bed.bed, rules(text), None, at(9.5)) == []
    assert bed.tick(10) == []
    assert bed.steady(10, 30, 130, spo2=89) == []


@pytest.mark.parametrize("again", [False, True])
def test_the_alert_of_a_slow_device_whose_clock_stands_still_ends(again: bool) -> None:
    bed = BedDriver(HIGH)
    said = []
    for number in range(9):
        boot = 500 if again and number > 2 else 1000
        said += bed.read(-9000, 160 if number == 3 else 80, 90 * number, boot=boot, seq=number + 1)
        said += bed.tick(90 * number + 2)
    assert [change for change in said if change != "hr reminded"] == ["hr raised", "hr cleared"]


@pytest.mark.parametrize("parts", [(0,), (0, 0.2, 0.4, 0.6), (0, 2, 4)])
def test_a_device_that_announces_a_shorter_interval_than_it_has_raises(parts: tuple[float, ...]) -> None:
    bed = BedDriver(HIGH)
    bed.status(0, online=True, interval_s=1)
    said = []
    for visit in range(7):
        for part in parts:
            said += bed.read(300 * visit + part, 130 if visit == 4 else 80, boot=0, seq=0)
        for second in range(1, 30):
            said += bed.tick(300 * visit + parts[-1] + second)
    assert said == ["hr raised", "hr cleared"]


def test_limits_of_one_sign_leave_the_delay_of_the_score_of_a_short_visit() -> None:
    text = HIGH + SCORE.replace('text = "NEWS2"', 'text = "NEWS2"\nfor_s = 10')
    bed = BedDriver(text)
    for second in (0, 2, 4):
        bed.read(second, 80, spo2=85, resp_rate=9)
    assert apply_rules(bed.bed, rules(text.replace("above = 120", "above = 125")), None, at(6)) == []
    assert bed.tick(10) == ["score raised"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "blue"', 'name = "other"'),
        ("below = 90", "below = 95"),
        ("below = 90\n    for_s = 6", "below = 91\n    for_s = 6\n" + level("high", below=70)),
        ('"spo2"', '"news2"'),
        ("below = 90", "below = 80"),
    ],
)
def test_other_rules_apply_to_the_value_of_a_rare_reading_too(old: str, new: str) -> None:
    text = rule("blue", "spo2", level("medium", below=90, for_s=6))
    bed = BedDriver(text)
    bed.status(0, online=True, interval_s=5)
    bed.read(1, spo2=92 if "95" in new else 85)
    changed = text.replace(old, new).replace("below = 90", "above = 2" if "news2" in new else "below = 90")
    assert apply_rules(bed.bed, rules(changed), None, at(3)) == []
    expected = [] if "80" in new else ["other raised" if "other" in new else "blue raised"]
    assert bed.tick(6) + bed.tick(7) + bed.tick(8) == expected


@pytest.mark.parametrize("heart_rate", [100, 130])
def test_other_rules_with_fewer_levels_keep_the_alert(heart_rate: float) -> None:
    bed = BedDriver()
    bed.steady(0, 12, 160)
    assert (
        apply_rules(bed.bed, rules(HIGH[: HIGH.index('    [[rule.level]]\n    priority = "high"')]), None, at(13)) == []
    )
    changes = bed.steady(13, 30, heart_rate)
    assert changes == (["18: hr cleared"] if heart_rate == 100 else [])


def test_a_score_is_raised_by_a_single_3_and_by_its_total() -> None:
    bed = BedDriver(SCORE)
    assert bed.read(0, 131) == ["score raised"]
    assert (bed.priority, bed.alert.value, bed.alert.parts) == ("medium", 3, {"heart_rate": 3})
    assert bed.read(1, 131, spo2=92) == []
    assert bed.read(2, 131, spo2=91, resp_rate=9) == ["score escalated"]
    assert bed.priority == "high"
    assert bed.alert.value == 7
    assert bed.alert.text == "NEWS2: at least 7 (RR 1, SpO2 3, HR 3)"
    assert bed.read(3, 120, spo2=93, resp_rate=9) == ["score de-escalated"]
    assert bed.read(4, 80, spo2=97, resp_rate=16) == ["score cleared"]


def test_a_score_without_points_has_no_empty_brackets() -> None:
    bed = BedDriver(SCORE.replace("above = 4", "above = 4\nclear_for_s = 60"))
    bed.read(0, 131, spo2=91, resp_rate=9)
    assert bed.read(1, 80, spo2=97, resp_rate=16, systolic_bp=120, temperature=37, consciousness="A") == [
        "score de-escalated"
    ]
    assert bed.alert.text == "NEWS2"


def test_a_missing_input_does_not_clear_a_score() -> None:
    bed = BedDriver(SCORE)
    bed.read(0, 131, spo2=97)
    assert bed.steady(1, 200, None, spo2=97) == []
    assert bed.state == "active"
    assert bed.read(201, 80, spo2=97) == ["score cleared"]


def test_values_of_the_former_patient_are_not_scored() -> None:
    bed = BedDriver(SCORE)
    assert bed.read(0, 80, systolic_bp=85, patient_id="p-1") == ["score raised"]
    assert bed.steady(1, 100, 80, patient_id="p-2") == ["3: score cleared"]


@pytest.mark.parametrize(("ahead", "text"), [(58, "58 s ahead"), (-90, "90 s behind"), (-7300, "2.0 h behind")])
def test_a_wrong_clock_is_a_technical_alert_and_ends_when_it_is_right(ahead: float, text: str) -> None:
    bed = BedDriver(DEVICE)
    said = []
    for second in range(20):
        said += bed.read(second + ahead, 80, arrives=second, seq=second + 1) + bed.tick(second)
    assert said == ["clock raised"]
    assert bed.alert.text == f"The device's clock is wrong: {text}"
    assert bed.alert.kind == "technical"
    said = []
    for second in range(20, 30):
        said += bed.read(second, 80, seq=second + 1) + bed.tick(second)
    assert said == ["clock cleared"]


def test_two_ids_in_turn_are_a_technical_alert() -> None:
    bed = BedDriver(DEVICE)
    said = []
    for second in range(10):
        said += bed.read(second, 80, patient_id="p-1" if second % 2 else "P-1") + bed.tick(second)
    assert said == ["patients raised"]


def test_an_alert_names_no_patient_while_ids_replace_each_other() -> None:
    bed = BedDriver()
    for patient in range(5):  # on a round, 30 s each
        bed.steady(patient * 30, patient * 30 + 29, 130 if patient == 4 else 80, patient_id=f"p-{patient}")
    assert (bed.alert.rule, bed.alert.patient_id) == ("hr", None)


def test_ids_that_replace_each_other_slowly_are_known_after_a_restart() -> None:
    bed = BedDriver(HIGH + DEVICE)
    ids = [name for _ in range(20) for name in ("p-1", "p-2") for _ in range(8)]
    changes = []
    for second in range(320):
        if second == 100:
            bed.restart(second)
        changes += [f"{second}: {said}" for said in bed.tick(second)]
        changes += bed.steady(second, second, 130 if second > 98 else 80, patient_id=ids[second])
    assert [change for change in changes if "patients" in change] == ["20: patients raised"]
    assert [change for change in changes if "hr" in change] == ["110: hr raised"]
    assert bed.bed.alerts["hr"].patient_id is None


def test_a_score_from_one_sign_with_an_open_alert_is_suppressed() -> None:
    bed = BedDriver(SCORE + PRESSURE)
    assert bed.steady(0, 200, 80, systolic_bp=65) == ["0: pressure raised"]
    assert bed.read(201, 80, systolic_bp=65, resp_rate=30) == ["score raised"]  # two signs score now


def seconds_of(bed: BedDriver, first: int, last: int, *args: float, **signs: Any) -> list[str]:
    """A reading and two ticks per second, as the worker has them."""
    return [
        f"{second}: {said}"
        for second in range(first, last)
        for said in bed.read(second, *args, **signs) + bed.tick(second) + bed.tick(second + 0.5)
    ]


def test_a_monitored_sign_without_values_raises_after_a_minute_until_a_value() -> None:
    bed = BedDriver(GONE)
    assert seconds_of(bed, 0, 30, 80, spo2=97) == []
    assert seconds_of(bed, 30, 120, 80) == ["96: gone-spo2 raised"]
    assert bed.alert.text == "No longer measured: Oxygen saturation"
    assert seconds_of(bed, 120, 130, 80, spo2=97) == ["120: gone-spo2 cleared"]


def test_a_sensor_reported_off_and_a_spot_check_raise_no_sign_gone() -> None:
    bed = BedDriver(GONE)
    assert seconds_of(bed, 0, 30, 80, spo2=97) == []
    assert seconds_of(bed, 30, 200, 80, sensor_off=("spo2",)) == []
    bed = BedDriver(GONE)
    assert seconds_of(bed, 0, 2, 80, spo2=97) == []
    assert seconds_of(bed, 2, 200, 80) == []


def test_a_slow_device_that_sends_one_sign_per_message_measures_each_of_them() -> None:
    bed = BedDriver(GONE)
    bed.status(0, online=True, interval_s=90)
    said = []
    for second in range(1, 900):
        if second % 90 == 1:
            said += bed.read(second, 80, seq=2 * second) + bed.tick(second)
        if second % 90 == 2:
            said += bed.read(second - 1, None, arrives=second, spo2=97, seq=2 * second + 1)
        said += bed.tick(second)
    assert said == []


@pytest.mark.parametrize("age", [30, 90])  # in seconds, at most and more than stale_after
@pytest.mark.parametrize("numbered", [True, False])
def test_a_reading_of_before_a_restart_that_comes_without_dup_raises_nothing_of_the_past(
    age: int, numbered: bool
) -> None:
    bed = BedDriver(PRESSURE)
    names: dict[str, Any] = {} if numbered else {"boot": 0, "seq": 0}
    assert bed.steady(0, 20, systolic_bp=60, **names) == ["0: pressure raised"]
    assert bed.steady(21, 35, systolic_bp=90, **names) == ["21: pressure cleared"]
    now = 20 + age
    bed.restart(now)  # at another broker, which had queued this reading and delivers it for the first time
    assert bed.read(20, systolic_bp=60, arrives=now, **names) == []
    assert bed.read(now - 1, systolic_bp=90, arrives=now, **names) == []
    assert bed.steady(now + 1, now + 9, systolic_bp=90, **names) == []
    assert bed.read(now + 10, systolic_bp=60, **names) == ["pressure raised"]


def test_a_clock_that_was_set_back_at_a_restart_delays_an_alert_by_one_reading() -> None:
    bed = BedDriver(PRESSURE)
    bed.steady(0, 20, systolic_bp=60)
    bed.steady(21, 35, systolic_bp=90)
    bed.restart(36)
    assert bed.read(6, systolic_bp=60, arrives=36) == []
    assert bed.read(7, systolic_bp=60, arrives=37) == ["pressure raised"]
