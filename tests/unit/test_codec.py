"""The wire format: encode and decode are each other's test, and decode takes whatever comes."""

import json
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.codec import MAX_AHEAD, MAX_PAYLOAD, MAX_READINGS, Decoded, Reason, TimeWindow, decode, encode, encode_many
from vitals.reading import MAX_TEXT, Reading, reading, stored_seq
from vitals.signs import SIGN_KEYS, SIGNS

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CLOCK = TimeWindow.at(NOW, timedelta(days=30))

OLDEST = NOW - timedelta(days=29)
times = st.datetimes(OLDEST.replace(tzinfo=None), NOW.replace(tzinfo=None), timezones=st.just(UTC))
printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_TEXT)


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
def test_what_is_encoded_is_decoded_again(original: Reading) -> None:
    assert decode(encode(original), CLOCK) == Decoded([original])


@given(st.lists(readings(), min_size=1, max_size=8))
def test_a_backlog_is_decoded_in_its_order(original: list[Reading]) -> None:
    assert decode(encode_many(original), CLOCK) == Decoded(original)


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
    original: Reading, replaced: dict[str, Any]
) -> None:
    payload = json.dumps(json.loads(encode(original)) | replaced).encode()
    found = decode(payload, CLOCK)
    assert found.readings or found.rejection()
    for good in found.readings:
        for sign in SIGNS:
            value = good.value(sign.key)
            assert value is None or (sign.low <= value <= sign.high and sign.key not in good.sensor_off)
        assert CLOCK.earliest <= good.time <= CLOCK.latest
        assert good.patient_id is None or good.patient_id.isprintable()


@given(readings(), st.dictionaries(st.text(max_size=10), json_values), st.booleans())
def test_a_comma_too_many_changes_nothing_whatever_else_a_message_holds(
    original: Reading, more: dict[str, Any], ascii_only: bool
) -> None:
    text = json.dumps(more | json.loads(encode(original)), ensure_ascii=ascii_only)
    payload = text.encode(errors="replace")
    assert decode(payload[:-1] + b",}", CLOCK) == decode(payload, CLOCK)


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


def test_of_many_problems_ten_are_listed_and_the_others_counted() -> None:
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
    ('{"a":nan,', "07,", "}"),
    ("{", "'", ""),
    ("{", "x ", ""),
    ("[", '"\\\\"', ""),
    ("{}", "1 ", ""),
    ('[{"time":"2026-11-22T10:00:00Z","spo2":nan}', ',{"time":"2026-11-22T10:00:00Z","spo2":nan}', "]"),
]
"""64 KiB of what costs most to look at, as (beginning, what is repeated, end)."""


