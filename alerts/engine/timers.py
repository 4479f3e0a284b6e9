"""What time alone changes on a bed: a device gone silent or offline, an audio pause that is over.

Beside `bed`, which readings change. All of it runs by the worker's clock, which comes in as an argument. The worker
calls `tick` for every bed about once a second, `apply_status` for every status message, and `restart_no_data_timers`
after it was itself disconnected from the broker.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.engine import level_state
from alerts.engine.bed import NOTHING, Bed
from alerts.engine.level_state import LevelState
from alerts.engine.transitions import reminded, resumed
from vitals.alert import Event
from vitals.clock import ZERO
from vitals.patient_change import ALTERNATING_WITHIN
from vitals.rules import Rule
from vitals.thresholds import CONTINUOUS_SIGNS, SILENT_INTERVALS, silent_after

UNKNOWN_INTERVAL = timedelta(seconds=30)
"""Without a birth, and before two readings have shown an interval, silence is waited for as long."""


def tick(bed: Bed, now: datetime) -> Sequence[Event]:
    """What time alone changes.

    1. Readings that were held back are evaluated where nothing followed them.
    2. Audio pauses that are over end; a high alert that nobody has answered is repeated.
    3. Delays end between two readings: the value stands as long as the device is heard and sends no other one.
    4. The device itself: its clock, the patients that it names, and what it measures.
    5. Silence: the device sends nothing, or is offline.
    """
    events: list[Event] = bed.settle_undecided(now) if bed.order.undecided else []
    for alert in list(bed.alerts.values()):
        if alert.audio_paused_until is not None and now >= alert.audio_paused_until:
            bed.keep(resumed(alert, now), events)
        elif (again := reminded(alert, bed.rules, now)) is not None:
            bed.keep(again, events)
    _end_delays(bed, now, events)
    _check_device(bed, now, events)
    for rule in bed.rules.timed:
        since = bed.last_live_at if rule.source == "no-data" else bed.offline_since
        if since is None:
            if bed.boot is not None:  # a birth was heard: online again, and `clear_for_s` may be over now
                bed.note(rule, 0, 0, now, True, None, events)
            continue
        if now - since < rule.levels[0].after or _is_reported(bed, rule):
            continue
        if rule.source == "no-data" and now - since < _silent_after(bed):
            continue
        state = bed.counts.get(rule.name) or level_state.initial(rule)
        levels = len(rule.levels)
        silent = LevelState(state.level, levels, since, (since,) * levels, (None,) * levels)
        bed.counts[rule.name] = bed.settle(rule, silent, now, None, events)
    return events


CLOCK_TOLERANCE = timedelta(seconds=10)
CHECK_INTERVAL = timedelta(seconds=2)  # at every tick the checks cost as much as the readings of 5,000 beds


def _check_device(bed: Bed, now: datetime, events: list[Event]) -> None:
    """Whether the clock is wrong, the patient is in doubt, or what was monitored comes no more."""
    if now < bed.next_check:
        return
    bed.next_check = now + CHECK_INTERVAL
    bed.begin_check()
    measured, missing = _monitored_signs(bed, now)
    bed.nothing_measured = _is_nothing_measured(bed, measured, missing)
    for rule in bed.rules.device_checks:
        value = None
        if rule.source == "clock":
            offset = bed.order.clock.offset
            wrong, value = offset is not None and abs(offset) > CLOCK_TOLERANCE, (offset or ZERO).total_seconds()
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
            wrong = bed.patient.alternates(now)
            over = not wrong and now - bed.created_at > ALTERNATING_WITHIN
        if wrong or (over and rule.name in bed.counts):
            levels = len(rule.levels) if wrong else 0
            bed.note(rule, levels, levels, now, True, value, events)


def _monitored_signs(bed: Bed, now: datetime) -> tuple[set[str], set[str]]:
    """Return the signs that are measured, and the monitored ones that are not while the device goes on."""
    limit = silent_after((bed.usual_interval or ZERO).total_seconds())
    measured: set[str] = set()
    missing: set[str] = set()
    if now - bed.last_live_at > limit:
        return measured, missing
    for key in bed.rules.watched_signs:
        measured_at = bed.held.measured_at(key)
        if measured_at is not None and now - measured_at <= limit and key not in bed.off:
            bed.checks[key] = bed.checks.get(key, 0) + 1
            measured.add(key)
        elif bed.checks.get(key, 0) >= MONITORED_CHECKS:
            missing.add(key)
    return measured, missing


def _is_nothing_measured(bed: Bed, measured: set[str], missing: set[str]) -> bool:
    """Whether none of the continuous signs that were monitored is measured; before a restart of the worker too."""
    if measured & CONTINUOUS_SIGNS:
        return False
    if any(rule.source == "all-sensors-off" and rule.name in bed.alerts for rule in bed.rules.device_checks):
        return True
    return bool(missing & CONTINUOUS_SIGNS)


MONITORED_CHECKS = 5
"""A sign with a value at so many checks, some 10 s, is monitored; a value now and then is a spot check."""


def _end_delays(bed: Bed, now: datetime, events: list[Event]) -> None:
    """Raise what has been beyond its limit for its delay, although the next reading has not come."""
    if now - bed.last_live_at > silent_after((bed.usual_interval or timedelta()).total_seconds()):
        return  # the device is silent: what it measured last is no news
    for name, state in list(bed.counts.items()):
        rule = bed.rules.by_name[name]
        if state.is_pending and state.depth > state.level and rule.source in ("sign", "news2", "sensor-off"):
            if (rule.source == "sign" and rule.sign in bed.off) or bed.is_replayed(rule):
                continue
            bed.store(rule, bed.settle(rule, state, now, state.value, events))


def _silent_after(bed: Bed) -> timedelta:
    interval = bed.usual_interval
    if interval is None:
        return timedelta() if bed.boot is not None else UNKNOWN_INTERVAL
    return interval * SILENT_INTERVALS


def apply_status(bed: Bed, *, online: bool, boot: int, interval_s: float | None, now: datetime) -> Sequence[Event]:
    """Take a device's birth or its last will; the will of another boot than the last birth's is ignored.

    `interval_s`: the time between two readings, as the birth tells.
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
    for rule in bed.rules.timed:
        if rule.source == "offline":
            bed.note(rule, 0, 0, now, True, None, events)
    return events


def restart_no_data_timers(bed: Bed, now: datetime) -> None:
    """Restart the no-data timer: the worker was disconnected, so missing readings prove nothing."""
    bed.last_live_at = now


def _is_reported(bed: Bed, rule: Rule) -> bool:
    """An alert of at least this rule's priority already says that the device is gone: one cause, one alarm."""
    wanted = rule.levels[-1].priority.rank
    return rule.name not in bed.alerts and any(
        other is not rule and other.name in bed.alerts and bed.alerts[other.name].priority.rank >= wanted
        for other in bed.rules.timed
    )
