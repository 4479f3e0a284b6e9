"""When a service looks at its socket again."""

import pytest

from mqtt.poll_throttle import SMALL_READ_BYTES, PollThrottle


def test_a_look_that_found_little_is_followed_by_a_rest_and_the_rest_ends() -> None:
    rest = PollThrottle(pause_s=0.04)
    assert rest.left(10.0) == 0, "the first look is at once"
    rest.after(SMALL_READ_BYTES - 1, now=10.0)
    assert rest.left(10.01) == pytest.approx(0.03)
    assert rest.left(10.05) == 0
    assert rest.left(11.0) == 0, "never negative: it is what select() waits"


def test_a_look_that_found_a_backlog_is_followed_by_the_next_at_once() -> None:
    rest = PollThrottle(pause_s=0.04)
    rest.after(SMALL_READ_BYTES, now=10.0)
    assert rest.left(10.0) == 0


def test_a_rest_that_is_under_way_is_not_shortened_by_what_was_found_before() -> None:
    rest = PollThrottle(pause_s=0.04)
    rest.after(SMALL_READ_BYTES, now=9.99)
    rest.after(1, now=10.0)
    assert rest.left(10.0) == pytest.approx(0.04)


def test_no_rest_follows_while_a_backlog_drains() -> None:
    rest = PollThrottle(pause_s=0.04)
    rest.after(1, now=10.0, backlog=True)
    rest.after(1, now=10.3)
    assert rest.left(10.3) == 0
    rest.after(1, now=10.6)
    assert rest.left(10.6) == pytest.approx(0.04)
