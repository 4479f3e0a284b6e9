"""Back-off and throttled log lines: pure, with the time as an argument."""

from vitals.backoff import Backoff
from vitals.log import Throttle, WaitLog


def test_the_pause_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(0.5, 10.0, steady_s=30.0)
    assert [backoff.next(1.0) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_steady_attempt_resets_the_pause() -> None:
    backoff = Backoff(0.5, 10.0, steady_s=30.0)
    for _ in range(5):
        backoff.next()
    assert [backoff.next(30.0), backoff.next(1.0)] == [0.5, 1.0]
    backoff.reset()
    assert backoff.next() == 0.5


def test_a_throttle_counts_what_it_suppresses() -> None:
    throttle = Throttle(30.0)
    assert [throttle.due(now) for now in (1.0, 2.0, 30.9, 31.0)] == [True, False, False, True]
    assert throttle.suppressed == 2
    assert throttle.reset()
    assert not throttle.reset()
    assert throttle.due(32.0)


def test_waiting_is_logged_at_once_then_every_thirty_seconds_and_at_once_after_a_recovery() -> None:
    lines: list[str] = []
    waiting = WaitLog("the broker at b:1883", lines.append, " (trying again)")
    for now in (0.0, 1.0, 29.0, 30.0):
        waiting.waiting(f"refused at {now:g}", now)
    assert waiting.over()
    assert not waiting.over()
    waiting.waiting("refused again", 31.0)
    assert lines == [
        "waiting for the broker at b:1883: refused at 0 (trying again)",
        "waiting for the broker at b:1883: refused at 30 (trying again)",
        "waiting for the broker at b:1883: refused again (trying again)",
    ]
