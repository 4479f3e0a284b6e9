"""How often a bed publishes."""

from edges.inbox.pace import Pace


def test_rare_calls_and_a_short_burst_are_allowed_at_once() -> None:
    pace = Pace(burst=5, interval_s=0.1)
    assert [pace.take(second) for second in range(100)] == [0.0] * 100
    assert [pace.take(200.0) for _ in range(5)] == [0.0] * 5


def test_a_call_after_a_burst_waits_for_at_most_the_interval_and_then_one_comes_at_each() -> None:
    pace = Pace(burst=2, interval_s=0.125)
    now = 1000.0
    made: list[float] = []
    while len(made) < 10:
        wait_s = pace.take(now)
        assert wait_s <= 0.125
        if wait_s == 0.0:
            made.append(now)
        now += wait_s
    assert made[:2] == [1000.0, 1000.0]
    assert made[2:] == [1000.0 + 0.125 * number for number in range(1, 9)]
