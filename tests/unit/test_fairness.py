"""A share for each sender: what is within it is evaluated at once, of what is beyond it the newest."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.engine.engine import Engine
from alerts.engine.rate_limiter import A_SECOND, BURST, BYTES_A_SECOND, RateLimiter
from alerts.rulefile.parser import DEFAULT, load
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def admitted(fairness: RateLimiter, messages: int, size: int, now: datetime, sender: str = "bed-1") -> int:
    return sum(fairness.allow(sender, size, now) for _ in range(messages))


def test_a_burst_is_admitted_and_then_so_much_a_second() -> None:
    fairness = RateLimiter()
    # One more or less: what is left is a sum of fractions.
    assert admitted(fairness, 10_000, 200, NOW) == pytest.approx(BURST * A_SECOND, abs=1)
    assert admitted(fairness, 10_000, 200, NOW) == 0
    assert admitted(fairness, 10_000, 200, NOW + timedelta(seconds=1)) == pytest.approx(A_SECOND, abs=1)
    assert admitted(fairness, 10_000, 200, NOW + timedelta(hours=1)) == pytest.approx(BURST * A_SECOND, abs=1)


def test_large_messages_cost_as_much_as_they_are_long() -> None:
    assert admitted(RateLimiter(), 1000, 64 * 1024, NOW) == BURST * BYTES_A_SECOND / (64 * 1024)


def test_the_rate_limits_of_senders_are_independent() -> None:
    fairness = RateLimiter()
    admitted(fairness, 10_000, 200, NOW)
    assert admitted(fairness, 5, 200, NOW, "bed-2") == 5


def test_a_clock_set_back_blocks_no_sender() -> None:
    fairness = RateLimiter()
    admitted(fairness, 10_000, 200, NOW)
    back = NOW - timedelta(hours=1)
    assert admitted(fairness, 1, 200, back) == 0
    assert admitted(fairness, 10_000, 200, back + timedelta(seconds=1)) == pytest.approx(A_SECOND, abs=1)


def test_throttling_is_logged_at_intervals() -> None:
    fairness = RateLimiter()
    admitted(fairness, 10_000, 200, NOW)
    assert fairness.should_log("bed-1", NOW)
    assert not fairness.should_log("bed-1", NOW + timedelta(seconds=59))
    assert fairness.should_log("bed-1", NOW + timedelta(seconds=61))


def test_the_newest_reading_of_a_noisy_device_still_raises_its_alarm_at_the_next_tick() -> None:
    beds = Engine(Topics(), load(DEFAULT), NOW)

    def measure(seq: int, spo2: float) -> int:
        at = NOW + timedelta(milliseconds=seq)
        payload = encode(reading(at, {"spo2": spo2}, boot=1, seq=seq, patient_id="p-1"))
        return len(beds.take(b"vitalflow/vitals/icu-1/bed-1", payload, False, NOW))

    noise = round(BURST * A_SECOND) + 1000
    assert sum(measure(seq, 97) for seq in range(1, noise)) == 0
    assert beds.throttled > 0
    assert measure(noise, 70) == 0, "it is beyond its share"
    events = beds.tick(NOW + timedelta(seconds=0.5))
    assert [event.alert.rule for event in events] == ["spo2-low"]
