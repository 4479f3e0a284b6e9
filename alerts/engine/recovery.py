"""Restore the beds from the retained alerts after a restart, before the first reading. Pure.

Open alerts are retained, and cleared ones for an hour. Delays are lost, so a pending alert may be late by at most its
`for_s`. If the broker redelivers the readings, it is not late: they count the delays again, and change no alert up to
the reading that changed it last.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from alerts.engine import level_state
from alerts.engine.bed import Bed
from alerts.engine.context_changes import RULE_REMOVED, close
from vitals.alert import Alert, Event, is_overtaken
from vitals.rules import RuleSet


def restore(rules: RuleSet, alerts: Iterable[Alert], now: datetime) -> tuple[dict[str, Bed], list[Event]]:
    """Return the beds by device, and the events that correct the retained messages.

    1. Of two alerts of one device and rule, left by a worker killed while a device moved ward, the newer counts; the
       message of the other is deleted.
    2. Each alert is restored to its bed; of a cleared one only the time of its last reading is used.
    3. Patient ids that alternated still do: none of them changes the patient before they have ended.
    4. An alert whose rule is no longer in the file is closed.
    """
    newest: dict[tuple[str, str], Alert] = {}
    events = []
    for alert in alerts:
        key = (alert.device_id, alert.rule)
        other = newest.get(key, alert)
        older, newer = (alert, other) if _is_older(alert, other, now) else (other, alert)
        newest[key] = newer
        if older.ward != newer.ward:
            events.append(Event(newer, old_ward=older.ward))
    beds: dict[str, Bed] = {}
    for alert in sorted(newest.values(), key=_age):  # the bed is where its newest alert is
        bed = beds.get(alert.device_id)
        if bed is None:
            bed = beds[alert.device_id] = Bed(alert.device_id, alert.ward, rules, now)
        restore_alert(bed, _by_clock(alert, now))
    for bed in beds.values():
        bed.refresh_active_signs()
        if any(rule.source == "patients" and rule.name in bed.alerts for rule in rules.device_checks):
            bed.patient.restore_turns(now)
        for name in [name for name in bed.alerts if name not in rules.by_name]:
            events += close(bed, name, RULE_REMOVED, now)
    return beds, events


def restore_alert(bed: Bed, alert: Alert) -> None:
    """Restore one retained alert to its bed."""
    bed.ward = alert.ward
    rule = bed.rules.by_name.get(alert.rule)
    # A birth is no reading: the device's clock, which may be ahead, does not decide whether it counts.
    if alert.reading_at is not None and not (rule and rule.source == "offline"):
        bed.replay_watermarks[alert.rule] = alert.reading_at
        bed.replay_watermark = max(bed.replay_watermark or alert.reading_at, alert.reading_at)
        bed.clock.evaluated_until = bed.replay_watermark
    if not alert.is_open:
        return
    bed.patient_id = alert.patient_id or bed.patient_id
    bed.alerts[alert.rule] = alert
    if rule is not None and alert.level:
        bed.store(rule, level_state.initial(rule, alert.level))


def _is_older(alert: Alert, other: Alert, now: datetime) -> bool:
    if is_overtaken(alert, other, now) or is_overtaken(other, alert, now):
        return is_overtaken(alert, other, now)
    return _age(alert) < _age(other)


def _by_clock(alert: Alert, now: datetime) -> Alert:
    """Return the alert with its delays by this worker's clock, if that of the last worker was ahead.

    An audio pause would last, and a reminder wait, for as long as the clocks differ.
    """
    ahead = alert.changed_at - now
    if ahead <= timedelta():
        return alert
    paused, active = alert.audio_paused_until, alert.active_since
    try:
        paused = None if paused is None else paused - ahead
    except OverflowError:
        paused = None  # of an absurd time: the alert sounds
    return replace(
        alert,
        audio_paused_until=paused,
        active_since=None if active is None else min(active, now),
    )


def _age(alert: Alert) -> tuple[datetime, int]:
    return alert.changed_at, alert.revision
