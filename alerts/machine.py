"""The clockwork of one rule on one bed: delays counted, levels climbed and descended. Pure.

`bed` says how far a value lies beyond the limits and when; here it is decided which level holds. Time is the time line
that the rule lives on: the readings' own time, or the worker's clock for silence.
"""

from datetime import datetime
from typing import NamedTuple

from vitals.rules import Rule


class Count(NamedTuple):
    """Where a rule stands on one bed.

    level    the level that holds: 0 none, 1 the mildest
    beyond   for each level, since when the value lies beyond its limit without a break; what is pending
    within   for each level, since when the value is back at its `clear` without a break
    """

    level: int
    beyond: tuple[datetime | None, ...]
    within: tuple[datetime | None, ...]

    @property
    def is_pending(self) -> bool:
        """A level above the one that holds counts its delay."""
        return any(self.beyond[self.level :])

    @property
    def is_idle(self) -> bool:
        """Nothing holds and nothing is counted: the same as no Count at all."""
        return not self.level and not any(self.beyond)


def fresh(rule: Rule, level: int = 0) -> Count:
    """A rule at which nothing is counted."""
    nothing = (None,) * len(rule.levels)
    return Count(min(level, len(nothing)), nothing, nothing)


def count(state: Count, depth: int, held: int, time: datetime) -> Count:
    """Note a value at `time`: it lies beyond the limits of the first `depth` levels, and holds the first `held`.

    Between the two lies the hysteresis: a value there neither feeds a delay nor ends an alert.
    """
    level, beyond, within = state
    for place, since in enumerate(beyond):
        if (since is None) == (place < depth) or (within[place] is None) != (place < held):
            break
    else:
        return state  # as before, which is the usual case while an alert stands
    return Count(
        level,
        tuple([(since or time) if place < depth else None for place, since in enumerate(beyond)]),
        tuple([None if place < held else (since or time) for place, since in enumerate(within)]),
    )


def due(rule: Rule, state: Count, time: datetime) -> int:
    """The level that should hold at `time`.

    1. Up to the most severe level whose delay is over, in one step.
    2. Else down, past every level that has been within its `clear` for as long as it asks.
    """
    level, beyond, within = state
    for place in range(len(beyond) - 1, level - 1, -1):
        since = beyond[place]
        if since is not None and time - since >= rule.levels[place].after:
            return place + 1
    while level:
        since = within[level - 1]
        if since is None or time - since < rule.levels[level - 1].clear_after:
            break
        level -= 1
    return level
