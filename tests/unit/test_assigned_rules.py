"""Assignments in the alert worker: which rules hold for the patient, whose alerts they are, and contradictions."""

import json
from typing import Any

import pytest

from alerts.engine.context_changes import PATIENT_CHANGED, PATIENT_DISCHARGED
from alerts.engine.engine import Engine
from alerts.rulefile.parser import InvalidRules, load, parse
from tests.support.bed_driver import at
from tests.support.rule_text import HIGH
from vitals.alert import Alert, Event
from vitals.assignment import Assignment, rules_for_bed
from vitals.limits import Limits, RequestRejected
from vitals.rules import RuleSet, decode_rules, encode_rules
from vitals.topics import Topics

DEFAULTS = load()


def assigned(profile: Any = "adult", scale: Any = None, patient: str = "p-1") -> Assignment:
    return Assignment(patient_id=patient, profile=profile, spo2_scale=scale, by="Nurse Joy")


def limits_of(rules: RuleSet, name: str) -> list[float]:
    return [level.limit for level in rules.by_name[name].levels]


@pytest.mark.parametrize("profile", ["child-12-15", "child-5-11", "child-1-4", "infant", "neonate"])
def test_a_child_has_the_limits_of_its_age_and_no_adult_score(profile: str) -> None:
    rules = rules_for_bed(DEFAULTS, assigned(profile), None, None)
    assert "news2" not in rules.by_name
    assert limits_of(rules, "heart-rate-low")[0] > limits_of(DEFAULTS, "heart-rate-low")[0]
    assert limits_of(rules, "heart-rate-high") != limits_of(DEFAULTS, "heart-rate-high")


def test_an_adult_and_a_patient_of_another_assignment_have_the_rules_of_the_file() -> None:
    assert rules_for_bed(DEFAULTS, assigned(), None, "p-1") is DEFAULTS
    assert rules_for_bed(DEFAULTS, assigned("neonate"), None, "p-2") is DEFAULTS


@pytest.mark.parametrize("by_limits", [False, True])
def test_spo2_scale_2_brings_its_own_limits(by_limits: bool) -> None:
    limits = Limits(by="Dr. Adams", spo2_scale=2) if by_limits else None
    rules = rules_for_bed(DEFAULTS, assigned(scale=None if by_limits else 2), limits, "p-1")
    assert rules.spo2_scale == 2
    assert limits_of(rules, "spo2-low") == [88, 84, 75]


def test_a_scale_in_the_limits_overrides_that_of_the_assignment_for_their_patient_only() -> None:
    limits = Limits(by="Dr. Adams", spo2_scale=1, patient_id="p-1")
    assert rules_for_bed(DEFAULTS, assigned(scale=2), limits, "p-1").spo2_scale == 1
    assert rules_for_bed(DEFAULTS, assigned(scale=2, patient="p-2"), limits, "p-2").spo2_scale == 2


def test_a_beds_own_limits_override_the_profile_and_are_checked_against_it() -> None:
    limits = Limits(by="Dr. Adams", limits={"heart-rate-high": 150})
    rules = rules_for_bed(DEFAULTS, assigned("child-5-11"), limits, "p-1")
    assert limits_of(rules, "heart-rate-high") == [150, 160, 190]
    with pytest.raises(RequestRejected, match="must be higher"):
        rules_for_bed(DEFAULTS, assigned("child-12-15"), limits, "p-1")


def test_profiles_travel_with_the_rules() -> None:
    assert decode_rules(encode_rules(DEFAULTS)).profiles == DEFAULTS.profiles


def test_a_mistake_in_a_profile_is_named_with_its_line() -> None:
    text = HIGH + '[[profile]]\nname = "neonat"\nwithout = ["hrr"]\nlimit = 3\n  [profile.limits]\n  hr = [200, 100]\n'
    with pytest.raises(InvalidRules) as caught:
        parse(text, "rules.toml")
    first = HIGH.count("\n") + 1
    assert [mistake.partition(": ")[0] for mistake in caught.value.mistakes] == [
        f"rules.toml, line {first + offset}" for offset in (1, 2, 3, 5)
    ]
    assert "did you mean neonate?" in caught.value.mistakes[0]
    assert "did you mean hr?" in caught.value.mistakes[1]
    assert "profile 'neonat'" in caught.value.mistakes[3]


# In the engine


