"""Changes that no value causes: another patient, ward, assignment or rule set. Pure.

Every change of an alert is returned as an event, so that the retained messages agree with the bed.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from alerts.engine import level_state
from alerts.engine.transitions import changed
from vitals.alert import Change, Event, State
from vitals.assignment import Assignment, rules_for_bed
from vitals.limits import Limits, RequestRejected
from vitals.rules import Rule, RuleSet

if TYPE_CHECKING:
    from alerts.engine.bed import Bed

PATIENT_CHANGED = "another patient is on this device"
PATIENT_DISCHARGED = "the patient was discharged from this bed"
RULE_REMOVED = "its rule is not in the rule file any more"
DEVICE_REMOVED = "the device was removed"
"""Reasons why an alert is closed without a reading."""


def change_assignment(bed: Bed, assignment: Assignment | None, now: datetime) -> list[Event]:
    """Apply an assignment of a patient to the bed; None: the device alone says who its patient is."""
    before, bed.assignment = bed.patient_id, assignment
    bed.vacant_since = None
    if bed.patient.assign(assignment.patient_id if assignment else None, now):
        return change_patient(bed, before, bed.patient_id, now, bed.patient.since or now)
    return apply_rules(bed, bed.ward_rules, bed.limits, now)


def discharge(bed: Bed, since: datetime, now: datetime, *, in_use: bool = False) -> list[Event]:
    """Discharge the bed: forget its patient, and close every alert that was raised before `since`.

    Silence raises no alert until the device sends a value again, which is evaluated as ever. Alerts that were raised
    after the discharge show that it did, and so may the message (`in_use`): then only the older alerts are closed.
    Limits that contradict the rules without the patient's age group are dropped.
    """
    before, bed.assignment = bed.patient_id, None
    try:
        rules_for_bed(bed.ward_rules, None, bed.limits, None)
    except RequestRejected:
        bed.limits = None
    in_use = in_use or any(alert.raised_at >= since for alert in bed.alerts.values())
    events = [
        event
        for name in sorted(name for name, alert in bed.alerts.items() if alert.raised_at < since)
        for event in close(bed, name, PATIENT_DISCHARGED, now, bed.last)
    ]
    if in_use:
        bed.vacant_since = None
        return events + apply_rules(bed, bed.ward_rules, bed.limits, now)
    bed.patient.forget()
    bed.vacant_since = since
    bed.counts.clear()
    return events + change_patient(bed, before or "", None, now, since)


def change_patient(bed: Bed, before: str | None, patient: str | None, time: datetime, since: datetime) -> list[Event]:
    """Change the patient on the device, whose readings began to arrive at `since`; None: no patient is known.

    1. Alerts that readings of the former patient raised are closed, and their part of the delays is removed.
    2. Alerts that were raised since then, or while no patient was known, belong to the present patient.
    3. The bed's own limits apply only to the patient for whom they were set.
    """
    events: list[Event] = []
    if before is not None:
        counts = dict(bed.counts)
        reason = PATIENT_CHANGED if patient is not None else PATIENT_DISCHARGED
        for name in [name for name, alert in sorted(bed.alerts.items()) if alert.raised_at < since]:
            events += close(bed, name, reason, time, bed.last)
        bed.held.forget_before(since)
        bed.pressures = {place: known for place, known in bed.pressures.items() if known[1] >= since}
        for name, state in counts.items():
            if not _is_measured(bed, bed.rules.by_name[name]):
                bed.counts.pop(name, None)
                continue
            starts = tuple(None if start is None else max(start, since) for start in state.beyond)
            level = state.level if name in bed.alerts else 0
            bed.store(bed.rules.by_name[name], state._replace(level=level, beyond=starts))
        bed.refresh_active_signs()
        bed.off = frozenset()
        bed.checks = {}
    events += apply_rules(bed, bed.ward_rules, bed.limits, time)
    for _, alert in sorted(bed.alerts.items()):
        bed.keep(changed(alert, Change.IDENTIFIED, time, reading_at=bed.last, patient_id=patient), events)
    return events


def _is_measured(bed: Bed, rule: Rule) -> bool:
    """Return whether a value that the rule watches was measured of the present patient; technical rules need none."""
    match rule.source:
        case "sign":
            return rule.sign is not None and not bed.held.lacks((rule.sign,))
        case "mean-bp":
            return len(bed.pressures) == 2
        case "news2":
            return bool(bed.held.score().parts)
    return True


def change_ward(bed: Bed, ward: str, time: datetime) -> list[Event]:
    """Move the device and its open alerts to another ward."""
    events: list[Event] = []
    old_ward, bed.ward = bed.ward, ward
    for name, alert in sorted(bed.alerts.items()):
        bed.alerts[name] = moved = changed(alert, Change.MOVED, time, reading_at=bed.last, ward=ward)
        events.append(Event(moved, old_ward))
    return events


def close_all(bed: Bed, reason: str, at: datetime, reading_at: datetime | None = None) -> list[Event]:
    """Close every open alert and drop all delays, for a device that was removed."""
    bed.counts.clear()
    bed.refresh_active_signs()
    return [event for name in sorted(bed.alerts) for event in close(bed, name, reason, at, reading_at)]


def close(bed: Bed, name: str, reason: str, at: datetime, reading_at: datetime | None = None) -> list[Event]:
    """Close one alert for a reason other than a reading."""
    alert = bed.alerts.pop(name)
    bed.counts.pop(name, None)
    return [Event(changed(alert, Change.CLEARED, at, reading_at=reading_at, state=State.CLEARED, reason=reason))]


def apply_rules(bed: Bed, ward_rules: RuleSet, limits: Limits | None, now: datetime) -> list[Event]:
    """Apply other rules, another age group or other limits of the bed. Alerts without a rule are closed.

    Raises RequestRejected for limits that contradict the rules or themselves; then nothing has changed.
    """
    rules = rules_for_bed(ward_rules, bed.assignment, limits, bed.patient_id)
    bed.ward_rules, bed.limits = ward_rules, limits
    if rules is bed.rules:
        return []
    before = bed.rules
    scored_alike = rules.spo2_scale == before.spo2_scale
    if not scored_alike:
        bed.held = bed.held.with_scale(rules.spo2_scale)
    bed.rules = rules
    bed.reported = frozenset()
    gone = sorted(name for name in bed.alerts if name not in rules.by_name)
    events = [event for name in gone for event in close(bed, name, RULE_REMOVED, now)]
    for name, state in list(bed.counts.items()):
        rule = rules.by_name.get(name)
        if rule is None:
            del bed.counts[name]
        elif len(rule.levels) != len(state.beyond):
            bed.counts[name] = level_state.initial(rule, state.level)
        elif state.value is not None and not (scored_alike and rule == before.by_name.get(name)):
            # The delay of a value that is within the new limit must not end before the next value.
            depth = rule.levels_exceeded(state.value) if rule.source == "sign" else min(state.depth, state.level)
            bed.counts[name] = state._replace(depth=depth)
    _evaluate_known(bed, before, scored_alike, events)
    bed.refresh_active_signs()
    return events


def _evaluate_known(bed: Bed, before: RuleSet, scored_alike: bool, events: list[Event]) -> None:
    """Count the delays of new and changed rules from the values that are known: the next one may come after hours."""
    last = bed.clock.last
    if last is None:
        return
    bed.begin_check()
    for watch in bed.rules.sign_rules:
        value, at = bed.held.sign(watch.key)
        if value is None or at is None:
            continue
        for rule in watch.rules:
            if rule != before.by_name.get(rule.name):
                bed.note(rule, rule.levels_exceeded(value), rule.levels_not_cleared(value), at, False, value, events)
    score = bed.held.score()
    for rule in bed.rules.scored:
        if not scored_alike or rule != before.by_name.get(rule.name):
            bed.note_score(rule, score.total, score.worst, last, False, events)