@pytest.mark.parametrize(("before", "unit", "after"), FILLED)
def test_no_message_takes_time_in_the_square_of_its_length_whatever_it_holds(
    before: str, unit: str, after: str
) -> None:
    """Everything else waits for it: 26 ms at most for 64 KiB, and minutes if it were read again from each byte on."""
    payload = (before + unit * ((MAX_PAYLOAD - len(before) - len(after)) // len(unit)) + after).encode()
    began = thread_time()
    decode(payload, CLOCK)
    assert thread_time() - began < 1


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


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-22T10:00:00+0000",
        "2026-11-22 10:00:00+00",
        "2026-11-22T10:00Z",
        "20261122T100000Z",
        " 2026-11-22T10:00:00,000z ",
        "2026-11-22T10:00:00.0000000Z",
        "2026-11-22T10:00:00.000000+00:00Z",
        "2026-11-22T11:00:00+01:00[Europe/Berlin]",
    ],
)
def test_any_form_of_iso_8601_with_an_offset_is_read(written: str) -> None:
    assert decode(json.dumps({"time": written, "spo2": 97}).encode(), CLOCK).readings[0].time == NOW


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('"temperature":"warm"', Reason.BAD_FIELD),
        ('"temperature":NaN', Reason.BAD_FIELD),
        ('"temperature":-Infinity', Reason.BAD_FIELD),
        ('"temperature":true', Reason.BAD_FIELD),
        ('"temperature":[36.8]', Reason.BAD_FIELD),
        ('"temperature":{"value":36.8}', Reason.BAD_FIELD),
        ('"temperature":1e999', Reason.BAD_FIELD),
        ('"temperature":368', Reason.IMPLAUSIBLE),
        ('"temperature":"368"', Reason.IMPLAUSIBLE),
        ('"seq":1.5', Reason.BAD_FIELD),
        ('"seq":-1', Reason.BAD_FIELD),
        ('"seq":"one"', Reason.BAD_FIELD),
        ('"boot":9223372036854775808', Reason.BAD_FIELD),
        ('"consciousness":"awake"', Reason.BAD_FIELD),
        ('"on_oxygen":"yes"', Reason.BAD_FIELD),
        ('"sensor_off":"temperature"', Reason.BAD_FIELD),
        ('"patient_id":[42]', Reason.BAD_TEXT),
        ('"patient_id":4.2', Reason.BAD_TEXT),
        ('"patient_id":9007199254740993.0', Reason.BAD_TEXT),
        ('"temperature":nan', Reason.BAD_FIELD),
        ('"temperature":-nan', Reason.BAD_FIELD),
        ('"temperature":inf', Reason.BAD_FIELD),
        ('"temperature":36.', Reason.BAD_FIELD),
        ('"temperature":36,8', Reason.BAD_FIELD),
        ('"temperature":--', Reason.BAD_FIELD),
        ('"temperature": ERR ', Reason.BAD_FIELD),
        ('"temperature":0x24', Reason.BAD_FIELD),
        ('"patient_id":"\\ud800"', Reason.BAD_TEXT),
        ('"patient_id":"a\\u0000b"', Reason.BAD_TEXT),
    ],
)
def test_one_bad_field_is_a_problem_and_the_signs_beside_it_are_stored(bad: str, reason: Reason) -> None:
    found = decode(f'{{"time":"{NOW.isoformat()}","spo2":70,{bad}}}'.encode(), CLOCK)
    assert [(good.value("spo2"), good.value("temperature")) for good in found.readings] == [(70.0, None)]
    assert [problem.reason for problem in found.problems] == [reason]
    assert bad.partition(":")[0].strip('"') in found.problems[0].detail


NEARLY_JSON = [
    b'{"time":"%b","temperature":,"spo2":70}',
    b'{"time":"%b","spo2":70,"temperature":}',
    b'{"time":"%b","spo2":70,"temperature":None}',
    b'{"time":"%b","spo2":70,}',
    b'{"time":"%b",, "spo2":70 , }',
    b'[{"time":"%b","spo2":70},]',
    b'{"time":"%b","spo2":70}\0\0',
    b'\0{"time":"%b","spo2":70}\r\n\0',
    b'{"time":"%b","spo2":070}',
    b'{"time":"%b","spo2":+70}',
    b'{"time":"%b","spo2":70,"unit":"\xb0C"}',
    b'{"time":"%b","spo2":70,"name":"a\tb\r\n"}',
    b'{"time":"%b","spo2":70,"name":"\\253740976 \\" \\\\2 \\u00b0"}',
    b"{'time': '%b', 'spo2': 70, 'ok': True}",
    b'{time:"%b",spo2:70}',
    b'"{\\"time\\":\\"%b\\",\\"spo2\\":70}"',
]
"""What firmware publishes in place of JSON, after public reports, with one saturation of 70."""


@pytest.mark.parametrize("payload", NEARLY_JSON)
def test_what_is_nearly_json_does_not_hide_a_sign(payload: bytes) -> None:
    found = decode(payload.replace(b"%b", NOW.isoformat().encode()), CLOCK)
    assert (found.readings, found.problems) == ([reading(NOW, {"spo2": 70.0})], [])