class Ward:
    """One device of an engine, played by messages."""

    def __init__(self, topics: Topics | None = None) -> None:
        self.engine = Engine(topics or Topics(), DEFAULTS, at(0))
        self.second = 0.0
        self.alerts: dict[str, Alert] = {}
        self.reasons: dict[str, str | None] = {}

    def take(self, kind: str, content: object | None) -> None:
        payload = b"" if content is None else json.dumps(content).encode()
        self._keep(self.engine.take(f"vitalflow/{kind}/icu/mon-1".encode(), payload, False, at(self.second)))

    def assign(self, patient: str | None, **fields: object) -> None:
        self.take("assignments", {"patient_id": patient, "by": "Nurse Joy", **fields} if patient else None)

    def discharge(
        self, *, retained: bool = False, second: float | None = None, in_use_second: float | None = None
    ) -> None:
        at_second = self.second if second is None else second
        content = {"patient_id": None, "by": "Nurse Joy", "time": at(at_second).isoformat()}
        if in_use_second is not None:
            content["in_use_since"] = at(in_use_second).isoformat()
        payload = json.dumps(content).encode()
        self._keep(self.engine.take(b"vitalflow/assignments/icu/mon-1", payload, retained, at(self.second)))

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second += 1
            self._keep(self.engine.tick(at(self.second)))

    def restart(self) -> None:
        """Begin with another worker, which has the retained alerts."""
        alerts = list(self.alerts.values())
        self.engine = Engine(Topics(), DEFAULTS, at(self.second))
        self._keep(self.engine.restore(alerts, at(self.second)))

    def measure(self, seconds: int, **fields: object) -> None:
        for _ in range(seconds):
            self.take("vitals", {"time": at(self.second).isoformat(), **fields})
            self.second += 1
            self._keep(self.engine.tick(at(self.second)))

    def _keep(self, events: "list[Event] | Any") -> None:
        for event in events:
            if event.alert.is_open:
                self.alerts[event.alert.rule] = event.alert
            else:
                self.alerts.pop(event.alert.rule, None)
                self.reasons[event.alert.rule] = event.alert.reason


def test_alerts_of_a_device_that_names_no_patient_are_the_assigned_patients() -> None:
    ward = Ward()
    ward.assign("p-1")
    ward.measure(3, spo2=70)
    assert ward.alerts["spo2-low"].patient_id == "p-1"


def test_a_neonate_raises_by_its_own_limits() -> None:
    ward = Ward()
    ward.assign("p-1", profile="neonate")
    ward.measure(40, heart_rate=150, resp_rate=45, spo2=95)
    assert ward.alerts == {}
    ward.measure(40, heart_rate=90, resp_rate=45, spo2=95)
    assert list(ward.alerts) == ["heart-rate-low"]


def test_another_assigned_patient_inherits_no_alert_and_no_value() -> None:
    ward = Ward()
    ward.assign("p-1")
    ward.measure(30, spo2=70, resp_rate=30, heart_rate=140)
    assert "news2" in ward.alerts
    ward.assign("p-2")
    assert ward.alerts == {}
    assert ward.reasons["spo2-low"] == PATIENT_CHANGED
    ward.measure(30, spo2=97)
    assert ward.alerts == {}


def test_a_discharge_closes_the_alerts_and_the_device_raises_them_anew_without_a_patient() -> None:
    ward = Ward()
    ward.assign("p-1")
    ward.measure(3, spo2=70)
    ward.assign(None)
    assert ward.reasons["spo2-low"] == PATIENT_DISCHARGED
    ward.measure(3, spo2=70)
    assert ward.alerts["spo2-low"].patient_id is None


@pytest.mark.parametrize("named", [{}, {"patient_id": "p-1"}])
def test_a_discharge_closes_every_alert_and_silence_raises_none_until_a_value_comes(named: dict[str, str]) -> None:
    ward = Ward()
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.assign("p-1")
    ward.measure(3, spo2=70, **named)
    ward.discharge()
    assert ward.alerts == {}
    assert ward.reasons["spo2-low"] == PATIENT_DISCHARGED
    ward.take("status", {"state": "offline", "boot": 1})
    ward.pass_time(120)
    assert ward.alerts == {}
    ward.measure(3, spo2=70, **named)
    assert ward.alerts["spo2-low"].patient_id == named.get("patient_id")
    ward.pass_time(120)
    assert "no-data" in ward.alerts


def test_a_backlog_does_not_bring_a_discharged_patient_back() -> None:
    ward = Ward()
    ward.measure(60, patient_id="p-1", spo2=97)
    ward.pass_time(30)
    ward.discharge()
    for second in range(60, 90):
        ward.take("vitals", {"time": at(second).isoformat(), "patient_id": "p-1", "spo2": 60})
    ward.pass_time(10)
    assert ward.alerts == {}
    assert ward.engine.beds["mon-1"].patient_id is None


