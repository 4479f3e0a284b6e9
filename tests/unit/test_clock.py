"""Clocks of devices: readings are placed by arrival, and a backlog is distinguished from a wrong clock."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.clock import AHEAD, DISORDER, LONE, RIGHT, DeviceClock, Placement
from vitals.reading import reading

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
STALE = timedelta(seconds=60)


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


class Device:
    """Sends readings into a `DeviceClock`, and keeps what comes out of it."""

    def __init__(self) -> None:
        self.clock = DeviceClock(STALE)
        self.placed: list[tuple[datetime, Placement]] = []  # (arrival, placement)

    def send(self, time: datetime, arrival: datetime, boot: int = 0, seq: int = 0) -> None:
        made = reading(time, {"spo2": 97.0}, boot=boot, seq=seq)
        self.placed += [(at, found) for _, at, found in self.clock.add(made, arrival)]

    def pause(self, now: datetime) -> None:
        self.placed += [(at, found) for _, at, found in self.clock.settle(now)]

    @property
    def live(self) -> list[bool]:
        return [found.live for _, found in self.placed]


gaps = st.lists(st.floats(0.2, 5), min_size=8, max_size=60)
offsets = st.one_of(st.floats(-400, 400), st.floats(-1e9, 1e9))
# Not at two readings in a row, which nothing tells from a backlog of two readings.
steps = st.lists(st.tuples(st.integers(0, 19).map(lambda number: 3 * number), offsets), max_size=3)


@given(gaps, offsets, steps, st.floats(0.8, 1.25), st.booleans(), st.booleans(), st.floats(0, 0.1))
def test_by_any_clock_every_reading_is_live_and_placed_at_its_arrival(
    gaps: list[float],
    offset: float,
    steps: list[tuple[int, float]],
    rate: float,
    whole: bool,
    numbered: bool,
    net: float,
) -> None:
    """A device that measures and sends one reading after the other, by a clock that is off, jumps and drifts."""
    device, jumps = Device(), dict(steps)
    for number, elapsed in enumerate(accumulate(gaps)):
        offset = jumps.get(number, offset)
        time = NOW + s(offset + rate * elapsed)
        if whole:
            time = time.replace(microsecond=0)
        device.send(
            time, NOW + s(elapsed + (net if number % 3 else 0)), 7 if numbered else 0, number + 1 if numbered else 0
        )
    device.pause(NOW + s(sum(gaps) + 2))
    assert len(device.placed) == len(gaps)
    assert all(device.live)
    for arrival, found in device.placed:
        # A single reading that is late by its clock may be late: its own time stands.
        assert not found.certain or abs(arrival - found.time) <= RIGHT + 2 * DISORDER, (arrival, found)


@given(gaps)
def test_a_clock_that_stands_still_does_not_stop_time(gaps: list[float]) -> None:
    device = Device()
    for elapsed in accumulate(gaps):
        device.send(NOW, NOW + s(elapsed))
    device.pause(NOW + s(sum(gaps) + 2))
    assert all(device.live)
    assert all(abs(arrival - found.time) <= RIGHT for arrival, found in device.placed)


@given(st.integers(2, 200), st.floats(65, 1e6), st.floats(0.2, 60), st.floats(0, 0.02), st.booleans())
def test_a_backlog_is_not_live_and_what_follows_is(
    count: int, age: float, interval: float, pause: float, connected_before: bool
) -> None:
    device = Device()
    if connected_before:
        device.send(NOW - s(age + count * interval), NOW - s(age + count * interval))
    for number in range(count):
        device.send(NOW - s(age + (count - number) * interval), NOW + s(number * pause * interval))
    begin = NOW + s(count * pause * interval + 1)
    backlog = device.placed[connected_before:]
    assert not any(found.live for _, found in backlog)
    device.send(begin, begin)
    assert device.placed[-1] == (begin, Placement(begin, live=True))


@pytest.mark.parametrize("behind", [90, 3600, 1e8])
def test_the_first_reading_of_a_clock_that_is_behind_is_live_as_soon_as_the_next_one_arrives(behind: float) -> None:
    device = Device()
    for second in range(3):
        device.send(NOW + s(second - behind), NOW + s(second))
    assert device.live == [True, True, True]
    assert [found.time for _, found in device.placed] == [NOW, NOW + s(1), NOW + s(2)]


def test_a_clock_ahead_that_is_set_right_costs_no_time() -> None:
    device = Device()
    for second in range(5):
        device.send(NOW + s(second + 60), NOW + s(second))
    device.send(NOW + s(5), NOW + s(5))
    assert device.live == [True] * 6
    assert device.placed[-1][1].time == NOW + s(5)
    assert device.clock.offset == timedelta()


def test_a_cuff_value_with_its_own_earlier_time_is_evaluated_between_live_readings() -> None:
    device = Device()
    device.send(NOW, NOW)
    device.send(NOW - s(180), NOW + s(0.5))
    device.send(NOW + s(1), NOW + s(1))
    assert device.placed[1] == (NOW + s(0.5), Placement(NOW - s(180), live=True, newest=False))
    assert device.clock.offset == timedelta()


def test_an_old_reading_alone_is_live_after_a_moment_but_not_certain() -> None:
    device = Device()
    device.send(NOW, NOW)
    device.send(NOW - s(180), NOW + s(5))
    device.pause(NOW + s(5) + LONE - s(0.1))
    assert len(device.placed) == 1
    device.pause(NOW + s(5) + LONE)
    assert device.placed[1] == (NOW + s(5), Placement(NOW + s(5), live=True, certain=False))


def test_by_a_clock_that_is_right_an_old_reading_is_never_live_also_the_first_and_a_single_one() -> None:
    device = Device()
    device.clock.right_within = s(60)
    device.send(NOW - s(48 * 3600), NOW, boot=1, seq=1)
    device.send(NOW - s(61), NOW + s(0.1), boot=1, seq=2)
    device.send(NOW - s(30), NOW + s(0.2), boot=1, seq=3)
    device.send(NOW - s(3600), NOW + s(0.3), boot=2, seq=1)
    device.send(NOW + s(1), NOW + s(0.4), boot=2, seq=2)
    device.pause(NOW + s(60))
    assert [(placement.live, placement.time) for _, placement in device.placed] == [
        (False, NOW - s(48 * 3600)),
        (False, NOW - s(61)),
        (True, NOW - s(30)),
        (False, NOW - s(3600)),
        (True, NOW + s(0.4)),
    ]
    assert device.clock.offset == timedelta()


def test_parts_of_one_moment_by_a_clock_that_is_behind_share_its_fate() -> None:
    device = Device()
    for second in range(3):
        for part in range(3):
            device.send(NOW + s(second - 3600), NOW + s(second + part * 0.01))
    assert device.live == [True] * 9


def test_a_new_boot_brings_another_clock() -> None:
    device = Device()
    device.send(NOW, NOW, boot=1, seq=1)
    device.send(NOW + s(300), NOW + s(1), boot=2, seq=1)
    device.send(NOW + s(301), NOW + s(2), boot=2, seq=2)
    assert device.live == [True] * 3
    assert device.placed[-1][1].time == NOW + s(2)


def test_a_backlog_of_an_earlier_boot_between_live_readings_is_not_live() -> None:
    device = Device()
    backlog = 0
    for second in range(10):
        device.send(NOW + s(second), NOW + s(second), boot=2, seq=second + 1)
        for part in range(4):
            backlog += 1
            device.send(NOW + s(backlog - 50), NOW + s(second + 0.2 + part * 0.2), boot=1, seq=backlog)
    assert device.clock.offset == timedelta()
    assert all(found.live is (at == found.time) for at, found in device.placed)


@pytest.mark.parametrize("interval", [1, 30, 90, 3600])
@pytest.mark.parametrize("behind", [70, 3600, 1e9])
def test_a_device_whose_clock_begins_anew_at_its_start_is_evaluated_at_any_interval(
    interval: float, behind: float
) -> None:
    device = Device()
    for number in range(20):
        arrival, again = NOW + s(number * interval), number >= 8
        device.send(arrival - s(behind if again else 0), arrival, 5 if again else 1000, number % 8 + 1)
        device.pause(arrival + s(2))
    assert all(found.newest and found.time == arrival for arrival, found in device.placed[10:])
    assert all(found.certain for _, found in device.placed[10:])


def test_a_device_that_starts_again_twice_with_lower_boots_and_an_earlier_clock_is_live() -> None:
    device = Device()
    for number, (behind, boot) in enumerate([(0, 30)] * 3 + [(7200, 20)] + [(10800, 10)] * 4):
        device.send(NOW + s(10 * number - behind), NOW + s(10 * number), boot, number + 1)
        device.pause(NOW + s(10 * number + 5))
    assert all(device.live)


def test_a_device_without_boots_whose_start_sets_its_clock_right_is_live_at_once() -> None:
    device = Device()
    for second in range(3):
        device.send(NOW + s(second + 60), NOW + s(second), seq=second + 1)
    device.send(NOW + s(3), NOW + s(3), seq=1)
    device.send(NOW + s(4), NOW + s(4), seq=2)
    assert device.live == [True] * 5


@pytest.mark.parametrize("behind", [5, 38, 59, 600])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_device_without_boots_whose_start_sets_its_clock_back_is_live_from_its_second_moment(
    behind: float, parts: int
) -> None:
    device = Device()
    for second in range(60):
        again = second >= 40
        for part in range(parts):
            arrival = NOW + s(second + 0.02 * part)
            seq = (second - 40 * again) * parts + part + 1
            device.send(NOW + s(second - behind * again), arrival, seq=seq)
    assert all(found.newest and arrival - found.time <= RIGHT for arrival, found in device.placed[41 * parts :])


@pytest.mark.parametrize("lost", [0, 1])  # the first message of the new start
@pytest.mark.parametrize(("step", "behind"), [(10, 30), (60, 60), (60, 0)])
def test_a_start_by_a_clock_in_steps_of_many_seconds_is_live_after_two_seconds(
    step: int, behind: int, lost: int
) -> None:
    device = Device()
    for second in range(120):
        again = second >= 75
        shown = second - behind * again
        if not again or second >= 75 + lost:
            device.send(NOW + s(shown - shown % step), NOW + s(second), seq=second - 75 * again + 1)
    assert all(found.live and found.newest for _, found in device.placed[78 - lost :])


def test_parts_of_an_older_moment_with_its_number_do_not_start_anew() -> None:
    device = Device()
    for second in range(0, 60, 10):
        device.send(NOW + s(second), NOW + s(second), seq=second + 10)
        for part in (1, 4, 7):
            device.send(NOW + s(second - 10), NOW + s(second + part), seq=second)
    assert [found.newest for _, found in device.placed[4:]] == [True, False, False, False] * 5


def test_backlogs_of_two_boots_are_placed_no_later_than_they_arrive_and_hold_no_live_reading_up() -> None:
    device = Device()
    for number in range(10):  # of the boot before the clock began anew
        device.send(NOW + s(number), NOW + s(46 + number * 0.02), boot=1000, seq=number + 1)
    for number in range(35):
        device.send(NOW + s(11 + number), NOW + s(46.2 + number * 0.02), boot=5, seq=number + 1)
    for number in range(10):
        device.send(NOW + s(47 + number), NOW + s(47.1 + number), boot=5, seq=36 + number)
    assert all(found.time <= arrival for arrival, found in device.placed)
    assert all(arrival - found.time <= s(0.1) and found.newest for arrival, found in device.placed[-8:])


@pytest.mark.parametrize("behind", [0, 3, 30, 3600])
def test_of_two_devices_of_one_name_each_is_evaluated(behind: float) -> None:
    device = Device()
    for second in range(20):
        device.send(NOW + s(second), NOW + s(second), boot=20, seq=second + 1)
        device.send(NOW + s(second + 0.5 - behind), NOW + s(second + 0.5), boot=10, seq=second + 1)
    assert all(abs(arrival - found.time) <= RIGHT for arrival, found in device.placed[4:] if found.newest)
    assert sum(found.live and (found.newest or 0 < behind <= 5) for _, found in device.placed) >= 38


def test_a_backlog_of_a_later_boot_is_not_live_and_decides_no_reading_of_another_boot() -> None:
    device = Device()
    for number in range(10):  # by a clock that is an hour behind
        device.send(NOW + s(20 * number - 3600), NOW + s(20 * number), 10, number + 1)
    for number in range(10):  # sent again, from before the number of the start was set back
        arrival = NOW + s(194.5 + number)
        device.send(NOW + s(60 + 10 * number - 3600), arrival, 20, number + 1)
        if number == 5:
            device.send(NOW + s(200 - 3600), NOW + s(200), 10, 11)
    device.pause(NOW + s(206))
    after = {at: found for at, found in device.placed[10:]}
    assert [at for at, found in after.items() if found.live] == [NOW + s(200)]
    assert after[NOW + s(200)].newest


@pytest.mark.parametrize("rate", [0, 0.5])
def test_a_clock_that_stops_or_lags_is_noticed_between_fast_readings_too(rate: float) -> None:
    device = Device()
    for number in range(600):
        device.send(NOW + s(number * 0.07 * rate), NOW + s(number * 0.07))
    assert all(device.live)
    assert all(abs(arrival - found.time) <= RIGHT for arrival, found in device.placed)


@pytest.mark.parametrize("numbers", [(5, 5, 5), (7, 6, 5)])
def test_parts_of_one_moment_with_one_number_or_out_of_order_are_live_and_a_repeated_one_is_not_present(
    numbers: tuple[int, ...],
) -> None:
    device = Device()
    for second in range(3):
        for part, number in enumerate(numbers):
            device.send(NOW + s(second), NOW + s(second + part * 0.2), 7, 10 * second + number)
    assert device.live == [True] * 9
    device.send(NOW + s(2), NOW + s(63), 7, 20 + numbers[0])
    device.send(NOW + s(2), NOW + s(120), 7, 20 + numbers[0])
    assert device.live[9:] == [False, False]


def test_a_clock_that_stands_still_after_a_start_with_a_lower_boot_is_certain_in_the_end() -> None:
    device = Device()
    for number in range(12):
        arrival, again = NOW + s(90 * number), number >= 3
        device.send(
            NOW - s(9000) if again else arrival, arrival, 5 if again else 1000, number - 2 if again else number + 1
        )
        device.pause(arrival + s(2))
    assert all(device.live)
    assert sum(found.certain for _, found in device.placed[6:]) >= 3


def test_the_order_of_the_device_holds_after_its_clock_was_found_to_be_right() -> None:
    device = Device()
    for number, (time, arrival) in enumerate([(29, 54.7), (30, 55.7), (55, 59.8), (55, 59.9)], 1):
        device.send(NOW + s(time), NOW + s(arrival), 0, number)
    assert all(found.live and found.newest for _, found in device.placed)


def test_of_two_readings_of_one_time_that_with_the_lower_number_is_older() -> None:
    device = Device()
    for number in (1, 2, 4, 3):  # by a clock that counts in tens of seconds
        device.send(NOW, NOW + s(number / 10), 1, number)
    assert device.placed[-1][1].time < NOW
    assert (device.placed[-1][1].newest, device.live) == (False, [True] * 4)
    device.send(NOW, NOW + s(5), 0, 1)  # started anew
    assert device.live[-1]


def test_the_signs_of_one_moment_are_no_interval() -> None:
    device = Device()
    for second in range(0, 200, 20):
        for part in range(4):
            device.send(NOW + s(second), NOW + s(second + part * 0.1))
    assert device.clock.interval == s(20)


def test_a_first_gap_that_is_unusual_is_replaced_by_the_second() -> None:
    device = Device()
    for second in (33, 40, 60):  # the first one comes when a worker starts
        device.send(NOW + s(second), NOW + s(second))
    assert device.clock.interval == s(20)


def test_the_usual_interval_is_not_changed_by_one_outage() -> None:
    device = Device()
    for second in (0, 20, 40, 60, 660, 680):
        device.send(NOW + s(second), NOW + s(second))
    assert device.clock.interval == s(20)


def test_readings_that_have_come_faster_than_announced_for_a_minute_are_the_interval() -> None:
    device, announced = Device(), s(1000)
    for second in range(60):
        device.send(NOW + s(second), NOW + s(second))
    assert device.clock.usual_interval(announced) == announced
    for second in range(60, 64):
        device.send(NOW + s(second), NOW + s(second))
    assert device.clock.usual_interval(announced) == s(1)
    assert device.clock.usual_interval(s(0.5)) == s(0.5)
    assert device.clock.usual_interval(None) == s(1)


def test_single_visits_do_not_replace_the_announced_interval() -> None:
    device, announced = Device(), s(600)
    for visit in range(10):
        for second in range(5):
            device.send(NOW + s(600 * visit + second), NOW + s(600 * visit + second))
        assert device.clock.usual_interval(announced) == announced


@given(
    st.lists(st.tuples(st.datetimes(timezones=st.just(UTC)), st.floats(0, 100), st.integers(0, 3)), min_size=2),
    st.booleans(),
)
def test_no_time_at_all_fails(sent: list[tuple[datetime, float, int]], numbered: bool) -> None:
    device = Device()
    for (time, _, seq), elapsed in zip(sent, accumulate(pause for _, pause, _ in sent), strict=True):
        device.send(time, NOW + s(elapsed), 7 if numbered else 0, seq if numbered else 0)
    device.pause(NOW + s(10_100))
    assert len(device.placed) == len(sent)


def test_the_year_9999_before_a_backlog_fails_nothing() -> None:
    device = Device()
    device.send(datetime.max.replace(tzinfo=UTC), NOW, 7, 1)
    device.send(NOW - s(3600), NOW + s(1), 7, 1)
    device.send(NOW - s(3500), NOW + s(1.1))
    device.send(NOW + s(2), NOW + s(2))
    assert device.placed[-1] == (NOW + s(2), Placement(NOW + s(2), live=True))


@pytest.mark.parametrize("outage", [5.5, 14, 50])
def test_what_an_outage_delayed_is_placed_by_a_clock_in_whole_seconds_that_was_right(outage: float) -> None:
    device = Device()
    moments = [number / 2 for number in range(41)]
    for moment in moments:
        device.send(NOW + s(int(moment)), NOW + s(moment))
    back = moments[-1] + outage  # the first reading of the outage has the time of the last one before it
    delayed = [moments[-1] + number / 2 for number in range(1, int(2 * outage))]
    for moment in delayed:
        device.send(NOW + s(int(moment)), NOW + s(back))
    device.send(NOW + s(int(back)), NOW + s(back + 0.1))
    found = [placement for _, placement in device.placed[len(moments) :]]
    assert all(placement.live for placement in found)
    assert next(placement.time for placement in found if placement.newest) <= NOW + s(moments[-1] + 1)
    assert device.placed[-1][1].time == NOW + s(int(back))


NO_TIME = datetime.min.replace(tzinfo=UTC)  # what some programs send for a time that they do not know
LAST_TIME = datetime.max.replace(tzinfo=UTC)


def test_a_reading_without_a_real_time_after_a_later_one_of_its_boot_has_a_place() -> None:
    device = Device()
    device.send(NOW, NOW, boot=1, seq=2)
    device.send(NO_TIME, NOW + s(0.1), boot=1, seq=1)
    assert next(found.newest for _, found in device.placed)
    assert all(found.time <= at for at, found in device.placed)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),
            st.one_of(
                st.sampled_from([NO_TIME, NO_TIME + s(59), LAST_TIME, LAST_TIME - s(30)]),
                st.floats(-4000, 4000),
            ),
            st.integers(0, 3),
            st.integers(0, 5),
            st.sampled_from([None, None, None, "right", "not right"]),
        ),
        max_size=40,
    )
)
def test_no_time_of_a_device_is_an_error_or_in_the_future(
    readings: list[tuple[float, datetime | float, int, int, str | None]],
) -> None:
    device, arrival = Device(), NOW
    for gap, time, boot, seq, birth in readings:
        arrival += s(gap)
        if birth is not None:
            device.clock.right_within = STALE if birth == "right" else None
        device.send(time if isinstance(time, datetime) else arrival + s(time), arrival, boot, seq)
        device.pause(arrival)
    assert all(found.time <= at + AHEAD for at, found in device.placed)
