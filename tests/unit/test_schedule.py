"""A tick visits the beds that time may change, and each quiet bed when its check is due."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.engine.bed import Bed
from alerts.engine.engine import Engine
from alerts.engine.timers import tick
from alerts.rulefile.parser import load, parse
from tests.support.factories import make_alert
from tests.support.rule_text import level, rule
from vitals.alert import Change, Event
from vitals.codec import encode
from vitals.reading import reading
from vitals.rules import RuleSet
from vitals.topics import Topics

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
TICK = timedelta(seconds=0.5)


class Ward:
    """An engine with a clock, and devices that send a reading a second."""

    def __init__(self, rules: RuleSet | None = None) -> None:
        self.now = START
        self.engine = Engine(Topics(), rules or load(), START)
        self.seq = 0
        self.values = {"heart_rate": 80.0, "spo2": 97.0, "resp_rate": 16.0}

    def run(
        self, seconds: float, *devices: str, signs: tuple[str, ...] = ("heart_rate", "spo2", "resp_rate")
    ) -> list[Event]:
        events: list[Event] = []
        until = self.now + timedelta(seconds=seconds)
        while self.now < until:
            self.now += TICK
            if not self.now.microsecond:
                self.seq += 1
                for device in devices:
                    sample = reading(self.now, {key: self.values[key] for key in signs}, boot=1, seq=self.seq)
                    events += self.engine.take(
                        f"vitalflow/vitals/icu-1/{device}".encode(), encode(sample), False, self.now
                    )
            events += self.engine.tick(self.now)
        return events


def rules(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.alert.device_id, event.alert.rule) for event in events]


def record_visits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, datetime]]:
    """The device and time of each visit of a bed from now on, as they come."""
    visited: list[tuple[str, datetime]] = []

    def noted(bed: Bed, now: datetime) -> Sequence[Event]:
        visited.append((bed.device, now))
        return tick(bed, now)

    monkeypatch.setattr("alerts.engine.schedule.tick", noted)
    return visited


def test_the_silence_of_a_quiet_bed_is_found_when_its_delay_is_over() -> None:
    ward = Ward()
    assert ward.run(30, "bed-1", "bed-2") == []
    after = load().by_name["no-data"].levels[0].after.total_seconds()
    assert ward.run(after - 1, "bed-2") == []
    assert rules(ward.run(1.5, "bed-2")) == [("bed-1", "no-data")]


def test_a_sign_that_stops_is_found_at_a_quiet_bed() -> None:
    ward = Ward()
    assert ward.run(30, "bed-1") == []
    events = ward.run(80, "bed-1", signs=("heart_rate", "resp_rate"))
    assert rules(events) == [("bed-1", "sign-gone-spo2")]


def test_a_tick_whose_time_is_earlier_than_the_last_finds_silence_without_delay() -> None:
    ward = Ward()
    assert ward.run(30, "bed-1", "bed-2") == []
    ward.now -= timedelta(seconds=3)
    assert ("bed-1", "no-data") in rules(ward.run(25, "bed-2"))


def test_a_removed_device_is_visited_no_more() -> None:
    ward = Ward()
    ward.run(10, "bed-1")
    ward.engine.take(b"vitalflow/status/icu-1/bed-1", b'{"state":"forgotten","boot":1}', False, ward.now)
    assert "bed-1" not in ward.engine.beds
    assert ward.run(60) == []


def test_a_delay_ends_at_its_time_between_two_readings() -> None:
    ward = Ward(parse(rule("hr", "heart_rate", level("high", above=120, for_s=14)), "rules.toml"))
    for heart_rate in (80.0, 80.0, 80.0, 130.0, 130.0):
        ward.values["heart_rate"] = heart_rate
        assert ward.run(10) == []
        assert ward.run(1, "bed-1") == []
    assert ward.run(2.5) == []
    assert rules(ward.run(0.5)) == [("bed-1", "hr")]


def test_a_silent_device_reaches_each_further_level_at_its_time() -> None:
    ward = Ward(parse(rule("silent", "no-data", level("low", for_s=12), level("medium", for_s=45)), "rules.toml"))
    assert ward.run(30, "bed-1") == []
    assert ward.run(11.5) == []
    assert [event.alert.level for event in ward.run(0.5)] == [1]
    assert ward.run(32.5) == []
    assert [event.alert.level for event in ward.run(0.5)] == [2]


def test_a_worse_alert_about_a_device_that_is_reported_gone_comes_at_its_time() -> None:
    silent, offline = rule("silent", "no-data", level("low"), for_s=12), rule("off", "offline", level("low"), for_s=9)
    topic, will = b"vitalflow/status/icu-1/bed-1", b'{"state":"offline","boot":1}'
    birth = b'{"state":"online","boot":1,"interval_s":6}'

    worse = offline.replace("low", "high")
    ward = Ward(parse(silent + worse, "rules.toml"))
    ward.run(30, "bed-1")
    assert rules(ward.run(12)) == [("bed-1", "silent")]
    assert ward.run(3) == []
    assert list(ward.engine.take(topic, will, False, ward.now)) == []
    assert ward.run(8.5) == []
    assert rules(ward.run(0.5)) == [("bed-1", "off")]

    ward = Ward(parse(silent.replace("low", "high") + offline, "rules.toml"))
    ward.engine.take(topic, birth, False, ward.now)
    ward.run(30, "bed-1")
    assert list(ward.engine.take(topic, will, False, ward.now)) == []
    assert rules(ward.run(9)) == [("bed-1", "off")]
    assert ward.run(8.5) == []  # three announced intervals
    assert rules(ward.run(0.5)) == [("bed-1", "silent")]


def test_a_bed_is_visited_no_more_often_for_what_only_a_message_will_change(monkeypatch: pytest.MonkeyPatch) -> None:
    visited = record_visits(monkeypatch)
    ward = Ward()
    ward.values["spo2"] = 91.0  # scores 3, which its own alert reports: the delay of NEWS2 stays over
    assert [name for _, name in rules(ward.run(60, "bed-1", "bed-2"))] == ["spo2-low", "spo2-low"]
    assert ward.engine.beds["bed-1"].counts["news2"].is_pending
    ward.run(60, "bed-1")
    assert "no-data" in ward.engine.beds["bed-2"].alerts
    visited.clear()
    ward.run(200, "bed-1")
    visits = Counter(device for device, _ in visited)
    assert visits["bed-1"] <= 5  # reminders
    assert visits["bed-2"] <= 200 / 4 + 5  # checks of the device, at which nothing arrives


def test_a_bed_is_visited_for_a_delay_from_its_end_on(monkeypatch: pytest.MonkeyPatch) -> None:
    visited = record_visits(monkeypatch)
    ward = Ward(parse(rule("hr", "heart_rate", level("high", above=120, for_s=30)), "rules.toml"))
    ward.run(30, "bed-1")
    ward.values["heart_rate"] = 130.0
    visited.clear()
    assert ward.run(1, "bed-1") == []
    high_since = ward.now
    assert ward.run(28.5, "bed-1") == []
    assert visited == []
    assert rules(ward.run(1.5)) == [("bed-1", "hr")]
    assert visited[0] == ("bed-1", high_since + timedelta(seconds=30))


EVERY_DELAY = parse(
    rule("hr", "heart_rate", level("medium", above=120, clear=115, for_s=10), level("high", above=150, for_s=3))
    + rule("blue", "spo2", priority="high", text="SpO2 low", below=90, clear=92, for_s=6, clear_for_s=2)
    + rule("score", "news2", level("medium", above=4, single=3), level("high", above=6), text="NEWS2", for_s=14)
    + rule("off", "sensor-off", priority="low", for_s=5)
    + rule("silent", "no-data", level("low", for_s=12), level("high", for_s=30))
    + rule("gone", "offline", priority="medium", for_s=9, clear_for_s=4),
    "rules.toml",
)
steps = st.tuples(
    st.sampled_from([0.5, 1, 1, 1, 1, 3, 8, 25, 50]),
    st.sampled_from([None, 80, 118, 130, 160]),
    st.sampled_from([None, 85, 91, 97]),
    st.sampled_from([0.0, 0.0, 0.0, 0.0, 20.0, 100.0, -90.0]),  # how late it is by the device's clock
    st.sampled_from(["", "", "", "", "", "online", "offline"]),
)


@given(st.lists(steps, max_size=60))
def test_the_beds_that_a_tick_visits_are_all_at_which_it_changes_something(
    happens: list[tuple[float, float | None, float | None, float, str]],
) -> None:
    scheduled, whole = (Engine(Topics(), EVERY_DELAY, START) for _ in range(2))
    now = START
    for seq, (gap, heart_rate, spo2, late, state) in enumerate(happens, 1):
        until = now + timedelta(seconds=gap)
        kind = "status" if state else "vitals"
        off = ("spo2",) if spo2 is None else ()
        values = {key: value for key, value in (("heart_rate", heart_rate), ("spo2", spo2)) if value is not None}
        sample = reading(until - timedelta(seconds=late), values, boot=1, seq=seq, sensor_off=off)
        payload = msgspec.json.encode({"state": state, "boot": 1, "interval_s": 1}) if state else encode(sample)
        while now < until:
            now += TICK
            every = [event for bed in list(whole.beds.values()) for event in tick(bed, now)]
            assert scheduled.tick(now) == every
        topic = f"vitalflow/{kind}/icu-1/bed-1".encode()
        assert scheduled.take(topic, payload, False, now) == whole.take(topic, payload, False, now)


def test_a_delay_whose_device_is_silent_at_its_end_stays_due(monkeypatch: pytest.MonkeyPatch) -> None:
    visited = record_visits(monkeypatch)
    ward = Ward(parse(rule("hr", "heart_rate", level("high", above=120, for_s=50)), "rules.toml"))
    ward.run(30, "bed-1")
    ward.values["heart_rate"] = 130.0
    ward.run(5, "bed-1")
    assert ward.run(60) == []
    assert visited[-20:] == [("bed-1", ward.now - TICK * back) for back in range(19, -1, -1)]


def test_the_delays_of_an_offline_device_and_of_its_return_end_at_their_times() -> None:
    ward = Ward(parse(rule("off", "offline", level("low"), for_s=9, clear_for_s=7), "rules.toml"))
    topic = b"vitalflow/status/icu-1/bed-1"
    assert ward.run(30, "bed-1") == []
    for state, delay in (("online", 0.0), ("offline", 9.0), ("online", 7.0)):
        payload = f'{{"state":"{state}","boot":1}}'.encode()
        assert list(ward.engine.take(topic, payload, False, ward.now)) == []
        if delay:
            assert ward.run(delay - 0.5) == []
            assert rules(ward.run(0.5)) == [("bed-1", "off")]


def test_a_reminder_and_the_end_of_an_audio_pause_come_at_their_times_though_nothing_else_is_due() -> None:
    # Nothing counts but this rule: a score whose alert is not raised, beside this one, counts all the time.
    ward = Ward(parse(rule("spo2-low", "spo2", level("high", below=85)), "rules.toml"))
    assert ward.run(10, "bed-1") == []
    ward.values["spo2"] = 70.0
    raised = ward.run(5, "bed-1")
    assert rules(raised) == [("bed-1", "spo2-low")]
    assert raised[0].alert.active_since is not None
    due = raised[0].alert.active_since + ward.engine.rules.reminder
    ward.run((due - ward.now).total_seconds() - TICK.total_seconds(), "bed-1")
    [reminder] = ward.run(TICK.total_seconds(), "bed-1")
    assert (reminder.alert.change, ward.now) == (Change.REMINDED, due)
    topic = b"vitalflow/alert-commands/icu-1/bed-1/spo2-low"
    command = {"action": "pause_audio", "by": "nurse", "seconds": 30}
    [paused] = ward.engine.take(topic, msgspec.json.encode(command), False, ward.now)
    until = paused.alert.audio_paused_until
    assert until is not None
    assert ward.run((until - ward.now).total_seconds() - TICK.total_seconds(), "bed-1") == []
    [resumed] = ward.run(TICK.total_seconds(), "bed-1")
    assert (resumed.alert.change, ward.now) == (Change.AUDIO_RESUMED, until)


def test_a_retained_alert_with_an_absurd_time_or_number_does_not_end_the_worker() -> None:
    ward = Ward()
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for change in (
        {"active_since": last},
        {"reminders": 10**18},
        {"changed_at": last, "audio_paused_until": START},
        {"changed_at": START + timedelta(hours=1), "audio_paused_until": first},
    ):
        alert = make_alert(device="bed-1", rule="spo2-low", **change)
        ward.engine.restore([alert], ward.now)
        ward.run(10, "bed-1")


def test_what_is_counted_at_one_bed_is_counted_at_no_other() -> None:
    ward = Ward()
    ward.run(10, "bed-1", "bed-2")
    ward.values["spo2"] = 70.0
    ward.run(5, "bed-1")
    late = reading(ward.now - timedelta(seconds=50), {"spo2": 60.0})  # of an unknown place
    ward.engine.take(b"vitalflow/vitals/icu-1/bed-1", encode(late), False, ward.now)
    assert ward.engine.beds["bed-1"].counts
    assert ward.engine.beds["bed-1"].clock.undecided
    ward.values["spo2"] = 97.0
    ward.run(600, "bed-1")
    sick, silent = ward.engine.beds["bed-1"], ward.engine.beds["bed-2"]
    assert (sick.counts, list(silent.counts)) == ({}, ["no-data"])
    new = Ward()
    new.run(1, "bed-3")
    assert (new.engine.beds["bed-3"].counts, new.engine.beds["bed-3"].clock.undecided) == ({}, [])


class Bedside:
    """An engine with one bed, and what happens at it: (second, kind of topic, payload)."""

    NORMAL: ClassVar = {"heart_rate": 80.0, "spo2": 97.0, "resp_rate": 16.0}
    HOT: ClassVar = NORMAL | {"temperature": 39.5}  # the default rules wait 15 s

    def __init__(self) -> None:
        self.engine = Engine(Topics(), load(), START)
        self.messages: list[tuple[float, str, bytes]] = []

    def measure(self, second: int, values: dict[str, float], arrives: float | None = None, **names: Any) -> None:
        sample = reading(self.at(second), values, **({"boot": 1, "seq": second} | names))
        self.messages.append((second if arrives is None else arrives, "vitals", encode(sample)))

    def send(self, second: int, kind: str, **content: Any) -> None:
        self.messages.append((second, kind, msgspec.json.encode(content)))

    @staticmethod
    def at(second: float) -> datetime:
        return START + timedelta(seconds=second)

    def raised(self, end: int, disconnected: tuple[float, float] = (0, 0)) -> list[tuple[float, str]]:
        """When each alert was raised, with ticks twice a second but while the worker was disconnected."""
        found: list[tuple[float, str]] = []
        self.messages.sort(key=lambda message: message[0])
        for tick_number in range(1, 2 * end):
            second = tick_number / 2
            if disconnected[0] <= second < disconnected[1]:
                continue
            if second == disconnected[1]:
                self.engine.restart_no_data_timers(self.at(second))
            while self.messages and self.messages[0][0] <= second:
                sent, kind, payload = self.messages.pop(0)
                came = second if disconnected[0] <= sent <= disconnected[1] else sent
                events = self.engine.take(f"vitalflow/{kind}/icu-1/bed-1".encode(), payload, False, self.at(came))
                found += [(came, event.alert.rule) for event in events if event.alert.change is Change.RAISED]
            for event in self.engine.tick(self.at(second)):
                if event.alert.change is Change.RAISED:
                    found.append((second, event.alert.rule))
        return found


def test_a_delay_that_was_over_when_its_reading_came_late_raises_at_once() -> None:
    bed = Bedside()
    bed.send(0, "status", state="online", boot=1, interval_s=1, clock="right")
    for second in range(1, 200):
        bed.measure(second, bed.HOT if second == 100 else bed.NORMAL, arrives=second + 30)
    assert (130.0, "temperature-high") in bed.raised(200)


def test_a_delay_that_was_over_when_the_worker_came_back_raises_at_once() -> None:
    bed = Bedside()
    for second in range(1, 200):
        bed.measure(second, bed.HOT if second == 101 else bed.NORMAL)
    assert bed.raised(200, (100, 130)) == [(130.0, "temperature-high")]


def test_a_held_value_that_other_limits_find_too_high_for_long_raises_at_once() -> None:
    bed = Bedside()
    limits = {"temperature-high": [39.8, 41.0]}
    bed.send(0, "limits", by="n", limits=limits, patient_id="P1")  # and the next patient has none of his own
    for second in range(1, 200):
        patient: dict[str, Any] = {"patient_id": "P2"} if second > 99 else {}
        bed.measure(second, bed.HOT if second == 20 else bed.NORMAL, **patient)
    assert bed.raised(200) == [(100.0, "temperature-high")]


def test_a_delay_that_ended_during_a_short_silence_raises_when_the_device_is_back() -> None:
    bed = Bedside()
    for second in range(1, 200):
        if not 110 < second < 124:
            bed.measure(second, bed.HOT if second == 99 else bed.NORMAL)
    assert bed.raised(200) == [(124.0, "temperature-high")]


def test_a_delay_that_silence_blocked_raises_when_the_worker_no_longer_counts_the_silence() -> None:
    bed = Bedside()
    for second in range(1, 100):
        bed.measure(second, bed.NORMAL | ({"spo2": 85.0} if second >= 97 else {}))
    assert bed.raised(125, (112, 112.5)) == [(112.5, "spo2-low")]


def test_a_silent_device_is_reported_as_soon_as_its_bed_is_no_longer_vacant() -> None:
    bed = Bedside()
    bed.send(0, "status", state="online", boot=1, interval_s=1, clock="right")
    for second in range(1, 60):
        bed.measure(second, bed.NORMAL)
    bed.send(70, "assignments", by="n", patient_id=None, time=bed.at(70).isoformat())
    bed.measure(80, bed.NORMAL, arrives=300.1)
    assert bed.raised(310) == [(300.5, "no-data")]
