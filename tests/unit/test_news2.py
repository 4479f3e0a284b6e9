"""NEWS2 against its source, typed in by hand: Royal College of Physicians, 2017, chart 1. Not made from the code.

Each row: input, the first and the last value of a band as the chart prints it, points.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bed_driver import reading_at
from vitals.news2 import INPUTS, LastValues, points_of, score
from vitals.reading import Reading, sign_values

CHART = [
    ("resp_rate", None, 8, 3),
    ("resp_rate", 9, 11, 1),
    ("resp_rate", 12, 20, 0),
    ("resp_rate", 21, 24, 2),
    ("resp_rate", 25, None, 3),
    ("spo2", None, 91, 3),
    ("spo2", 92, 93, 2),
    ("spo2", 94, 95, 1),
    ("spo2", 96, 100, 0),
    ("systolic_bp", None, 90, 3),
    ("systolic_bp", 91, 100, 2),
    ("systolic_bp", 101, 110, 1),
    ("systolic_bp", 111, 219, 0),
    ("systolic_bp", 220, None, 3),
    ("heart_rate", None, 40, 3),
    ("heart_rate", 41, 50, 1),
    ("heart_rate", 51, 90, 0),
    ("heart_rate", 91, 110, 1),
    ("heart_rate", 111, 130, 2),
    ("heart_rate", 131, None, 3),
    ("temperature", None, 35.0, 3),
    ("temperature", 35.1, 36.0, 1),
    ("temperature", 36.1, 38.0, 0),
    ("temperature", 38.1, 39.0, 1),
    ("temperature", 39.1, None, 2),
]
# Scale 2: first, last, on air, on oxygen.
SCALE_2 = [
    (None, 83, 3, 3),
    (84, 85, 2, 2),
    (86, 87, 1, 1),
    (88, 92, 0, 0),
    (93, 94, 0, 1),
    (95, 96, 0, 2),
    (97, 100, 0, 3),
]
WELL: dict[str, float | bool | str | None] = {
    "resp_rate": 16,
    "spo2": 97,
    "systolic_bp": 120,
    "heart_rate": 70,
    "temperature": 37.0,
    "on_oxygen": False,
    "consciousness": "A",
}


@pytest.mark.parametrize(("key", "first", "last", "points"), CHART)
def test_both_ends_of_every_band(key: str, first: float | None, last: float | None, points: int) -> None:
    for value in (first, last):
        if value is not None:
            assert points_of(key, value) == points
            assert score({**WELL, key: value}).total == points


@pytest.mark.parametrize(("first", "last", "on_air", "on_oxygen"), SCALE_2)
def test_both_ends_of_every_band_of_spo2_scale_2(first: float | None, last: int, on_air: int, on_oxygen: int) -> None:
    for value in (first, last):
        if value is not None:
            assert points_of("spo2", value, scale=2) == on_air
            assert points_of("spo2", value, scale=2, on_oxygen=True) == on_oxygen
            assert score({**WELL, "spo2": value, "on_oxygen": True}, scale=2).total == on_oxygen + 2


@pytest.mark.parametrize(
    ("key", "steps", "first", "last"),
    [
        ("resp_rate", 1, 0, 60),
        ("heart_rate", 1, 0, 250),
        ("systolic_bp", 1, 20, 300),
        ("spo2", 1, 0, 100),
        ("temperature", 10, 150, 450),
    ],
)
def test_every_value_that_can_be_printed_lies_in_one_band(key: str, steps: int, first: int, last: int) -> None:
    for place in range(first, last + 1):
        value = place / steps
        points = [p for k, low, high, p in CHART if k == key and (low or 0) <= value <= (high or 999)]
        assert points == [points_of(key, value)]


def test_oxygen_and_consciousness() -> None:
    assert score({**WELL, "on_oxygen": True}).total == 2
    assert [score({**WELL, "consciousness": level}).total for level in "ACVPU"] == [0, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("key", "value", "points"),
    [
        ("temperature", 36.04, 1),
        ("temperature", 36.05, 0),
        ("temperature", 38.04, 0),
        ("temperature", 38.06, 1),
        ("spo2", 91.4, 3),
        ("spo2", 91.5, 2),
        ("spo2", 95.7, 0),
        ("heart_rate", 40.4, 3),
        ("heart_rate", 130.5, 3),
    ],
)
def test_values_are_rounded_before_they_are_banded(key: str, value: float, points: int) -> None:
    assert points_of(key, value) == points


def test_the_worst_score_is_20() -> None:
    worst = score(
        {
            "resp_rate": 30,
            "spo2": 80,
            "systolic_bp": 80,
            "heart_rate": 140,
            "temperature": 34,
            "on_oxygen": True,
            "consciousness": "U",
        }
    )
    assert (worst.total, worst.worst, worst.missing) == (20, 3, ())


def test_a_missing_input_is_named_and_scores_nothing() -> None:
    found = score({"heart_rate": 140, "diastolic_bp": 70})
    assert (found.total, found.parts) == (3, {"heart_rate": 3})
    assert set(found.missing) == set(INPUTS) - {"heart_rate"}


def _take(held: LastValues, reading: Reading) -> tuple[int, int]:
    return held.update(reading, sign_values(reading), reading.time)


def test_a_blood_pressure_is_valid_for_an_hour_and_then_stale() -> None:
    held = LastValues()
    assert _take(held, reading_at(0, 70, systolic_bp=85)) == (3, 3)
    assert _take(held, reading_at(3600, 70)) == (3, 3)
    assert _take(held, reading_at(3601, 70)) == (0, 0)
    assert "systolic_bp" in held.score().stale
    assert "temperature" not in held.score().stale
    assert "temperature" in held.score().missing


def test_what_a_monitor_measures_all_the_time_stands_for_a_minute() -> None:
    held = LastValues()
    _take(held, reading_at(0, 140, spo2=97))
    assert _take(held, reading_at(60, spo2=97)) == (3, 3)
    assert _take(held, reading_at(61, spo2=97)) == (0, 0)
    assert held.score().stale == ("heart_rate",)


def test_oxygen_changes_what_a_held_saturation_scores_on_scale_2() -> None:
    held = LastValues(scale=2)
    assert _take(held, reading_at(0, spo2=97)) == (0, 0)
    assert _take(held, reading_at(1, 70, on_oxygen=True)) == (5, 3)
    assert _take(held.with_scale(1), reading_at(2, 70)) == (2, 2)


rates = st.none() | st.floats(0, 350)


@given(
    rates,
    st.none() | st.floats(0, 100),
    st.none() | st.floats(0, 150),
    st.none() | st.floats(15, 45),
    st.none() | st.floats(20, 300),
    st.none() | st.booleans(),
    st.none() | st.sampled_from("ACVPU"),
    st.sampled_from([1, 2]),
)
def test_held_values_score_as_values_side_by_side(
    heart_rate: float | None,
    spo2: float | None,
    resp_rate: float | None,
    temperature: float | None,
    systolic_bp: float | None,
    on_oxygen: bool | None,
    consciousness: str | None,
    scale: int,
) -> None:
    reading = reading_at(
        0,
        heart_rate,
        spo2=spo2,
        resp_rate=resp_rate,
        temperature=temperature,
        systolic_bp=systolic_bp,
        on_oxygen=on_oxygen,
        consciousness=consciousness,
    )
    held = LastValues(scale)
    total, worst = _take(held, reading)
    values = {key: getattr(reading, key) for key in INPUTS}
    side_by_side = score(values, scale=scale)
    assert (total, worst) == (side_by_side.total, side_by_side.worst)
    assert held.score() == side_by_side
    assert _take(held, reading_at(1, temperature=temperature))[0] == total
    off = score({**values, "spo2": None}, scale=scale)
    assert _take(held, reading_at(2, sensor_off=("spo2",)))[0] == off.total


def test_a_sign_that_is_no_input_has_its_own_order_too() -> None:
    held = LastValues(1)
    first, newest = reading_at(10, systolic_bp=120), reading_at(11, diastolic_bp=80)
    held.update(first, sign_values(first), first.time)
    old = reading_at(9, diastolic_bp=30)
    assert held.new_part(old, old.time) == old  # the first of its sign, although it is late
    held.update(newest, sign_values(newest), newest.time)
    for again in (old, newest):
        assert held.new_part(again, again.time) is None


def test_of_a_reading_that_is_late_only_what_is_newer_counts() -> None:
    held = LastValues(1)
    for newest in (reading_at(5, 80, spo2=97), reading_at(7, 80, on_oxygen=True), reading_at(8, 80)):
        held.update(newest, sign_values(newest), newest.time)
    off = reading_at(8, sensor_off=("spo2",))
    held.update(off, sign_values(off), off.time)
    late = reading_at(6, 150, spo2=96, systolic_bp=120, on_oxygen=False, consciousness="V", sensor_off=("resp_rate",))
    assert held.new_part(late, late.time) == reading_at(
        6, systolic_bp=120, consciousness="V", sensor_off=("resp_rate",)
    )
