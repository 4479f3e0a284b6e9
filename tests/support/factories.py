"""An alert as a listener gets it, for tests of what shows alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vitals.alert import Alert, Change, Kind, Priority, State, alert_id

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def make_alert(
    *,
    ward: str = "icu-1",
    device: str = "icu-1-bed-01",
    rule: str = "spo2-low",
    ago: float = 12.0,
    priority: Priority = Priority.HIGH,
    kind: Kind = "physiological",
    state: State = State.ACTIVE,
    text: str = "Oxygen saturation low: 82 %, limit below 90",
    **rest: Any,
) -> Alert:
    """One that was raised `ago` seconds before NOW."""
    raised = NOW - timedelta(seconds=ago)
    fields: dict[str, Any] = {
        "alert_id": alert_id(device, rule, raised),
        "revision": 1,
        "change": Change.RAISED,
        "level": 1,
        "patient_id": "p-0001",
        "sign": "spo2",
        "value": 82.0,
        "limit": 90.0,
        "since": raised,
        "raised_at": raised,
        "changed_at": raised,
        "reading_at": raised,
        "unit": "%",
    }
    known = {"ward": ward, "device_id": device, "rule": rule, "priority": priority, "kind": kind, "state": state}
    return Alert(**fields | known | {"text": text} | rest)
