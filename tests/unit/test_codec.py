"""The wire format: encode and decode are each other's test, and decode takes whatever comes."""

import json
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.codec import MAX_AHEAD, MAX_PAYLOAD, MAX_READINGS, Decoded, Reason, TimeWindow, decode, encode, encode_many
from vitals.reading import MAX_TEXT, Reading, reading
from vitals.signs import SIGN_KEYS, SIGNS

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CLOCK = TimeWindow.at(NOW, timedelta(days=30))

OLDEST = NOW - timedelta(days=29)
times = st.datetimes(OLDEST.replace(tzinfo=None), NOW.replace(tzinfo=None), timezones=st.just(UTC))
printable = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=MAX_TEXT)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Any reading that a device may send."""
    keys = draw(st.lists(st.sampled_from(SIGN_KEYS), min_size=1, unique=True))
    off = tuple(draw(st.lists(st.sampled_from(keys), unique=True)))
    by_key = {sign.key: sign for sign in SIGNS}
    values = {key: draw(st.floats(by_key[key].low, by_key[key].high)) for key in keys if key not in off}
    return reading(
        draw(times),
        values,
        boot=draw(st.integers(0, 2**63 - 1)),
        seq=draw(st.integers(0, 2**63 - 1)),
        patient_id=draw(st.none() | printable),
        on_oxygen=draw(st.none() | st.booleans()),
        consciousness=draw(st.sampled_from([None, "A", "C", "V", "P", "U"])),
        sensor_off=off,
    )


@given(readings())
def test_what_is_encoded_is_decoded_again(told: Reading) -> None:
    assert decode(encode(told), CLOCK) == Decoded([told])


@given(st.lists(readings(), min_size=1, max_size=20))
def test_a_backlog_is_decoded_in_its_order(told: list[Reading]) -> None:
    assert decode(encode_many(told), CLOCK) == Decoded(told)


@given(st.binary(max_size=500))
def test_any_bytes_are_either_readings_or_a_rejection(payload: bytes) -> None:
    found = decode(payload, CLOCK)
    assert found.readings or found.rejection()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


field_names = st.sampled_from([*SIGN_KEYS, "time", "boot", "patient_id", "sensor_off"])


@given(readings(), st.dictionaries(field_names, json_values))
def test_a_reading_with_any_fields_replaced_is_stored_or_rejected_and_never_wrong(
    told: Reading, replaced: dict[str, Any]
) -> None:
    payload = json.dumps(json.loads(encode(told)) | replaced).encode()
    found = decode(payload, CLOCK)
    assert found.readings or found.rejection()
    for good in found.readings:
        for sign in SIGNS:
            value = good.value(sign.key)
            assert value is None or (sign.low <= value <= sign.high and sign.key not in good.sensor_off)
        assert CLOCK.earliest <= good.time <= CLOCK.latest
        assert good.patient_id is None or good.patient_id.isprintable()


def as_json(**fields: object) -> bytes:
    return json.dumps({"time": NOW.isoformat(), **fields}).encode()


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.key)
def test_both_ends_of_a_plausible_range_are_stored_and_what_is_beyond_is_not(sign: Any) -> None:
    for inside in (sign.low, sign.high):
        found = decode(as_json(**{sign.key: inside}), CLOCK)
        assert [good.value(sign.key) for good in found.readings] == [inside]
        assert not found.problems
    for outside in (sign.low - 0.1, sign.high + 0.1):
        found = decode(as_json(**{sign.key: outside}), CLOCK)
        assert [good.value(sign.key) for good in found.readings] == [None]
        assert [problem.reason for problem in found.problems] == [Reason.IMPLAUSIBLE]


def test_a_clock_is_believed_up_to_five_minutes_ahead_and_thirty_days_back() -> None:
    for time, reason in [
        (NOW + MAX_AHEAD, None),
        (NOW + MAX_AHEAD + timedelta(milliseconds=1), Reason.CLOCK_AHEAD),
        (NOW - timedelta(days=30), None),
        (NOW - timedelta(days=30, milliseconds=1), Reason.TOO_OLD),
    ]:
        rejection = decode(encode(reading(time, {"spo2": 97.0})), CLOCK).rejection()
        assert (rejection and rejection.reason) == reason


def test_a_payload_may_be_64_kib_and_no_longer() -> None:
    short = as_json(spo2=97)
    full = short + b" " * (MAX_PAYLOAD - len(short))
    assert not decode(full, CLOCK).problems
    assert [problem.reason for problem in decode(full + b" ", CLOCK).problems] == [Reason.TOO_LARGE]


def test_of_many_problems_ten_are_told_and_the_rest_is_a_number() -> None:
    rejection = decode(b"[" + b",".join([b"{}"] * 1000) + b"]", CLOCK).rejection()
    assert rejection is not None
    assert rejection.reason is Reason.NO_TIME
    assert rejection.detail.count("of 1000") == 10
    assert rejection.detail.endswith("and 990 more")


FILLED = [
    ("", "[", ""),
    ("", '{"a":', ""),
    ("[1", ",1", "]"),
    ("[1e300", ",1e300", "]"),
    ('{"x":[1e300', ",1e300", "]}"),
    ("[{}", ",{}", "]"),
    ('[{"time":"x"}', ',{"time":"x"}', "]"),
    ('[{"time":"x","boot":1,"seq":1}', ',{"time":"x","boot":1,"seq":1}', "]"),
    ('{"time":"2026-11-22T10:00:00Z","sensor_off":["spo2"', ',"spo2"', "]}"),
    ('{"time":"2026-11-22T10:00:00Z","spo2":', "9", "}"),
    ('{"patient_id":"', "\\u00e9", '"}'),
]
"""64 KiB of what costs most to look at, as (beginning, what is repeated, end)."""


@pytest.mark.parametrize(("before", "unit", "after"), FILLED)
def test_no_message_costs_more_than_some_milliseconds_whatever_it_holds(before: str, unit: str, after: str) -> None:
    """Everything else waits for it: 25 ms at most, where 64 KiB of "1,1,1" took 110 before."""
    payload = (before + unit * ((MAX_PAYLOAD - len(before) - len(after)) // len(unit)) + after).encode()
    took = []
    for _ in range(5):
        began = thread_time()
        decode(payload, CLOCK)
        took.append(thread_time() - began)
    assert min(took) < 0.05


def test_a_full_array_of_real_readings_is_within_the_bound_and_a_longer_one_is_refused_whole() -> None:
    least = b'{"time":"2026-11-22T10:00:00Z","spo2":9}'
    most = MAX_PAYLOAD // (len(least) + 1)
    assert most < MAX_READINGS
    assert len(decode(b"[" + b",".join([least] * most) + b"]", CLOCK).readings) == most
    refused = decode(b"[" + b",".join([b"1"] * (MAX_READINGS + 1)) + b"]", CLOCK).rejection()
    assert refused is not None
    assert (refused.reason, refused.detail) == (Reason.TOO_LARGE, "an array of 2001; at most 2000 readings are read")


def test_unknown_keys_are_counted_and_do_no_harm() -> None:
    found = decode(as_json(spo2=97, battery=0.5, firmware="1.2", sensor_off=["etco2"]), CLOCK)
    assert [good.value("spo2") for good in found.readings] == [97.0]
    assert (found.unknown_keys, found.problems) == (3, [])


def test_a_sensor_that_is_off_twice_is_off_once() -> None:
    found = decode(as_json(sensor_off=["spo2", "heart_rate", "spo2"]), CLOCK)
    assert [good.sensor_off for good in found.readings] == [("spo2", "heart_rate")]
    assert not found.problems


def test_a_time_with_another_offset_is_the_same_moment() -> None:
    payload = b'{"time":"2026-11-22T12:00:00.250+02:00","spo2":97}'
    assert decode(payload, CLOCK).readings[0].time == NOW + timedelta(milliseconds=250)
