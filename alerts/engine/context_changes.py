"""What changes around a bed: another patient, another ward, other rules. Used by `bed` and by the worker.

Every change is returned as an event, so that the retained messages agree with the bed.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from alerts.engine import level_state
from alerts.engine.transitions import changed
from vitals.alert import Change, Event, State
from vitals.limits import Limits, apply
from vitals.rules import RuleSet

if TYPE_CHECKING:
    from alerts.engine.bed import Bed

PATIENT_CHANGED = "another patient is on this device"
RULE_REMOVED = "its rule is not in the rule file any more"
DEVICE_REMOVED = "the device was removed"
"""Reasons for which an alert is closed although no reading said so."""


def change_patient(bed: Bed, before: str | None, patient: str, time: datetime, since: datetime) -> list[Event]:
    """Another patient is on the device: the one whose readings began to arrive at `since`.

    1. What the former patient's readings raised is closed, and their part of what is counted is taken off.
    2. What was raised since then, or while no patient was known, is the present patient's.
    3. The bed's own limits hold for whom they were set.
    """
    events: list[Event] = []
    if before is not None:
        counts = dict(bed.counts)
        for name in [name for name, alert in sorted(bed.alerts.items()) if alert.raised_at < since]:
            events += close(bed, name, PATIENT_CHANGED, time, bed.last)
        for name, state in counts.items():
            starts = tuple(None if start is None else max(start, since) for start in state.beyond)
            level = state.level if name in bed.alerts else 0
            bed.store(bed.rules.by_name[name], state._replace(level=level, beyond=starts))
        bed.refresh_active_signs()
        bed.held.forget_before(since)
        bed.off = frozenset()
        bed.checks.clear()
        bed.pressures.clear()
    events += apply_rules(bed, bed.ward_rules, bed.limits, time)
    for _, alert in sorted(bed.alerts.items()):
        bed.keep(changed(alert, Change.IDENTIFIED, time, reading_at=bed.last, patient_id=patient), events)
    return events


def change_ward(bed: Bed, ward: str, time: datetime) -> list[Event]:
    """The device is in another ward: what is open moves there."""
    events: list[Event] = []
    old_ward, bed.ward = bed.ward, ward
    for name, alert in sorted(bed.alerts.items()):
        bed.alerts[name] = moved = changed(alert, Change.MOVED, time, reading_at=bed.last, ward=ward)
        events.append(Event(moved, old_ward))
    return events


def close_all(bed: Bed, reason: str, at: datetime, reading_at: datetime | None = None) -> list[Event]:
    """Close every open alert and forget what is counted. For another patient, or a device that is gone."""
    bed.counts.clear()
    bed.refresh_active_signs()
    return [event for name in sorted(bed.alerts) for event in close(bed, name, reason, at, reading_at)]


def close(bed: Bed, name: str, reason: str, at: datetime, reading_at: datetime | None = None) -> list[Event]:
    """Close one alert for a reason that no reading gave."""
    alert = bed.alerts.pop(name)
    bed.counts.pop(name, None)
    return [Event(changed(alert, Change.CLEARED, at, reading_at=reading_at, state=State.CLEARED, reason=reason))]


def apply_rules(bed: Bed, ward_rules: RuleSet, limits: Limits | None, now: datetime) -> list[Event]:
    """Go on with other rules, or other limits of this bed's own. Alerts whose rule is gone are closed.

    Raises Refused for limits that contradict the rules or themselves; then nothing has changed.
    """
    rules = apply(ward_rules, limits) if limits is not None and limits.applies_to(bed.patient_id) else ward_rules
    bed.ward_rules, bed.limits = ward_rules, limits
    if rules is bed.rules:
        return []
    if rules.spo2_scale != bed.rules.spo2_scale:
        bed.held = bed.held.with_scale(rules.spo2_scale)
    bed.rules = rules
    gone = sorted(name for name in bed.alerts if name not in rules.by_name)
    events = [event for name in gone for event in close(bed, name, RULE_REMOVED, now)]
    for name, state in list(bed.counts.items()):
        rule = rules.by_name.get(name)
        if rule is None:
            del bed.counts[name]
        elif len(rule.levels) != len(state.beyond):
            bed.counts[name] = level_state.initial(rule, state.level)
    bed.refresh_active_signs()
    return events
