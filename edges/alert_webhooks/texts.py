"""Say a report of an alert in a title and a few lines, for people. Pure.

Bed, sign, value, priority and time; no user, and the patient's number only if the site says so.
"""

from datetime import datetime, tzinfo

from edges.outgoing.alert_reports import Phase, Report
from vitals.alert import Alert, Change
from vitals.alert_format import DISPLAY_UNITS, badge, bed_name, message_text, sanitize

_CHANGES = {
    Change.RAISED: "Raised",
    Change.ESCALATED: "Escalated",
    Change.DEESCALATED: "De-escalated",
    Change.WORSENED: "Worse",
    Change.RETURNED: "Returned",
    Change.ACKNOWLEDGED: "Acknowledged",
    Change.AUDIO_PAUSED: "Audio paused",
    Change.AUDIO_RESUMED: "Audio resumed",
    Change.LATCHED: "Condition has ended, not acknowledged",
    Change.IDENTIFIED: "Patient is known now",
    Change.REMINDED: "Not answered",
    Change.MOVED: "Moved to this ward",
    Change.CLEARED: "Ended",
}
_REPEATED = {
    Phase.START: "Open again",
    Phase.CONTINUE: "Still open",
    Phase.END: "No longer at the broker, so it counts as ended",
}


def title(report: Report) -> str:
    """Return priority and bed, such as `!!! high: icu-1 bed-04`."""
    alert = report.alert
    mark = "Ended" if report.phase is Phase.END else badge(alert.priority, alert.kind)
    return sanitize(f"{mark}: {alert.ward} {bed_name(alert.ward, alert.device_id)}")


def lines(report: Report, zone: tzinfo, *, patient: bool) -> list[str]:
    """Return what has changed, the alert's text with its value, a worse value, the times, and the patient's number."""
    alert = report.alert
    words = _REPEATED.get(report.phase, "Open") if report.repeated else _CHANGES[alert.change]
    found = [f"{words}: {message_text(alert)}"]
    if alert.worst_value is not None and alert.worst_value != alert.value:
        found.append(f"worst value {_value(alert)}")
    found.append(f"raised {_time(alert.raised_at, zone)}")
    if alert.changed_at != alert.raised_at:
        found.append(f"changed {_time(alert.changed_at, zone)}")
    if patient and alert.patient_id is not None:
        found.append(sanitize(f"patient {alert.patient_id}"))
    return found


def _value(alert: Alert) -> str:
    unit = alert.unit or ""
    return sanitize(f"{alert.worst_value:g} {DISPLAY_UNITS.get(unit, unit)}".rstrip())


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
