"""Decide which beds a tick visits. Pure.

A bed at which a delay is over, or a reading is undecided, is visited at every tick. Any other is visited when a delay
ends, when its next check is due or its silence begins: by its own next reading, as a rule, and by a tick if none came;
and when an audio pause, the time until a reminder, or the wait for the next level of a silence ends. Most beds are
quiet, and a visit costs most if the state of the bed is no longer in the processor's cache: with 10,000 beds, visits at
every tick of 1,300 beds whose NEWS2 score an alert reports already, and of 880 silent ones with their alert, made a
tick 45 to 60 ms long, for which the alerts of others wait.

`Engine` reports every bed that a message may have made active. A forgotten report would delay a change by up to 6 s:
the interval of the checks, and the wait for the next reading.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from alerts.engine.bed import NEVER, Bed
from alerts.engine.level_state import next_end
from alerts.engine.timers import is_reported_gone, next_change_at, tick
from vitals.alert import Event

SLOTS_PER_S = 2  # as often as a worker ticks
GRACE = timedelta(seconds=1.5)  # for a check, in which the next reading of most devices comes


class Schedule:
    """The active beds, every bed in the slot of time in which its check is due, and beds that change by themselves."""

    def __init__(self) -> None:
        self._active: dict[str, tuple[Bed, datetime]] = {}  # with the time from which they are visited
        self._slots: dict[int, list[Bed]] = {}
        self._change_slots: dict[int, dict[str, Bed]] = {}
        self._last = NEVER

    def add(self, bed: Bed) -> None:
        """Take a new bed."""
        self._slots.setdefault(_slot(_due(bed, NEVER)), []).append(bed)
        self._active[bed.device] = bed, NEVER

    def restart(self, beds: Iterable[Bed]) -> None:
        """Visit these beds, and no others, at the next tick."""
        self._active, self._slots, self._change_slots = {}, {}, {}
        for bed in beds:
            self.add(bed)

    def activate(self, bed: Bed, at: datetime = NEVER) -> None:
        """Visit the bed at the next tick, or at the first one from `at` on."""
        before = self._active.get(bed.device)
        if before is None or before[0] is not bed or before[1] > at:
            self._active[bed.device] = bed, at

    def tick(self, beds: Mapping[str, Bed], now: datetime) -> list[Event]:
        """Apply what only time changes to each of `beds` that is due; entries of removed beds are dropped."""
        if now < self._last:
            self._follow_clock(beds.values(), now)
        self._last = now
        due = {device: bed for device, (bed, at) in self._active.items() if at <= now}
        reached = _slot(now)
        for slot in [slot for slot in self._change_slots if slot <= reached]:
            due |= {device: bed for device, bed in self._change_slots.pop(slot).items() if beds.get(device) is bed}
        passed = [bed for slot in [slot for slot in self._slots if slot <= reached] for bed in self._slots.pop(slot)]
        again: list[Bed] = []
        for bed in passed:
            if beds.get(bed.device) is not bed:
                continue  # removed; its name may have a new one
            at = _due(bed, NEVER)
            if now >= at:
                due[bed.device] = bed
                again.append(bed)
            else:  # its next reading has come
                self._slots.setdefault(max(reached + 1, _slot(at)), []).append(bed)
        events: list[Event] = []
        for bed in due.values():
            active_from = None
            if beds.get(bed.device) is bed:
                events += tick(bed, now)
                active_from = find_active_from(bed)
                if (changes_at := next_change_at(bed, now)) is not None:
                    self._change_slots.setdefault(max(reached + 1, _slot(changes_at)), {})[bed.device] = bed
            if active_from is not None:
                self._active[bed.device] = bed, active_from
            else:
                self._active.pop(bed.device, None)
        for bed in again:
            self._slots.setdefault(max(reached + 1, _slot(_due(bed, now))), []).append(bed)
        return events

    def _follow_clock(self, beds: Iterable[Bed], now: datetime) -> None:
        """Bring forward what was due by a clock that was set back; it would wait as long."""
        for bed in beds:
            bed.last_live_at = min(bed.last_live_at, now)
            bed.next_check = min(bed.next_check, now)
        self.restart(beds)


def find_active_from(bed: Bed) -> datetime | None:
    """Return from when on time may change something at the bed at every tick, until a message comes; None: it does not.

    Its checks, its silence and what `next_change_at` returns have their own times. From the end of a delay on the bed
    stays active: its alert may wait for something else, as for a device that is silent at that moment.
    """
    if bed.clock.undecided or (bed.offline_since is not None and not is_reported_gone(bed)):
        return NEVER
    counts = bed.counts
    if not counts:
        return None
    # A device is online again since its birth, and `clear_for_s` may have passed.
    if bed.offline_since is None and any([rule.name in counts for rule in bed.rules.offline]):
        return NEVER
    active_from = None
    for name, state in counts.items():
        if state.depth > state.level and name not in bed.reported:
            end = next_end(bed.rules.by_name[name], state, bed.clock.longest_interval(bed.interval))
            if end is not None and (active_from is None or end < active_from):
                active_from = end
    return active_from


def _due(bed: Bed, visited_at: datetime) -> datetime:
    """Return when the bed is visited though nothing arrives: for its check, or its silence without an alert."""
    check = bed.next_check + GRACE
    silent = bed.last_live_at + bed.rules.silence_after
    return min(check, silent) if silent > visited_at or not is_reported_gone(bed) else check


def _slot(time: datetime) -> int:
    return int(time.timestamp() * SLOTS_PER_S)
