"""What time alone changes on a bed: a device gone silent or offline, an audio pause that is over.

Beside `bed`, which readings change. All of it runs by the worker's clock, which comes in as an argument. The worker
calls `tick` for every bed about once a second, `presence` for every status message, and `excuse` when it was itself
away from the broker.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts import machine
from alerts.bed import NOTHING, Bed
from alerts.changes import changed
from alerts.machine import Count
from vitals.alert import Change, Event, State
from vitals.rules import Rule
from vitals.thresholds import SILENT_INTERVALS


def tick(bed: Bed, now: datetime) -> Sequence[Event]:
    """End audio pauses that are over, and raise or escalate alerts of silence whose time has come."""
    events: list[Event] = []
    for alert in list(bed.alerts.values()):
        if alert.audio_paused_until is not None and now >= alert.audio_paused_until:
            sounding = changed(alert, Change.AUDIO_RESUMED, now, state=State.ACTIVE, audio_paused_until=None)
            bed.keep(sounding, events)
    for rule in bed.rules.timed:
        since = bed.fresh_at if rule.source == "no-data" else bed.offline_since
        if since is None:
            if bed.boot is not None:  # a birth was heard: online again, and `clear_for_s` may be over now
                bed.note(rule, 0, 0, now, True, None, events)
            continue
        if now - since < rule.levels[0].after:
            continue
        if rule.source == "no-data" and (now - since < bed.interval * SILENT_INTERVALS or _told(bed, rule)):
            continue
        state = bed.counts.get(rule.name) or machine.fresh(rule)
        levels = len(rule.levels)
        silent = Count(state.level, (since,) * levels, (None,) * levels)
        bed.counts[rule.name] = bed.settle(rule, silent, now, None, events)
    return events


def presence(bed: Bed, *, online: bool, boot: int, interval_s: float | None, now: datetime) -> Sequence[Event]:
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


def excuse(bed: Bed, now: datetime) -> None:
    """The worker itself was deaf until now, so the device's silence says nothing: begin to wait again."""
    bed.fresh_at = now


def _told(bed: Bed, rule: Rule) -> bool:
    """An alert of at least this rule's priority already says that the device is offline: one cause, one alarm."""
    wanted = rule.levels[-1].priority.rank
    return rule.name not in bed.alerts and any(
        other.source == "offline" and other.name in bed.alerts and bed.alerts[other.name].priority.rank >= wanted
        for other in bed.rules.timed
    )
