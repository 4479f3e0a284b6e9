"""The state of one rule on one bed: its delays and its level. Pure.

A delay adds up the time that the value spent beyond the limit. A return to `clear` for up to KEPT subtracts nothing, a
longer one subtracts FORGIVENESS of the time above KEPT. If one good value reset the delay, a value that flickers would
never raise: SpO2 of 84 for 13 s and 92 for 1 s, repeated. Time is on the time line of arrivals (`vitals.clock`), or the
worker's clock for silence.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from vitals.rules import Rule

KEPT = timedelta(seconds=5)
FORGIVENESS = 0.5
"""Chosen from eleven candidates on 16 recordings; docs/alarms.md has the table."""
ZERO = timedelta()

_new = tuple.__new__  # the constructor of a named tuple takes three times as long


class LevelState(NamedTuple):
    """The state of a rule on one bed.

    level    the present level: 0 none, 1 the mildest
    depth    the number of levels whose limit the last value exceeded
    at       time of the last value that changed something here
    beyond   for each level, the start of its delay: now - start is what has added up. None: nothing has
    within   for each level, since when the value has been back at its `clear` without a break
    value    the last value; None for a rule without one
    """

    level: int
    depth: int
    at: datetime | None
    beyond: tuple[datetime | None, ...]
    within: tuple[datetime | None, ...]
    value: float | None = None

    @property
    def is_pending(self) -> bool:
        """Whether a level above the present one counts its delay."""
        return any(self.beyond[self.level :])

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a level nor a delay: the same as no state."""
        return not self.level and not any(self.beyond)


def initial(rule: Rule, level: int = 0) -> LevelState:
    """Return the state of a rule without delays."""
    return _initial(len(rule.levels), level)


@lru_cache(maxsize=64)
def _initial(levels: int, level: int) -> LevelState:
    nothing = (None,) * levels
    level = min(level, levels)
    return LevelState(level, level, None, nothing, nothing)


def observe(state: LevelState, depth: int, held: int, time: datetime, value: float | None = None) -> LevelState:
    """Take a value at `time`: it is beyond the limits of the first `depth` levels and does not clear the first `held`.

    Between the two lies the hysteresis: a value there does not end an alert.
    """
    level, old_depth, at, beyond, within, old_value = state
    if depth == old_depth and at is not None:
        for place, since in enumerate(beyond):
            if (since is None) == (place < depth) or (within[place] is None) != (place < held):
                break
        else:
            if value == old_value:
                return state
            return _new(LevelState, (level, depth, at, beyond, within, value))
    starts = []
    for place, start in enumerate(beyond):
        if start is not None and place >= old_depth and at is not None and time > at:
            back = within[place]
            good = time - max(at, back + KEPT) if back is not None else ZERO
            start += (time - at) + max(good, ZERO) * FORGIVENESS
            if start >= time:
                start = None
        starts.append(time if start is None and place < depth else start)
    kept = tuple([None if place < held else (since or time) for place, since in enumerate(within)])
    return _new(LevelState, (level, depth, time, tuple(starts), kept, value))


def without_delays(beyond: tuple[datetime | None, ...], level: int) -> tuple[datetime | None, ...]:
    """Return the delays of the levels up to `level`; those above are dropped."""
    return tuple(start if place < level else None for place, start in enumerate(beyond))


def target_level(rule: Rule, state: LevelState, time: datetime, interval: timedelta | None) -> int:
    """Return the level that is due at `time`, for a device with this interval between two readings.

    1. Up to the most severe level whose limit is exceeded and whose delay is over, in one step. Where the values come
       at a longer interval than the delay, the first one raises: there is no second one to wait for.
    2. Else down, past every level that has been within its `clear` for as long as it asks.
    """
    level, depth, _, beyond, within, _ = state
    for place in range(depth - 1, level - 1, -1):
        since, after = beyond[place], rule.levels[place].after
        if since is not None and (time - since >= after or (interval is not None and interval > after)):
            return place + 1
    while level:
        since = within[level - 1]
        if since is None or time - since < rule.levels[level - 1].clear_after:
            break
        level -= 1
    return level


def next_end(rule: Rule, state: LevelState, interval: timedelta | None) -> datetime | None:
    """Return when `target_level` first returns a more severe level, if no value comes; None if it does not."""
    level, depth, _, beyond, _, _ = state
    first = None
    for place in range(level, depth):
        since, after = beyond[place], rule.levels[place].after
        if since is not None:
            end = since if interval is not None and interval > after else since + after
            if first is None or end < first:
                first = end
    return first


def follow(rule: Rule, state: LevelState, time: datetime, interval: timedelta | None) -> LevelState:
    """Return the state after a reading that was evaluated before a restart; its changes were published then."""
    level = target_level(rule, state, time, interval)
    if level < state.level:  # a level that has ended needs its whole delay again
        state = state._replace(beyond=without_delays(state.beyond, level))
    return state._replace(level=level)
