"""Changes of a bed that need no reading: silence, offline, ended audio pauses, checks of the device. Pure.

`schedule` calls `tick` twice a second for the beds that need it. The engine calls `apply_status` for every status
message, and `restart_no_data_timers` after it was disconnected from the broker. The time is that of the worker's clock.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zlib import crc32

from alerts.engine import level_state
from alerts.engine.bed import NOTHING, Bed
from alerts.engine.level_state import LevelState
from alerts.engine.transitions import next_change, reminded, resumed
from vitals.alert import Event
from vitals.clock import ZERO
from vitals.patient_change import ALTERNATING_WITHIN
from vitals.rules import Rule
from vitals.thresholds import CONTINUOUS_SIGNS, MONITORED_CHECKS, SILENT_INTERVALS, silent_after

UNKNOWN_INTERVAL = timedelta(seconds=30)
"""Silence before `no-data`, as long as neither a birth nor two readings have shown an interval."""


def tick(bed: Bed, now: datetime) -> Sequence[Event]:
    """Apply what only time changes.

    1. Held readings are evaluated if no other reading followed them.
    2. Audio pauses end; an unanswered high alert is repeated.
    3. Delays end between two readings: a value is valid as long as the device sends.
    4. The device itself: its clock, the patients that it names, and what it measures.
    5. Silence: the device sends nothing, or is offline. No alert for a discharged bed.
    """
    events: list[Event] = bed.settle_undecided(now) if bed.clock.undecided else []
    for alert in list(bed.alerts.values()):
        changes_at = next_change(alert, bed.rules)
        if changes_at is not None and now >= changes_at:
            resume = alert.audio_paused_until is not None
            bed.keep(resumed(alert, now) if resume else reminded(alert, bed.rules, now), events)
    if bed.counts:
        _end_delays(bed, now, events)
    if now >= bed.next_check:
        events += check_device(bed, now)
    for rule in bed.rules.timed if bed.vacant_since is None else ():
        since = bed.last_live_at if rule.source == "no-data" else bed.offline_since
        if since is None:
            if bed.boot is not None:  # online again since a birth, and `clear_for_s` may have passed
                bed.note(rule, 0, 0, now, True, None, events)
            continue
        if now - since < rule.levels[0].after or _is_reported(bed, rule):
            continue
        if rule.source == "no-data" and now - since < _silent_after(bed):
            continue
        state = bed.counts.get(rule.name) or level_state.initial(rule)
        levels = len(rule.levels)
        silent = LevelState(state.level, levels, since, (since,) * levels, (None,) * levels)
        bed.store(rule, bed.settle(rule, silent, now, None, events))
    return events


def next_change_at(bed: Bed, after: datetime) -> datetime | None:
    """Return when an alert of the bed will next change by itself, later than `after`; None if only a message does that.

    The end of an audio pause, a reminder, and of a device that is reported gone the next level, or a worse alert.
    """
    found = [next_change(alert, bed.rules) for alert in bed.alerts.values()]
    for rule in bed.rules.timed if is_reported_gone(bed) else ():
        alert = bed.alerts.get(rule.name)
        since = bed.last_live_at if rule.source == "no-data" else bed.offline_since
        if since is not None:
            shortest = _silent_after(bed) if rule.source == "no-data" else ZERO
            found += [since + max(level.after, shortest) for level in rule.levels[alert.level if alert else 0 :]]
    return min([at for at in found if at is not None and at > after], default=None)


def is_reported_gone(bed: Bed) -> bool:
    """Return whether an open alert reports the device as silent or offline."""
    return any([rule.name in bed.alerts for rule in bed.rules.timed])


CLOCK_TOLERANCE = timedelta(seconds=10)
CHECK_INTERVAL = timedelta(seconds=4)  # at every tick the checks cost as much as the readings of 5,000 beds


def check_device(bed: Bed, now: datetime) -> list[Event]:
    """Check the device's clock, its patient, and whether monitored signs still have values."""
    events: list[Event] = []
    # The second check of a device comes at a time of its own. A restarted worker finds all devices at once, and if one
    # tick checked all, an alert would wait for it: 16 ms at 2,000 beds.
    is_first = bed.next_check == bed.created_at
    bed.next_check = now + (CHECK_INTERVAL * (crc32(bed.device.encode()) / 2**32) if is_first else CHECK_INTERVAL)
    if _is_as_usual(bed, now):
        bed.nothing_measured = False
        return events
    bed.begin_check()
    measured, missing = _monitored_signs(bed, now)
    bed.nothing_measured = _is_nothing_measured(bed, measured, missing)
    offset = bed.clock.offset
    wrong_clock = offset is not None and abs(offset) > CLOCK_TOLERANCE
    alternates = bed.patient.alternates(now)
    if not (bed.counts or missing or bed.nothing_measured or wrong_clock or alternates or bed.contradicts_assignment):
        return events  # no rule applies, and none is counted
    for rule in bed.rules.device_checks if bed.vacant_since is None else ():
        value = None
        if rule.source == "clock":
            wrong, value = wrong_clock, (offset or ZERO).total_seconds()
            over = offset is not None and not wrong
        elif rule.source == "sign-gone":
            wrong = rule.sign in missing and rule.sign not in bed.off
            over = rule.sign in measured or rule.sign in bed.off
        elif rule.source == "all-sensors-off":
            wrong = bed.nothing_measured
            over = bool(measured & CONTINUOUS_SIGNS)
        elif rule.source == "assignment":
            wrong = bed.contradicts_assignment
            over = not wrong
        else:
            wrong = alternates
            over = not wrong and now - bed.created_at > ALTERNATING_WITHIN
        if wrong or (over and rule.name in bed.counts):
            levels = len(rule.levels) if wrong else 0
            bed.note(rule, levels, levels, now, True, value, events)
    return events