def test_several_objects_in_one_message_are_an_array_and_what_follows_them_is_rejected() -> None:
    one, two = as_json(spo2=70), as_json(spo2=71)
    for between in (b"", b"\n", b"\r\n", b", ", b"\0"):
        found = decode(one + between + two + b"\n", CLOCK)
        assert [good.value("spo2") for good in found.readings] == [70.0, 71.0]
        assert not found.problems
    found = decode(one + two[:-3], CLOCK)
    assert [good.value("spo2") for good in found.readings] == [70.0]
    assert [(problem.reason, problem.detail[:16]) for problem in found.problems] == [
        (Reason.NOT_A_READING, "reading 2 of 2: ")
    ]


@pytest.mark.parametrize(
    "payload", ['{"time":"T","spo2":7', '{"time":"T","spo2":70,"temp', '{"time":"T","name":"a"b","spo2":70}', "spo2=70"]
)
def test_what_may_mean_something_else_is_no_json(payload: str) -> None:
    found = decode(payload.replace("T", NOW.isoformat()).encode(), CLOCK)
    assert not found.readings
    assert [problem.reason for problem in found.problems] == [Reason.NOT_JSON]


@pytest.mark.parametrize(("written", "read"), [(42, "42"), (42.0, "42"), (0, "0")])
def test_a_patient_id_that_is_a_whole_number_distinguishes_patients(written: float, read: str) -> None:
    found = decode(as_json(spo2=97, patient_id=written), CLOCK)
    assert [good.patient_id for good in found.readings] == [read]
    assert not found.problems


def test_a_small_letter_of_consciousness_and_an_oxygen_of_0_or_1_are_read() -> None:
    found = decode(as_json(consciousness=" u ", on_oxygen=1), CLOCK).readings[0]
    assert (found.consciousness, found.on_oxygen) == ("U", True)
    assert decode(as_json(on_oxygen="false"), CLOCK).readings[0].on_oxygen is False


@pytest.mark.parametrize(
    ("written", "read"), [("72", 72.0), ("98.5", 98.5), (" 72 ", 72.0), ("+7.2", 7.2), ("072", 72.0)]
)
def test_a_text_that_is_a_plain_decimal_number_is_a_number(written: str, read: float) -> None:
    found = decode(as_json(resp_rate=written, seq="7", boot=1.0), CLOCK)
    assert [(good.value("resp_rate"), good.boot, good.seq) for good in found.readings] == [(read, 1, 7)]
    assert not found.problems


@pytest.mark.parametrize("written", ["7,2", "1e2", "0x10", "", "NaN", "7 2", "--7", "\u0667"])
def test_a_text_of_any_other_form_is_no_number(written: str) -> None:
    found = decode(as_json(resp_rate=written, spo2=97), CLOCK)
    assert [good.value("resp_rate") for good in found.readings] == [None]
    assert [problem.reason for problem in found.problems] == [Reason.BAD_FIELD]


@pytest.mark.parametrize("patient", ["", " ", "\t"])
def test_an_empty_patient_is_no_patient(patient: str) -> None:
    found = decode(as_json(spo2=97, patient_id=patient), CLOCK)
    assert [good.patient_id for good in found.readings] == [None]
    assert not found.problems


def test_space_around_a_patient_id_is_not_part_of_it() -> None:
    assert decode(as_json(spo2=97, patient_id=" p-1 "), CLOCK).readings[0].patient_id == "p-1"


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbf" + as_json(spo2=97), CLOCK) == decode(as_json(spo2=97), CLOCK)
    assert decode(b"\xef\xbb\xbf[" + as_json(spo2=97) + b"]", CLOCK) == decode(as_json(spo2=97), CLOCK)


@pytest.mark.parametrize("written", ["2026-11-20T23:59:60Z", "2026-11-21T00:59:60+01:00", "2026-11-20T23:59:60.000Z"])
def test_a_leap_second_is_the_next_second(written: str) -> None:
    found = decode(f'{{"time":"{written}","spo2":97}}'.encode(), CLOCK)
    assert [good.time for good in found.readings] == [datetime(2026, 11, 21, tzinfo=UTC)]