def test_a_restarted_worker_keeps_what_was_raised_after_a_discharge_and_closes_what_was_before() -> None:
    ward = Ward()
    ward.assign("p-1")
    ward.measure(3, spo2=70)
    before = ward.alerts["spo2-low"]
    ward.restart()
    ward.discharge(retained=True, second=ward.second)
    assert ward.alerts == {}
    ward.discharge()  # the same, queued for the worker's session
    ward.measure(40, spo2=70, heart_rate=170)
    after = ward.alerts["spo2-low"]
    assert after.alert_id != before.alert_id
    ward.restart()
    ward.discharge(retained=True, second=3)
    assert ward.alerts["spo2-low"] == after
    ward.pass_time(60)
    assert "no-data" in ward.alerts, "the bed was in use"


def test_values_that_waited_while_the_worker_was_down_end_a_vacancy() -> None:
    ward = Ward()
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.measure(3, spo2=97)
    ward.discharge()
    ward.restart()
    ward.discharge(retained=True, second=3)
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.second += 200
    for second in range(50, 100):  # a backlog, measured after the discharge
        ward.take("vitals", {"time": at(second).isoformat(), "boot": 1, "seq": second, "spo2": 97})
    ward.pass_time(60)
    assert "no-data" in ward.alerts, "the bed is in use"


def test_a_discharge_that_states_a_use_since_then_hides_no_silence_from_a_worker_that_starts_later() -> None:
    ward = Ward()
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.assign("p-1")
    ward.measure(3, spo2=70)
    ward.discharge()
    ward.restart()
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.discharge(retained=True, second=3, in_use_second=60)
    assert ward.alerts == {}, "those before the discharge are closed"
    ward.pass_time(60)
    assert "no-data" in ward.alerts


def test_the_clock_of_a_device_raises_nothing_at_a_vacant_bed() -> None:
    ward = Ward()
    for second in range(20):  # a clock 45 s behind
        ward.take("vitals", {"time": at(second - 45).isoformat(), "spo2": 97})
        ward.second += 1
        ward.pass_time(0)
    ward.pass_time(60)
    ward.discharge()
    ward.pass_time(120)
    assert ward.alerts == {}


def test_limits_are_checked_against_the_age_group_and_a_discharge_drops_those_that_contradict_the_rules() -> None:
    ward = Ward()
    ward.assign("p-1", profile="neonate")
    for limits in ({"resp-rate-low": [28, None]}, {"heart-rate-high": [190]}, {"spo2-low": [88]}):
        ward.take("limits", {"by": "ada", "patient_id": "p-1", "limits": limits})
        assert ward.engine.rejections == []
        assert ward.engine.beds["mon-1"].limits is not None
    ward.measure(3, spo2=70)
    ward.discharge()
    assert ward.alerts == {}
    assert ward.engine.beds["mon-1"].rules.by_name["spo2-low"] == DEFAULTS.by_name["spo2-low"]


def test_an_assignment_ends_a_discharge() -> None:
    ward = Ward()
    ward.discharge()
    ward.take("status", {"state": "online", "boot": 1, "interval_s": 1})
    ward.assign("p-2")
    ward.pass_time(60)
    assert ward.alerts["no-data"].patient_id == "p-2"


def test_a_statement_of_use_since_an_earlier_discharge_ends_no_assignment() -> None:
    ward = Ward()
    ward.discharge()
    ward.second = 10
    ward.assign("p-2", time=at(10).isoformat())
    ward.measure(3, spo2=70)
    assert ward.alerts["spo2-low"].patient_id == "p-2"
    ward.discharge(second=0, in_use_second=9)  # by a station that has not received the assignment yet
    assert ward.alerts["spo2-low"].patient_id == "p-2"
    ward.discharge()
    assert "spo2-low" not in ward.alerts, "a discharge of this patient counts"


def test_an_assignment_makes_a_change_of_patient_count_at_once() -> None:
    ward = Ward()
    ward.measure(3, patient_id="p-1", spo2=70)
    ward.take("vitals", {"time": at(ward.second).isoformat(), "patient_id": "p-2", "spo2": 97})
    assert ward.alerts["spo2-low"].patient_id == "p-1"
    ward.assign("p-2")
    assert ward.reasons["spo2-low"] == PATIENT_CHANGED


def test_a_device_that_reports_another_patient_than_the_assigned_one_raises_a_technical_alert() -> None:
    ward = Ward()
    ward.measure(3, patient_id="p-1", spo2=97)
    ward.assign("p-2", profile="infant")
    ward.measure(20, patient_id="p-1", spo2=97, heart_rate=80)
    assert list(ward.alerts) == ["assignment"]
    assert ward.alerts["assignment"].kind == "technical"
    ward.assign("p-1")
    ward.measure(4, patient_id="p-1", spo2=97, heart_rate=80)
    assert ward.alerts == {}


