"""Patients and scenarios: the same seed gives the same ward, and signs move as a clinician would expect."""

from itertools import islice, pairwise
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.patient import BEHAVIOUR, CUFF_S, FIRST_CUFF_S, admit, advance, at_admission, measure
from devices.scenario import Effect, Scenario, assign, effect
from devices.simulated_ward import samples, simulated_ward
from vitals.sample import Sample
from vitals.signs import BY_KEY, SIGN_KEYS

COURSES = [s for s in Scenario if s is not Scenario.MIXED]


def stay(scenario: Scenario, seconds: int, index: int = 0, seed: int = 7) -> list[Sample | None]:
    return [sample for _, sample in islice(samples(admit(seed, index), scenario, 1.0), seconds)]


def course(key: str, scenario: Scenario, seconds: int, index: int = 0) -> list[float]:
    return [s.values[key] for s in stay(scenario, seconds, index) if s is not None and key in s.values]


@given(seed=st.integers(0, 2**63), index=st.integers(0, 50_000), scenario=st.sampled_from(COURSES))
def test_the_same_seed_gives_the_same_readings(seed: int, index: int, scenario: Scenario) -> None:
    assert stay(scenario, 40, index, seed) == stay(scenario, 40, index, seed)


def test_another_seed_or_another_bed_gives_another_patient() -> None:
    first = stay(Scenario.STABLE, 20)
    assert first != stay(Scenario.STABLE, 20, seed=8)
    assert first != stay(Scenario.STABLE, 20, index=1)


@given(
    seed=st.integers(0, 2**32),
    index=st.integers(0, 5000),
    scenario=st.sampled_from(COURSES),
    interval=st.sampled_from([0.05, 0.5, 1.0, 30.0, 3600.0]),
)
def test_every_value_is_plausible_and_has_the_decimals_that_a_monitor_shows(
    seed: int, index: int, scenario: Scenario, interval: float
) -> None:
    for _, sample in islice(samples(admit(seed, index), scenario, interval), 60):
        if sample is None:
            continue
        assert sample.values or sample.sensor_off
        assert not sample.values.keys() & set(sample.sensor_off)
        for key, value in sample.values.items():
            sign = BY_KEY[key]
            assert sign.low <= value <= sign.high
            assert value == round(value, sign.decimals)


def test_every_sign_of_the_table_has_a_behaviour() -> None:
    assert set(BEHAVIOUR) == set(SIGN_KEYS)


@pytest.mark.parametrize("index", range(30))
def test_the_cuff_measures_within_ten_seconds_and_then_once_a_minute(index: int) -> None:
    shown = [s is not None and "systolic_bp" in s.values for s in stay(Scenario.STABLE, 300, index)]
    moments = [second for second, cuff in enumerate(shown) if cuff]
    assert moments[0] <= FIRST_CUFF_S
    assert {b - a for a, b in pairwise(moments)} == {int(CUFF_S)}


def test_a_sign_that_the_cuff_did_not_measure_is_absent_and_not_off() -> None:
    between = [s for s in stay(Scenario.STABLE, 60) if s is not None and "systolic_bp" not in s.values]
    assert between
    assert all(s.sensor_off == () for s in between)


def test_noise_returns_to_the_mean_whatever_the_step() -> None:
    for dt in (1.0, 60.0):
        patient = admit(3, 0)
        state = at_admission(patient)
        deviations = []
        for _ in range(4000):
            state = advance(patient, state, dt)
            deviations.append(state.deviation[0])
        noise = BEHAVIOUR["heart_rate"].noise
        assert abs(mean(deviations)) < noise / 2
        assert 0.7 * noise < pstdev(deviations) < 1.3 * noise


def test_temperature_is_higher_in_the_late_afternoon_than_at_night() -> None:
    patient = admit(1, 0)
    hourly = [s.values["temperature"] for _, s in islice(samples(patient, Scenario.STABLE, 3600.0), 24) if s]
    assert hourly[10] - hourly[22] > 0.3  # 18:00 and 06:00 of a day that begins at 08:00


def test_desaturation_raises_heart_and_respiratory_rate() -> None:
    calm, low = stay(Scenario.STABLE, 80)[60], stay(Scenario.DESATURATION, 80)[60]
    assert calm is not None
    assert low is not None
    assert low.values["spo2"] < 88 < calm.values["spo2"]
    assert low.values["heart_rate"] > calm.values["heart_rate"] + 10
    assert low.values["resp_rate"] > calm.values["resp_rate"] + 4
    assert low.on_oxygen


def test_fever_raises_heart_and_respiratory_rate() -> None:
    patient = admit(7, 0)
    state = at_admission(patient)
    well = measure(patient, state, Effect())
    ill = measure(patient, state, Effect(1.0, {"temperature": 39.5}))
    assert well is not None
    assert ill is not None
    assert 12 <= ill.values["heart_rate"] - well.values["heart_rate"] <= 20
    assert ill.values["resp_rate"] > well.values["resp_rate"]


def test_sepsis_meets_its_bedside_criteria_at_its_height() -> None:
    height = [s for s in stay(Scenario.SEPSIS, 310)[200:] if s is not None]
    assert mean(s.values["resp_rate"] for s in height) >= 22
    assert mean(s.values["heart_rate"] for s in height) > 100
    assert mean(s.values["temperature"] for s in height) > 38.5
    assert max(s.values["systolic_bp"] for s in height if "systolic_bp" in s.values) <= 100
    assert {s.consciousness for s in height} <= {"C", "V"}


def test_tachycardia_and_bradycardia_begin_within_a_minute_and_end() -> None:
    fast = course("heart_rate", Scenario.TACHYCARDIA, 180)
    slow = course("heart_rate", Scenario.BRADYCARDIA, 180)
    assert max(fast[:60]) > 120
    assert max(fast[150:]) < 110
    assert min(slow[:60]) < 50
    assert min(slow[150:]) > 50


def test_a_probe_that_is_off_is_named_and_has_no_value() -> None:
    off = {key for s in stay(Scenario.PROBE_OFF, 240) if s is not None for key in s.sensor_off}
    assert off == {"spo2", "heart_rate", "resp_rate"}


def test_an_artefact_is_extreme_and_ends_within_ten_seconds() -> None:
    strange = [value < 60 for value in course("spo2", Scenario.ARTEFACT, 90)]
    assert 5 <= sum(strange) <= 10


def test_silence_is_a_minute_without_readings() -> None:
    silent = [s is None for s in stay(Scenario.SILENCE, 120)]
    assert 55 <= sum(silent) <= 65
    assert not silent[0]
    assert not silent[-1]


def test_mixed_is_mostly_stable_and_has_every_scenario_among_twenty_beds() -> None:
    dealt = [assign(Scenario.MIXED, index) for index in range(20)]
    assert set(dealt) == set(COURSES)
    assert dealt.count(Scenario.STABLE) > 10


@pytest.mark.parametrize("scenario", COURSES)
def test_nothing_happens_before_admission(scenario: Scenario) -> None:
    assert effect(scenario, -1.0) == Effect()


def test_a_ward_has_distinct_names_and_spreads_its_readings_over_the_interval() -> None:
    ward = simulated_ward(200, ward="icu-1", boot=1, interval_s=2.0)
    first = [next(iter(source.samples))[0] for source in ward]
    assert len({source.device for source in ward}) == 200
    assert ward[0].device == "icu-1-bed-001"
    assert first == sorted(first)
    assert 0 <= first[0] < first[-1] < 2.0
