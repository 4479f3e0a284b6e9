"""Time that passes for delays and ages, whatever happens to the host's clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.steady_clock import MAX_SLEW, SteadyClock

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_it_follows_a_host_clock_that_keeps_time() -> None:
    clock = SteadyClock(START.timestamp(), 100.0)
    assert [clock.now(after(s * 1.0001).timestamp(), 100.0 + s) for s in (1, 2, 60)] == [
        after(s * 1.0001) for s in (1, 2, 60)
    ]


@pytest.mark.parametrize("step", [-3600.0, -30.0, -2.0, 2.0, 30.0, 3600.0])
def test_a_delay_lasts_as_long_after_the_host_clock_was_set_to_a_tenth(step: float) -> None:
    clock = SteadyClock(START.timestamp(), 0.0)
    clock.now(after(10).timestamp(), 10.0)
    begun = clock.now(after(10 + step).timestamp(), 10.0)
    ended = clock.now(after(24 + step).timestamp(), 24.0)
    assert (ended - begun).total_seconds() == pytest.approx(14, rel=MAX_SLEW * 1.001)
    assert clock.step_s == pytest.approx(step, abs=1.5)


def test_it_reaches_a_host_clock_that_was_set_by_a_minute_in_ten_minutes() -> None:
    clock = SteadyClock(START.timestamp(), 0.0)
    for second in range(1, 601):
        now = clock.now(after(second - 60).timestamp(), float(second))
    assert abs(now - after(540)) < timedelta(milliseconds=1)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=50))
def test_it_never_goes_back(moves: list[tuple[float, float]]) -> None:
    clock = SteadyClock(START.timestamp(), 0.0)
    passed, last = 0.0, START
    for seconds, wall in moves:
        passed += seconds
        now = clock.now(after(wall).timestamp(), passed)
        assert now >= last
        assert (now - last).total_seconds() <= seconds * (1 + MAX_SLEW) + 1e-5
        last = now
