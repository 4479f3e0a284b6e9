"""Place each reading of a device on the time line of arrivals. Pure.

A device's clock may be wrong by seconds or years, jump, drift, stop, or restart with every boot. Alarms must
not depend on it, so delays are counted on the time line of arrivals. `DeviceClock` estimates the offset between that
line and the device's time, and distinguishes a wrong clock from a backlog:

- A reading that arrives within RIGHT of its time comes from a clock that is right: offset 0.
- A reading from the future (with the offset) shows that the clock was set forward. A time that stands still or drifts
  while readings arrive as usual shows a clock that does not keep time. The offset is estimated anew, by that reading.
- A time that went back, or that is older than `stale_after`, comes from a clock that was set back, or from a backlog.
  Readings of a backlog arrive faster than they were measured; by a wrong clock they arrive as fast as they were
  measured. So the second one decides, and one that nothing follows within LONE is no backlog.

The price: where the clock of a device without numbers was set back, an alarm comes up to LONE later. And an old reading
that comes alone is evaluated although it may be late: `Placement.certain` is False, and such a reading may raise an
alarm but never end one. Where the worker knows from before its restart that it has evaluated a newer one
(`evaluated_until`), an old reading waits for the next one, and is late if that one is live by the same clock.
docs/alarms.md describes what a user sees of it.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from vitals.reading import Reading

ZERO = timedelta()
AHEAD = timedelta(seconds=2)  # ahead of its arrival by this much, a reading still comes from the same clock
EARLY = -AHEAD
RIGHT = timedelta(seconds=5)  # usual maximum delay of the network from a device to the broker
JITTER = timedelta(seconds=1.5)  # later than this, at the usual rate of arrivals, a reading shows a clock that lags
DISORDER = timedelta(seconds=1)  # stamps in whole seconds, and parts of one moment that overtake each other
LONE = timedelta(seconds=1.5)  # the second reading of a backlog follows its first one sooner than this
ONE_MOMENT_S = 0.15  # readings that arrive closer together than this may be parts of one moment
BACKLOG_RATE = 2.0  # seconds measured per second of arrival, from which on readings are a backlog
MOMENT = timedelta(seconds=0.5)  # readings that arrive within it count as one for the usual interval
STEADY = timedelta(seconds=60)  # a usual interval that is kept for so long counts more than the announced one
STILL_READINGS = 20  # so many with one time show that it stands still
UNUSUAL_GAPS = 3  # so many in a row are the new usual interval
ENOUGH = timedelta(seconds=2)  # of arrivals, over which that rate is measured at least
RUN_S = 10.0  # seconds of arrivals over which it is measured at most


class Placement(NamedTuple):
    """The place of a reading on the time line of arrivals.

    time      on the time line of arrivals
    live      whether the reading shows the patient's present state
    certain   False for a single old reading, which may be late: it may raise an alarm and must not end one
    newest    whether no other one has a later place, and it was not sent before. Of any other reading only that counts
              which is newer, sign by sign, than what is known: `LastValues.new_part`
    still_since   arrival since which readings without numbers have this time by the device's clock; None: it goes on.
              It may stand still, or a gateway sends the last message again: `LastValues.is_repeated`
    """

    time: datetime
    live: bool
    certain: bool = True
    newest: bool = True
    still_since: datetime | None = None


class _Run(NamedTuple):
    """Old readings in a row: the first and the last one, by the device's time and by arrival; `seq` of one of them."""

    start_time: datetime
    start_arrival: datetime
    time: datetime
    arrival: datetime
    backlog: bool
    seq: int = 0


_NOTHING: list[tuple[Reading, datetime]] = []
"""For every device that has nothing undecided, and never filled: a list of each is a cache miss per reading."""


class _NeededByEachReading:
    """The attributes that the usual case of `place` needs: CPython lays those of a base class out first."""

    __slots__ = (
        "_boot",
        "_last_arrival",
        "_last_time",
        "_max_gap",
        "_min_gap",
        "_moment",
        "_run",
        "_seq",
        "_unusual",
        "last",
        "offset",
        "undecided",
    )


