"""Responses of the API from the state of the ward. Pure: the caller passes the time."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from station import api_models
from station.auth.scope import WardScope
from station.bed import BedState
from station.ward import Ward
from vitals.alert import Alert
from vitals.alert_format import DISPLAY_UNITS
from vitals.bed_snapshot import sort_beds
from vitals.signs import SIGNS
from vitals.thresholds import VALUE_MAX_AGE

HOUR_COLUMNS = ("time", "ward", "patient_id", "readings", "minutes", "news2")


def ward(known: Ward, name: str | None, sees: WardScope, now: datetime) -> api_models.Ward:
    """Return one ward, or without a name all that this user may see."""
    alerts: dict[str, list[Alert]] = {}
    for alert in known.alerts(now):
        alerts.setdefault(alert.device_id, []).append(alert)
    shown = [
        bed
        for bed in known.beds.values()
        if name in (None, bed.snapshot.bed.ward) and sees.includes(bed.snapshot.bed.ward)
    ]
    devices = [snapshot.bed.device for snapshot in sort_beds(bed.snapshot for bed in shown)]
    stale = known.is_stale()
    beds = [_bed(known.beds[device], _seen(alerts.get(device, []), sees), stale, now) for device in devices]
    return api_models.Ward(at=now, beds=beds, outages=_outages(known, now))


def bed(known: Ward, device: str, sees: WardScope, now: datetime) -> api_models.BedResource | None:
    """Return one bed; None if it is unknown or in a ward that this user may not see."""
    found = known.beds.get(device)
    if found is None or not sees.includes(found.snapshot.bed.ward):
        return None
    mine = [alert for alert in known.alerts(now) if alert.device_id == device]
    return _bed(found, _seen(mine, sees), known.is_stale(), now)


def alerts(known: Ward, name: str | None, sees: WardScope, now: datetime) -> api_models.Alerts:
    """Return the open alerts of one ward, or without a name of all that this user may see."""
    stale = known.is_stale()
    mine = [_alert(alert, stale) for alert in _seen(known.alerts(now), sees) if name in (None, alert.ward)]
    return api_models.Alerts(at=now, alerts=mine, outages=_outages(known, now))


def _outages(known: Ward, now: datetime) -> list[api_models.Outage]:
    return [api_models.Outage(name=one.name, since=one.since, text=one.text) for one in known.services.outages(now)]


def series(device: str, rows: Iterable[dict[str, Any]]) -> api_models.Series:
    """Convert the rows of `vitals_series` to columns, the form that a chart needs."""
    listed = list(rows)
    signs = {
        sign.key: api_models.Points(
            unit=sign.unit,
            avg=[row[f"{sign.key}_avg"] for row in listed],
            min=[row[f"{sign.key}_min"] for row in listed],
            max=[row[f"{sign.key}_max"] for row in listed],
            n=[row[f"{sign.key}_n"] or 0 for row in listed],
        )
        for sign in SIGNS
    }
    times, readings = [row["time"] for row in listed], [row["readings"] for row in listed]
    step_s = listed[0]["step_s"] if listed else None
    return api_models.Series(device=device, step_s=step_s, time=times, readings=readings, signs=signs)


def past_alerts(device: str, rows: Iterable[dict[str, Any]]) -> api_models.PastAlerts:
    """Convert the rows of the view `alert`, each with the `total` of the range."""
    listed = list(rows)
    total = listed[0]["total"] if listed else 0
    found = [past_alert(**{name: value for name, value in row.items() if name != "total"}) for row in listed]
    return api_models.PastAlerts(device=device, total=total, alerts=found)


def past_alert(alert_id: UUID, worst_priority: str, text: str, unit: str | None, **rest: Any) -> api_models.PastAlert:
    """Convert a row of the view `alert`."""
    spoken = text.replace(unit, DISPLAY_UNITS.get(unit, unit)) if unit else text
    return api_models.PastAlert(alert_id=str(alert_id), priority=worst_priority, text=spoken, **rest)


def alert_snapshot(
    alert_id: UUID, raised_at: datetime, readings: dict[str, list[Any]], **rest: Any
) -> api_models.AlertSnapshot:
    """Convert a row of the table `alert_snapshot`."""
    signs = {
        sign.key: api_models.SignValues(unit=sign.unit, values=readings[sign.key])
        for sign in SIGNS
        if sign.key in readings
    }
    times = [raised_at + timedelta(seconds=seconds) for seconds in readings.get("seconds", [])]
    return api_models.AlertSnapshot(alert_id=str(alert_id), raised_at=raised_at, time=times, signs=signs, **rest)


def report(device: str, day: date, found: dict[str, Any]) -> api_models.Report:
    """Convert the rows of `bed_report` and of the assignments."""
    bounds = {name: found[name] for name in ("time_zone", "start", "end")}
    return api_models.Report(
        device=device,
        day=day,
        hours=[_report_hour(row) for row in found["hours"]],
        assignments=[api_models.Assigned(**row) for row in found["assignments"]],
        **bounds,
    )


def _report_hour(row: dict[str, Any]) -> api_models.ReportHour:
    signs = {
        sign.key: api_models.Spread(**{part: row[f"{sign.key}_{part}"] for part in ("avg", "min", "max")})
        for sign in SIGNS
    }
    return api_models.ReportHour(signs=signs, **{name: row[name] for name in HOUR_COLUMNS})


def _seen(alerts: list[Alert], sees: WardScope) -> list[Alert]:
    # A device that has moved may have an open alert in its former ward.
    return [alert for alert in alerts if sees.includes(alert.ward)]


def _bed(bed: BedState, alerts: list[Alert], stale: Callable[[Alert], bool], now: datetime) -> api_models.BedResource:
    snapshot, last = bed.snapshot, bed.snapshot.last
    age = snapshot.age(now)
    score = bed.score
    values = {
        sign.key: api_models.Value(value=held.value, unit=sign.unit, time=held.time)
        for sign in SIGNS
        if (held := snapshot.last_values.get(sign.key)) is not None and now - held.time <= VALUE_MAX_AGE
    }
    return api_models.BedResource(
        device=snapshot.bed.device,
        ward=snapshot.bed.ward,
        patient_id=snapshot.patient,
        condition=str(bed.condition(now)),
        time=None if last is None else last.time,
        age_s=None if age is None else age.total_seconds(),
        values=values,
        sensor_off=list(snapshot.sensor_off),
        on_oxygen=snapshot.on_oxygen,
        consciousness=snapshot.consciousness,
        news2=api_models.Score(
            total=score.total, worst_part=score.worst, parts=score.parts, missing=list(score.missing)
        )
        if score.parts
        else None,
        alerts=[_alert(alert, stale) for alert in alerts],
    )


def _alert(alert: Alert, stale: Callable[[Alert], bool]) -> api_models.Alert:
    fields = msgspec.to_builtins(alert) | {"device": alert.device_id, "stale": stale(alert)}
    return api_models.Alert.model_validate(fields)