def test_an_assignment_that_cannot_be_read_is_refused_and_changes_nothing() -> None:
    ward = Ward()
    ward.assign("p-1", profile="toddler")
    (rejection,) = ward.engine.rejections
    assert "profile" in rejection.reason
    ward.measure(3, spo2=70)
    assert ward.alerts["spo2-low"].patient_id is None


def test_a_device_without_a_clock_raises_once_also_if_its_readings_are_redelivered() -> None:
    ward = Ward(Topics(arrival_time=frozenset({"icu/+"})))
    raised = []
    for second in range(40):
        for dup in (False, True):
            now = at(second + 0.1 * dup)
            events = ward.engine.take(b"vitalflow/vitals/icu/mon-1", b'{"spo2":70}', False, now, dup=dup)
            raised += [event.alert.alert_id for event in events if event.alert.rule == "spo2-low"]
        raised += [
            event.alert.alert_id for event in ward.engine.tick(at(second + 0.5)) if event.alert.rule == "spo2-low"
        ]
    assert len(set(raised)) == 1


@pytest.mark.parametrize("fields", [{"spo2": "98 %", "heart_rate": "72 bpm"}, {"spo2": 127, "heart_rate": 511}])
def test_readings_without_a_usable_value_are_no_sign_of_life_before_the_first_value(fields: dict[str, object]) -> None:
    ward = Ward()
    ward.measure(35, boot=1, seq=1, **fields)
    assert set(ward.alerts) == {"no-data"}
    ward.measure(1, spo2=97)
    assert not ward.alerts
    ward.measure(60, boot=1, seq=1, **fields)  # now the sign is missing, and the device goes on
    assert "no-data" not in ward.alerts


def test_the_interval_is_that_of_the_arrivals_whatever_boot_and_clock_a_device_sends() -> None:
    ward = Ward()
    for second in range(120):
        behind = at(second - 3600)
        ward.measure(1, time=behind.isoformat(), boot=second * 7919 % 1000 + 1, seq=second + 1, spo2=97)
    assert set(ward.alerts) == {"clock"}
    ward.pass_time(20)
    assert "no-data" in ward.alerts


def test_the_last_message_again_and_again_is_no_sign_of_life() -> None:
    """A gateway repeats it while its sensor is gone. By a clock that stands still, values change."""
    ward = Ward()
    ward.measure(60, spo2=97, heart_rate=80)
    stopped = {"time": at(60).isoformat()}
    ward.measure(75, **stopped, spo2=97, heart_rate=80)
    assert set(ward.alerts) == {"clock"}
    ward.measure(20, **stopped, spo2=97, heart_rate=80)
    assert set(ward.alerts) == {"clock", "no-data"}
    for _ in range(60):
        ward.measure(1, **stopped, spo2=97)
        ward.measure(1, **stopped, heart_rate=80 + (int(ward.second) // 50) % 2)
    assert set(ward.alerts) == {"clock"}
    ward.measure(1, **stopped, spo2=70)
    assert "spo2-low" in ward.alerts


def test_a_revoked_device_is_no_bed_and_raises_no_alert() -> None:
    engine = Engine(Topics(), DEFAULTS, at(0))
    engine.take(b"vitalflow/status/icu-1/bed-1", b'{"state":"online","boot":1}', True, at(0))
    for kind in ("status", "limits", "assignments"):
        assert not engine.take(f"vitalflow/{kind}/icu-1/bed-1".encode(), b"", False, at(1))
    assert not engine.beds
    assert not engine.tick(at(120))


def test_a_birth_that_a_device_left_in_its_former_ward_changes_nothing() -> None:
    ward = Ward()
    for place, boot, interval_s in (("ed", 2, 1), ("icu", 1, 3600)):
        payload = json.dumps({"state": "online", "boot": boot, "interval_s": interval_s}).encode()
        ward.engine.take(f"vitalflow/status/{place}/mon-1".encode(), payload, True, at(0))
    ward.measure(3, heart_rate=80, boot=2)
    ward.pass_time(20)
    assert "no-data" in ward.alerts


def test_a_retained_birth_of_a_lower_boot_in_the_same_ward_counts() -> None:
    ward = Ward()
    ward.take("status", {"state": "online", "boot": 1_700_000_000, "interval_s": 3600})
    birth = json.dumps({"state": "online", "boot": 5, "interval_s": 1}).encode()  # its clock begins in 1970
    ward.engine.take(b"vitalflow/status/icu/mon-1", birth, True, at(0))
    ward.measure(3, heart_rate=80, boot=5)
    ward.pass_time(20)
    assert "no-data" in ward.alerts