class DeviceClock(_NeededByEachReading):
    """The clock of one device, as its readings show it. `add` and `settle` return its readings in the order of arrival.

    undecided   readings that it cannot place yet, with their arrivals
    last       the newest placement
    offset     what is added to the device's time; 0 for a clock that is right, None before the first reading
    right_within   the device states that its clock is right: an older reading is late. None: it is estimated
    evaluated_until   the device's time of a reading that was evaluated before a restart; None if none is known
    interval   the usual time between two arrivals; None before there were two. An outage does not change it, unless it
               is the second gap: three gaps in a row that are less than half or more than twice as long do
    """

    __slots__ = (
        "_earlier",
        "_stale_after",
        "_steady_since",
        "_still",
        "evaluated_until",
        "interval",
        "right_within",
    )

    def __init__(self, stale_after: timedelta) -> None:
        self.offset: timedelta | None = None
        self.right_within: timedelta | None = None
        self.evaluated_until: datetime | None = None
        self.undecided = _NOTHING
        self._stale_after = stale_after
        self._boot = self._seq = 0
        self.last: datetime | None = None  # the newest placement
        self._last_time: datetime | None = None  # the time of the last live reading by the device's clock
        self._last_arrival: datetime | None = None  # and its arrival
        # A time that was repeated, its first arrival, and how often it came since then.
        self._still: tuple[datetime, datetime, int] | None = None
        self._moment: datetime | None = None  # arrival of the first reading of the last moment
        self._run: _Run | None = None
        self._earlier: tuple[int, _Run | None] = 0, None  # the same of readings of an earlier boot, with the boot
        self.interval: timedelta | None = None
        # The gaps that confirm it, and how many in a row did not. No history: it would cost 600 bytes a bed.
        self._min_gap = self._max_gap = ZERO
        self._unusual = 0
        self._steady_since: datetime | None = None  # arrival of the last reading that did not confirm it

    def usual_interval(self, announced: timedelta | None) -> timedelta | None:
        """Return the time between two readings: as announced, else as they arrive; None where neither is known.

        A device that says seconds and means milliseconds would be missed after an hour: where readings have come at a
        shorter interval for STEADY, that one counts.
        """
        usual = self.interval
        if not announced or (usual is not None and usual < announced and self.is_steady):
            return usual
        return announced

    def longest_interval(self, announced: timedelta | None) -> timedelta | None:
        """Return the usual interval, or the one at which readings arrive, where that is longer."""
        usual, arriving = self.usual_interval(announced), self.interval
        return arriving if usual is None or (arriving is not None and arriving > usual) else usual

    @property
    def is_steady(self) -> bool:
        """Whether readings came at the usual interval for STEADY up to the last one: a monitor, and no short visit."""
        since, moment = self._steady_since, self._moment
        return since is not None and moment is not None and moment - since >= STEADY

    def add(self, reading: Reading, arrival: datetime) -> list[tuple[Reading, datetime, Placement]]:
        """Take a reading; return (reading, arrival, placement) of all that are decided by it, oldest arrival first."""
        decided = self.settle(arrival)
        last = self.last
        found = self.place(reading.time, arrival, reading.boot, reading.seq)
        if found is None:
            self.hold(reading, arrival)
            return decided
        held, self.undecided = self.undecided, _NOTHING
        for earlier, at in held:
            if earlier.boot != reading.boot and not found.live:
                self.hold(earlier, at)  # a backlog of another boot says nothing about it
            else:
                decided.append((earlier, at, self.place_before(earlier.time, at, found, last)))
        decided.append((reading, arrival, found))
        return decided

    def hold(self, reading: Reading, arrival: datetime) -> None:
        """Hold back a reading that `place` could not place."""
        if self.undecided:
            self.undecided.append((reading, arrival))
        else:
            self.undecided = [(reading, arrival)]

    def settle(self, now: datetime) -> list[tuple[Reading, datetime, Placement]]:
        """Decide the readings that no other one has followed for LONE; return them as `add` does."""
        decided = []
        for reading, at in self.undecided:
            found = self.place_lone(reading.time, at, now)
            if found is None:
                break
            decided.append((reading, at, found))
        if decided:
            self.undecided = self.undecided[len(decided) :] or _NOTHING
        return decided

    def take_usual(self, time: datetime, arrival: datetime, boot: int, seq: int) -> bool:
        """Place a reading at its own time, live and newest, if it follows the last one and the clock is still right.

        Return whether it does, as nearly all do. Of any other reading nothing is noted here, and `place` places it.
        """
        if (
            self.offset is not ZERO
            or self._last_time is None
            or not EARLY <= arrival - time <= JITTER
            or time < self.last  # type: ignore[operator]  # set with _last_time
            or boot != self._boot
            or (seq <= self._seq and seq)
        ):
            return False
        if self._unusual or not self._min_gap <= arrival - self._moment <= self._max_gap:  # type: ignore[operator]
            self._observe_gap(arrival)
        else:
            self._moment = arrival
        self._last_arrival = arrival
        self.last = self._last_time = time
        self._seq = seq
        self._run = None
        return True

    def place(self, time: datetime, arrival: datetime, boot: int = 0, seq: int = 0) -> Placement | None:
        """Place a reading; None where only the next reading, or a pause behind this one, can decide.

        Readings come in the order of their arrival. The caller keeps an undecided one until the next reading of the
        device was placed (`place_before`), or until `place_lone` places it.
        """
        if self.take_usual(time, arrival, boot, seq):
            return Placement(time, live=True)
        lag = arrival - time
        last = self.last
        if self.right_within is not None:
            self._boot, self.offset = boot, ZERO
            if lag > self.right_within:
                return self._placed(time, live=False)
            return self._live(min(time, arrival), time, arrival, seq)
        # Without a number, between those of a device that numbers, it is of another device.
        if self.offset is not None and (0 < boot < self._boot or (self._boot and not boot and not seq and lag > RIGHT)):
            return self._place_earlier_boot(time, arrival, lag, boot, seq)
        if self.offset is None or (boot and boot != self._boot):
            self._boot, self._seq = boot, 0
            if lag <= RIGHT or (lag <= self._stale_after and not self._may_be_evaluated(time)):
                return self._anchor(time, arrival, lag, seq)
            return self._place_old(time, arrival, lag, seq)
        # By a clock that counts minutes, or that a new start has set right.
        counts_anew = seq == 1 and (time == self._last_time or (self.offset is not ZERO and -AHEAD <= lag <= RIGHT))
        if 0 < seq <= self._seq and not counts_anew and self._last_time is not None and time <= self._last_time:
            # By number and by time before the last one: sent again, a gap that is filled late, or another part of one
            # moment, as of a device that numbers each moment and sends it sign by sign, or one sign after the next
            # moment. What is newer of it, sign by sign, is of the present. By a lower number it is older, also where
            # both have one time, as by a clock that counts in tens of seconds; and of two values of a moment that do
            # not come together the first one counts.
            together = self._last_time - time <= DISORDER >= arrival - self._last_arrival  # type: ignore[operator]
            earlier = ZERO if together and seq == self._seq else timedelta.resolution
            placed = min(_shifted(time, self.offset - earlier), last or arrival)
            is_recent = lag - self.offset <= self._stale_after
            if seq == self._seq and time == self._last_time:
                return Placement(placed, live=is_recent, newest=False)
            if is_recent and not self._follows_run(time, arrival, seq):
                return Placement(placed, live=True, newest=False)
            # If it follows another such one as fast as it was measured, the device counts anew, by a clock set back.
            found = self._place_old(time, arrival, lag, seq)
            if found is not None and found.live:
                return found
            return (
                Placement(placed, live=True, newest=False) if is_recent else found or self._placed(placed, live=False)
            )
        late = lag - self.offset
        if late < -AHEAD:
            if not 1 < seq <= self._seq or boot != self._boot:
                return self._anchor(time, arrival, lag, seq)
            # By its number it was sent before, from before the clock was set back; a device that counts anew goes on.
            found = self._place_old(time, arrival, lag, seq)
            return found if found is not None and found.live else Placement(arrival, live=False, newest=False)
        if late <= self._stale_after:
            placed = time + self.offset
            # After the clock was corrected, the device's time may be behind on the line; its order holds.
            if last is not None and (self._last_time is None or time >= self._last_time):
                placed = max(placed, last)
            if last is None or placed >= last - DISORDER:
                if late > JITTER and self._keeps_no_time(time, arrival):
                    return self._anchor(time, arrival, lag, seq, exact=True)
                if late < ZERO and self.offset:  # the least delay is the best estimate
                    return self._anchor(time, arrival, lag, seq)
                return self._live(placed, time, arrival, seq)
        if -AHEAD <= lag <= RIGHT or self._counts_on(time, arrival, boot, seq):
            # Without a number it may also be one that was overtaken, or is sent again, by a clock that was right.
            certain = seq > 0 or self.offset is not ZERO
            return self._anchor(time, arrival, lag, seq, certain=certain)
        return self._place_old(time, arrival, lag, seq)

    def place_before(self, time: datetime, arrival: datetime, following: Placement, last: datetime | None) -> Placement:
        """Place an undecided reading by the one that followed it; `last`: the newest placement before both."""
        offset = self.offset or ZERO
        is_backlog = self._run is not None or not following.live
        if not is_backlog and arrival - time - offset <= RIGHT:
            return Placement(arrival, live=True)  # the next one has shown that the clock was set
        is_backlog = is_backlog or self._may_be_evaluated(time)
        placed = min(_shifted(time, offset), arrival)
        # Of one that is not the newest only those signs count whose last value is older: for them it is not late.
        newest = last is None or placed > last
        return Placement(placed, not is_backlog, certain=is_backlog or not newest, newest=newest)

    def place_lone(self, time: datetime, arrival: datetime, now: datetime) -> Placement | None:
        """Place an undecided reading that nothing followed; None before LONE has passed since its arrival."""
        if now - arrival < LONE:
            return None
        if self.offset is None:
            return self._anchor(time, arrival, arrival - time, self._seq)
        self._observe_gap(arrival)
        return self._placed(arrival, live=True, certain=False)

    def place_late(self, time: datetime, arrival: datetime, last: datetime | None) -> Placement:
        """Place a live reading that may be late as if it were; `last`: the newest one that is shown.

        For screens: it must not replace a newer value. The next reading decides.
        """
        placed = min(_shifted(time, self.offset or ZERO), arrival)
        return Placement(placed, live=True, certain=False, newest=last is None or placed > last)

    def _may_be_evaluated(self, time: datetime) -> bool:
        """Return whether a reading is no newer than one that was evaluated before the restart.

        A broker that takes over, or returns, delivers for the first time what it had queued before it failed.
        """
        return self.evaluated_until is not None and time <= self.evaluated_until

    def _observe_gap(self, arrival: datetime) -> None:
        """Confirm or replace the usual interval, between two moments: the signs of one may come one by one."""
        if self._moment is None:
            self._moment = arrival
            return
        gap = arrival - self._moment
        if gap < MOMENT:
            return
        self._moment = arrival
        is_first = self.interval is None
        if not is_first:
            self._unusual = 0 if self._min_gap <= gap <= self._max_gap else self._unusual + 1
            if not self._unusual:
                return
            self._steady_since = arrival
            if self._unusual < UNUSUAL_GAPS:
                return
        self.interval, self._min_gap, self._max_gap = _usual_gaps(round(gap.total_seconds(), 2))
        # The first gap may be one within a backlog: the second one confirms or replaces it.
        self._unusual = UNUSUAL_GAPS - 1 if is_first else 0
        self._steady_since = arrival

    def _keeps_no_time(self, time: datetime, arrival: datetime) -> bool:
        """Return whether the clock has stopped or drifts: readings arrive as usual, without an outage."""
        if self._last_arrival is None or self._last_time is None:
            return False
        arrived = arrival - self._last_arrival
        # Readings that come together have waited for the network, unless they were measured still closer together.
        together = arrived.total_seconds() < ONE_MOMENT_S
        if together and (time - self._last_time > arrived or self._moment is None or arrival - self._moment < MOMENT):
            return False
        usual = self.interval
        if usual is None:
            return True
        # After an outage also one with the last time is late: by a clock in whole seconds it was measured before that.
        longest = 3 * usual + DISORDER
        return arrived <= (max(longest, RIGHT) if time == self._last_time else longest)

    def _counts_on(self, time: datetime, arrival: datetime, boot: int, seq: int) -> bool:
        """Return whether the seqs of a device continue, without an outage, while its time goes back."""
        if boot != self._boot or not 0 < self._seq < seq or self._last_arrival is None or self._last_time is None:
            return False  # with 0 the last one was of another boot
        return time < self._last_time and arrival - self._last_arrival <= self._stale_after

    def _follows_run(self, time: datetime, arrival: datetime, seq: int) -> bool:
        """Return whether a reading comes after other old ones by its time; if not, a run begins with it.

        By a clock that counts in tens of seconds only its number is higher. Then the run must last ENOUGH: messages of
        one time that are sent again come at once.
        """
        run = self._run
        if run is not None and time == run.time and seq > run.seq:
            return arrival - run.start_arrival >= ENOUGH
        if run is not None and time > run.time:
            return True
        self._run = _Run(time, arrival, time, arrival, backlog=False, seq=seq)
        return False

    def _place_old(self, time: datetime, arrival: datetime, lag: timedelta, seq: int) -> Placement | None:
        before = self._run
        if before is None:
            self._run = _Run(time, arrival, time, arrival, backlog=False)
            return None
        # Stamps in whole seconds are up to a second further apart than the measurements.
        rounding = ZERO if time.microsecond or before.time.microsecond else DISORDER
        since_last = _is_live_rate(time - before.time, arrival - before.arrival, rounding)
        since_start = arrival - before.start_arrival >= ENOUGH and _is_live_rate(
            time - before.start_time, arrival - before.start_arrival, rounding
        )
        if since_last or since_start:
            return self._anchor(time, arrival, lag, seq)
        backlog = before.backlog or time != before.time
        if (arrival - before.start_arrival).total_seconds() > RUN_S:
            self._run = _Run(time, arrival, time, arrival, backlog, seq)
        else:
            self._run = _Run(before.start_time, before.start_arrival, time, arrival, backlog, seq)
        placed = min(_shifted(time, self.offset or ZERO), arrival)
        return self._placed(placed, live=False) if backlog else None

    def _place_earlier_boot(
        self, time: datetime, arrival: datetime, lag: timedelta, boot: int, seq: int
    ) -> Placement | None:
        """Place a reading of an earlier boot than the last one.

        It is of that boot's backlog, of a second device of this name, or of a clock that was set back before it was
        counted. Readings of the other boot come between, so those of this one have a run of their own.
        """
        of_boot, run = self._earlier
        if (
            run is None
            or of_boot != boot
            or time < run.start_time
            or (
                arrival - run.arrival > STEADY
                and time != run.time  # as by a clock that stands still
                and not _is_same_pace(time - run.time, arrival - run.arrival)
            )
        ):
            run = _Run(time, arrival, time, arrival, backlog=False)
        arrived = arrival - run.start_arrival
        is_over = arrived.total_seconds() > RUN_S
        self._earlier = (
            boot,
            _Run(time, arrival, time, arrival, False) if is_over else run._replace(time=time, arrival=arrival),
        )
        if lag <= RIGHT or (arrived >= DISORDER and _is_live_rate(time - run.start_time, arrived, DISORDER)):
            self._boot = boot
            return self._anchor(time, arrival, lag, seq, certain=lag > RIGHT)
        if arrived < DISORDER and time == run.start_time:
            return None
        return self._placed(min(_shifted(time, self.offset or ZERO), arrival), live=False)

    def _anchor(
        self, time: datetime, arrival: datetime, lag: timedelta, seq: int, *, exact: bool = False, certain: bool = True
    ) -> Placement:
        """Estimate the offset by this reading. Time does not go back on the line of arrivals."""
        self.offset = lag if exact or not -AHEAD <= lag <= RIGHT else ZERO
        placed = time + self.offset
        if self.last is not None and placed < self.last:
            placed = self.last
        return self._live(placed, time, arrival, seq, certain=certain)

    def _live(
        self, placed: datetime, time: datetime, arrival: datetime, seq: int, *, certain: bool = True
    ) -> Placement:
        self._observe_gap(arrival)
        still_since = None
        if not seq and time == self._last_time:
            still = self._still
            _, since, count = still if still is not None and still[0] == time else (time, self._last_arrival, 0)
            self._still = time, since or arrival, count + 1
            still_since = since if count >= STILL_READINGS else None
        self._last_time, self._last_arrival, self._seq, self._run = time, arrival, seq, None
        return self._placed(placed, live=True, certain=certain)._replace(still_since=still_since)

    def _placed(self, time: datetime, *, live: bool, certain: bool = True) -> Placement:
        last = self.last
        newest = last is None or time > last or (time == last and live and certain)
        if newest:
            self.last = time
        return Placement(time, live, certain, newest)


@lru_cache(maxsize=1024)
def _usual_gaps(seconds: float) -> tuple[timedelta, timedelta, timedelta]:
    """Return a usual interval with the least and the longest gap that confirm it.

    Shared by all devices with this interval: objects of each device's own cost two cache misses per reading.
    """
    return timedelta(seconds=seconds), timedelta(seconds=seconds / 2), timedelta(seconds=seconds * 2)


def _shifted(time: datetime, offset: timedelta) -> datetime:
    """Return a time of the past on the line of arrivals. By a clock of the year 9999 it may be before the year 1."""
    try:
        return time + offset
    except OverflowError:
        return time


def _is_live_rate(measured: timedelta, arrived: timedelta, rounding: timedelta) -> bool:
    """Return whether readings arrived about as fast as they were measured, and not as parts of one moment."""
    seconds = arrived.total_seconds()
    return (
        seconds >= ONE_MOMENT_S and measured >= ZERO and (measured - rounding).total_seconds() <= BACKLOG_RATE * seconds
    )


def _is_same_pace(measured: timedelta, arrived: timedelta) -> bool:
    """Return whether the time of a device passed about as fast as that of the arrivals."""
    return measured <= BACKLOG_RATE * arrived and arrived <= BACKLOG_RATE * measured
