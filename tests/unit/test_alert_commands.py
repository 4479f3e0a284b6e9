"""Commands and limits of users, their rejections, and the encoding of an alert."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.engine.commands import carry_out
from alerts.engine.context_changes import apply_rules
from alerts.rulefile.parser import load
from tests.support.bed_driver import BedDriver, at
from tests.support.rule_text import HIGH
from vitals.alert import MAX_ALERT, decode_alert, encode_alert
from vitals.assignment import decode_assignment
from vitals.command import decode_command
from vitals.limits import RequestRejected, apply, decode_limits

LATCHING = HIGH.replace("clear_for_s = 5", "clear_for_s = 5\nlatching = true")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not a command"),
        (b"\xff", "not a command"),
        (b"[" * 4000, "not a command"),
        (b'{"by":"x"}', "action"),
        (b'{"by":"x","action":"silence"}', "silence"),
        (b'{"by":" ","action":"acknowledge"}', "1 to 200 printable"),
        (b'{"by":"' + b"x" * 201 + b'","action":"acknowledge"}', "1 to 200 printable"),
        (b'{"by":"a\\u0000","action":"acknowledge"}', "1 to 200 printable"),
        (b'{"by":"x","action":"pause_audio","seconds":"long"}', "seconds"),
        (b" " * 5000, "at most"),
    ],
)
def test_a_command_that_cannot_be_read_is_refused(payload: bytes, said: str) -> None:
    with pytest.raises(RequestRejected, match=said):
        decode_command(payload)


def test_a_command_is_carried_out() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    pause = decode_command(b'{"by":"Nurse Joy","action":"pause_audio","seconds":60,"colour":1}')
    (event,) = carry_out(bed.bed, "hr", pause, at(11))
    assert event.alert.audio_paused_until == at(71)
    assert bed.state == "audio_paused"
    (event,) = carry_out(bed.bed, "hr", decode_command(b'{"by":"x","action":"resume_audio"}'), at(12))
    assert (bed.state, event.alert.audio_paused_until) == ("active", None)
    (event,) = carry_out(bed.bed, "hr", decode_command(b'{"by":"x","action":"acknowledge"}'), at(13))
    assert bed.state == "acknowledged"


def test_an_acknowledgement_of_nothing_names_what_is_open() -> None:
    bed = BedDriver()
    with pytest.raises(RequestRejected, match="this alert is not open; open at mon-1: none"):
        bed.acknowledge(0)
    bed.steady(0, 10, 130)
    with pytest.raises(RequestRejected, match="not open; open at mon-1: Heart rate high"):
        bed.acknowledge(11, "rh")


def test_a_repeated_acknowledgement_counts_once_and_that_of_a_second_user_is_rejected() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    assert bed.acknowledge(11) == ["hr acknowledged"]
    assert bed.acknowledge(12) == []
    with pytest.raises(RequestRejected, match="already acknowledged by Nurse Joy"):
        bed.acknowledge(13, by="Dr. Who")


@pytest.mark.parametrize("seconds", [0, -1, 601, float("inf"), float("nan")])
def test_a_pause_has_an_end_within_reason(seconds: float) -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    with pytest.raises(RequestRejected, match="at most 600 s"):
        bed.pause(11, seconds)


def test_a_pause_delivered_again_does_not_make_it_shorter() -> None:
    bed = BedDriver()
    bed.steady(0, 10, 130)
    bed.pause(11, 60)
    assert bed.pause(12, 10) == []
    assert bed.pause(13, 60) == ["hr audio_paused"]


def test_audio_of_an_alert_that_does_not_sound_cannot_be_paused() -> None:
    bed = BedDriver(LATCHING)
    bed.steady(0, 10, 130)
    bed.steady(11, 30, 100)
    with pytest.raises(RequestRejected, match="has ended; acknowledge it"):
        bed.pause(31, 60)
    bed.steady(32, 45, 130)
    bed.acknowledge(46)
    with pytest.raises(RequestRejected, match="already silent"):
        bed.pause(47, 60)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "not a limits message"),
        (b'{"limits":{}}', "by"),
        (b'{"by":"x","limit":{}}', "limit"),
        (b'{"by":"x","spo2_scale":3}', "spo2_scale|enum|Invalid"),
        (b'{"by":"","limits":{}}', "printable"),
        (b" " * 20_000, "at most"),
    ],
)
def test_limits_that_cannot_be_read_are_refused(payload: bytes, said: str) -> None:
    with pytest.raises(RequestRejected, match=said):
        decode_limits(payload)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (b'{"hart-rate-high":130}', "did you mean heart-rate-high"),
        (b'{"no-data":130}', "has no limit: it is a rule for no-data"),
        (b'{"heart-rate-high":30}', "every value of heart_rate would be an alarm"),
        (b'{"heart-rate-high":30,"heart-rate-low":60}', "every value of heart_rate"),
        (b'{"heart-rate-high":[130,125]}', "must be higher"),
        (b'{"spo2-low":[88,85,78,70]}', "3 level"),
        (b'{"spo2-low":[]}', "3 level"),
        (b'{"spo2-low":[null]}', "3 level"),
        (b'{"spo2-low":-5}', "not a possible value"),
        (b'{"nothing":1,"spo2-low":-5}', "nothing.*not a possible value"),
    ],
)
def test_limits_that_contradict_are_refused_with_every_objection(limits: bytes, said: str) -> None:
    asked = decode_limits(b'{"by":"x","limits":' + limits + b"}")
    assert asked is not None
    with pytest.raises(RequestRejected, match=said):
        apply(load(), asked)


def test_a_bed_has_its_own_limits_for_as_long_as_they_are_set() -> None:
    bed = BedDriver()
    limits = decode_limits(b'{"by":"Dr. Who","limits":{"hr":140}}')
    assert apply_rules(bed.bed, bed.rules, limits, at(0)) == []
    assert bed.steady(0, 30, 138) == []
    assert bed.steady(31, 45, 141) == ["41: hr raised"]
    assert bed.alert.limit == 140
    assert bed.steady(46, 60, 136) == []  # the file's 5 between limit and clear have gone along
    assert decode_limits(b"") is None
    apply_rules(bed.bed, bed.rules, None, at(61))
    assert bed.bed.rules is bed.rules


def test_refused_limits_leave_the_bed_as_it_was() -> None:
    bed = BedDriver()
    limits = decode_limits(b'{"by":"x","limits":{"hr":[160,150]}}')
    with pytest.raises(RequestRejected):
        apply_rules(bed.bed, bed.rules, limits, at(0))
    assert bed.bed.rules is bed.rules
    assert bed.bed.limits is None


def test_limits_for_one_patient_do_not_hold_for_the_next() -> None:
    bed = BedDriver()
    apply_rules(bed.bed, bed.rules, decode_limits(b'{"by":"x","patient_id":"p-1","limits":{"hr":140}}'), at(0))
    assert bed.steady(0, 30, 130, patient_id="p-1") == []
    assert bed.steady(31, 100, 130, patient_id="p-2") == ["42: hr raised"]
    assert bed.steady(101, 140, 130, patient_id="p-1") == ["103: hr cleared"]


def test_the_spo2_scale_is_a_limit_too() -> None:
    changed = apply(load(), decode_limits(b'{"by":"x","spo2_scale":2}'))  # type: ignore[arg-type]
    assert changed.spo2_scale == 2


def test_a_decoded_alert_equals_the_encoded_one() -> None:
    bed = BedDriver()
    bed.steady(0, 30, 160, patient_id="p-1")
    bed.pause(31, 60)
    for event in bed.events:
        assert decode_alert(encode_alert(event.alert)) == event.alert


@given(st.binary(), st.sampled_from([decode_command, decode_limits, decode_assignment, decode_alert]))
def test_no_payload_ends_in_a_traceback(payload: bytes, decode: Callable[[bytes], object]) -> None:
    try:
        decode(payload)
    except (RequestRejected, ValueError):
        return
    # Only what is one passes: hypothesis knows the texts of this checkout, and some of them are commands.
    if payload or decode not in (decode_limits, decode_assignment):
        assert isinstance(json.loads(payload), dict)


def test_too_long_an_alert_is_rejected() -> None:
    with pytest.raises(ValueError, match="at most"):
        decode_alert(b" " * (MAX_ALERT + 1))