@pytest.mark.parametrize(
    "written",
    [
        1795341000,
        1795341000123,
        1795341000.5,
        "1795341000",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00:00+01:00Z",
        "2026-11-22",
        "22.11.2026 10:00:00Z",
        "26-11-22T10:00:00Z",
        "2165-165-165T165:165:85Z",
        "20261122101112Z",
        "2026-11-22T10:11:123Z",
        "2026-11-22T10:11.5Z",
    ],
)
def test_a_time_of_another_form_is_refused_with_the_form_that_is_expected(written: object) -> None:
    rejection = decode(json.dumps({"time": written, "spo2": 97}).encode(), CLOCK).rejection()
    assert rejection is not None
    assert rejection.reason is Reason.BAD_TIME
    assert "expected RFC 3339 with an offset, like 2026-11-22T10:00:00Z" in rejection.detail


def test_an_observation_without_a_measured_sign_is_a_reading() -> None:
    assert decode(as_json(consciousness="U"), CLOCK).readings[0].consciousness == "U"
    assert decode(as_json(on_oxygen=True), CLOCK).readings[0].on_oxygen is True


@given(readings(), readings())
def test_readings_without_seq_are_distinguished_by_their_content(one: Reading, other: Reading) -> None:
    one, other = (msgspec.structs.replace(made, seq=0) for made in (one, other))
    content = [(r.patient_id, r.on_oxygen, r.consciousness, r.sensor_off, r.values) for r in (one, other)]
    assert (stored_seq(one) == stored_seq(other)) == (content[0] == content[1])
    assert -(2**63) <= stored_seq(one) < 0
    assert stored_seq(decode(encode(one), CLOCK).readings[0]) == stored_seq(one)


@given(readings())
def test_a_number_of_the_device_names_its_reading(original: Reading) -> None:
    if original.seq:
        assert stored_seq(original) == original.seq


@pytest.mark.parametrize("payload", [b'{"spo2":70}', b'[{"spo2":70}]', b'{"time":null,"spo2":70}'])
def test_a_reading_without_time_gets_the_time_of_arrival_only_if_one_is_given(payload: bytes) -> None:
    assert decode(payload, CLOCK, NOW).readings == [reading(NOW, {"spo2": 70.0})]
    rejected = decode(payload, CLOCK)
    assert not rejected.readings
    assert rejected.problems[0].reason is Reason.NO_TIME
    assert "VITALFLOW_ARRIVAL_TIME_DEVICES" in rejected.problems[0].detail


@pytest.mark.parametrize(
    "payload", [b'[{"spo2":70},{"spo2":71}]', b'{"time":"12:00","spo2":70}', b'{"time":0,"spo2":70}']
)
def test_a_backlog_and_a_wrong_time_do_not_get_the_time_of_arrival(payload: bytes) -> None:
    assert decode(payload, CLOCK, NOW).readings == []


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"time":1795341000000,"heart_rate":72}', "like 2026-11-22T10:00:00Z"),
        (b'{"time":"2026-11-22T10:00:00","heart_rate":72}', "offset"),
        (b'{"time":"1970-01-01T00:00:12Z","heart_rate":72}', "older than"),
        (b'[{"Timestamp":"22-11-2026 10:00:00.000","PhysioID":"X","Value":"98"}]', 'no "time"'),
        ('{"time":"2026-11-22T10:00:00Z","heart_rate":72}'.encode("utf-16"), "not JSON"),
    ],
)
def test_foreign_payloads_are_rejected_with_what_was_expected(payload: bytes, words: str) -> None:
    found = decode(payload, CLOCK)
    assert not found.readings
    rejection = found.rejection()
    assert rejection is not None
    assert words in rejection.detail
