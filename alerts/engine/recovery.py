"""Beds from the retained alerts: what a worker knows after a restart, before the first reading comes.

What is retained is what was published: open alerts, and for an hour the cleared ones. What was only counted is lost, so
an alert that was pending may come late, by at most its `for_s`; where the broker delivers the readings again, not even
that, because the counts grow again from them while the alerts stand still up to the reading that changed them last.
"""

from collections.abc import Iterable
from datetime import datetime

from alerts.engine import level_state
from alerts.engine.bed import Bed
from alerts.engine.context_changes import RULE_REMOVED, close
from vitals.alert import Alert, Event
from vitals.rules import RuleSet


def restore(rules: RuleSet, alerts: Iterable[Alert], now: datetime) -> tuple[dict[str, Bed], list[Event]]:
    """The beds by device, and what is to be published to put the retained messages right.

    1. Of two alerts of one device and rule, left by a worker killed while a device moved ward, the newer counts; the
       other one's message is taken away.
    2. Each alert is given back to its bed; a cleared one only says up to which reading it knows.
    3. An alert whose rule is not in the file any more is closed.
    """
    newest: dict[tuple[str, str], Alert] = {}
    events = []
    for alert in alerts:
        key = (alert.device_id, alert.rule)
        older, newer = sorted((alert, newest.get(key, alert)), key=_age)
        newest[key] = newer
        if older.ward != newer.ward:
            events.append(Event(newer, old_ward=older.ward))
    beds: dict[str, Bed] = {}
    for alert in sorted(newest.values(), key=_age):  # the bed is where its newest alert is
        bed = beds.get(alert.device_id)
        if bed is None:
            bed = beds[alert.device_id] = Bed(alert.device_id, alert.ward, rules, now)
        restore_alert(bed, alert)
    for bed in beds.values():
        bed.refresh_active_signs()
        for name in [name for name in bed.alerts if name not in rules.by_name]:
            events += close(bed, name, RULE_REMOVED, now)
    return beds, events


def restore_alert(bed: Bed, alert: Alert) -> None:
    """Put one retained alert into its bed."""
    bed.ward = alert.ward
    rule = bed.rules.by_name.get(alert.rule)
    # A birth is no reading: the clock of the device, which may be ahead, has no say in whether it counts.
    if alert.reading_at is not None and not (rule and rule.source == "offline"):
        bed.replay_watermarks[alert.rule] = alert.reading_at
        bed.replay_watermark = max(bed.replay_watermark or alert.reading_at, alert.reading_at)
    if not alert.is_open:
        return
    bed.patient_id = alert.patient_id or bed.patient_id
    bed.alerts[alert.rule] = alert
    if rule is not None and alert.level:
        bed.store(rule, level_state.initial(rule, alert.level))


def _age(alert: Alert) -> tuple[datetime, int]:
    return alert.changed_at, alert.revision