def _is_as_usual(bed: Bed, now: datetime) -> bool:
    """Return whether no device check applies, and none is counted: most beds, most of the time."""
    rules = bed.rules
    if bed.off or bed.checks is not rules.all_monitored or not rules.device_check_names.isdisjoint(bed.counts):
        return False
    offset = bed.clock.offset
    if offset is not ZERO and (offset is None or abs(offset) > CLOCK_TOLERANCE):
        return False
    if bed.contradicts_assignment or bed.patient.alternates(now):
        return False
    since = now - silent_after(bed.usual_interval)
    return bed.last_live_at >= since and bed.held.are_measured_since(rules.watched_signs, since)


def _monitored_signs(bed: Bed, now: datetime) -> tuple[set[str], set[str]]:
    """Return the signs that are measured, and the monitored ones that are not while the device goes on."""
    limit = silent_after(bed.usual_interval)
    measured: set[str] = set()
    missing: set[str] = set()
    if now - bed.last_live_at > limit:
        return measured, missing
    newest = min(now, bed.clock.last or now)  # a whole reading may come late
    for key in bed.rules.watched_signs:
        measured_at = bed.held.measured_at(key)
        if measured_at is not None and newest - measured_at <= limit and key not in bed.off:
            checks = bed.checks.get(key, 0)
            if checks < MONITORED_CHECKS:
                bed.checks = {**bed.checks, key: checks + 1}
            measured.add(key)
        elif bed.checks.get(key, 0) >= MONITORED_CHECKS:
            missing.add(key)
    if bed.checks == bed.rules.all_monitored:
        bed.checks = bed.rules.all_monitored  # one object for all beds is nearly always in the processor's cache
    return measured, missing


def _is_nothing_measured(bed: Bed, measured: set[str], missing: set[str]) -> bool:
    """Return whether no monitored continuous sign is measured, also if the worker was restarted meanwhile."""
    if measured & CONTINUOUS_SIGNS:
        return False
    if any(rule.source == "all-sensors-off" and rule.name in bed.alerts for rule in bed.rules.device_checks):
        return True
    return bool(missing & CONTINUOUS_SIGNS)


def _end_delays(bed: Bed, now: datetime, events: list[Event]) -> None:
    """Raise alerts whose delay has passed since the last reading."""
    counting = [
        (bed.rules.by_name[name], state)
        for name, state in bed.counts.items()
        if state.depth > state.level and state.is_pending
    ]
    if not counting:
        return
    limit = silent_after(bed.usual_interval)
    if not bed.clock.is_steady:
        # A visit of a few measurements has no later value that the delay could wait for.
        limit = max(limit, UNKNOWN_INTERVAL)
    if now - bed.last_live_at > limit:
        return  # the device is silent: its last value is not current
    right_within = bed.clock.right_within
    for rule, state in counting:
        if rule.source in ("sign", "news2", "sensor-off"):
            if (rule.source == "sign" and rule.sign in bed.off) or bed.is_replayed(rule):
                continue
            if right_within is not None and state.at is not None and now - state.at > right_within:
                continue  # a value of the past, by the device's own clock
            bed.store(rule, bed.settle(rule, state, now, state.value, events))


def _silent_after(bed: Bed) -> timedelta:
    interval = bed.usual_interval
    if interval is None:
        return timedelta() if bed.boot is not None else UNKNOWN_INTERVAL
    return interval * SILENT_INTERVALS


def apply_status(bed: Bed, *, online: bool, boot: int, interval_s: float | None, now: datetime) -> Sequence[Event]:
    """Take a device's birth or its last will; a will of another boot than that of the last birth is ignored.

    `interval_s`: the time between two readings that the birth announces.
    """
    if not online:
        if bed.boot is not None and boot != bed.boot:
            return NOTHING
        bed.offline_since = bed.offline_since or now
        return tick(bed, now)
    bed.boot = boot
    bed.interval = timedelta(seconds=interval_s or 0)
    bed.offline_since = None
    events: list[Event] = []
    for rule in bed.rules.offline:
        bed.note(rule, 0, 0, now, True, None, events)
    return events


def restart_no_data_timers(bed: Bed, now: datetime) -> None:
    """Restart the no-data timer: the worker was disconnected, so missing readings prove nothing."""
    bed.last_live_at = now


def _is_reported(bed: Bed, rule: Rule) -> bool:
    """Return whether an open alert of at least this priority reports the device as gone: one cause, one alarm."""
    wanted = rule.levels[-1].priority.rank
    return rule.name not in bed.alerts and any(
        other is not rule and other.name in bed.alerts and bed.alerts[other.name].priority.rank >= wanted
        for other in bed.rules.timed
    )
