"""Frames for the browsers: a snapshot of the ward once, and then its changes a few times a second. Pure.

All browsers that see the same wards receive the same frames, so a frame is encoded once and the same bytes go to all
of them. A frame holds numbers and texts; the page determines their appearance. Times are unix milliseconds of the
station's clock or of the device's. The page computes ages from `at`, because the browser's clock may be wrong.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from station.auth.scope import ALL_WARDS, WardScope
from station.bed import BedState
from station.ward import Ward
from vitals import alert_format
from vitals.alert import Alert, Change
from vitals.bed_snapshot import BedSnapshot, LastValue
from vitals.news2 import INPUTS
from vitals.signs import SIGNS
from vitals.thresholds import NEWS2_MAX_AGE, SILENT_AFTER, VALUE_MAX_AGE

ONE_ROUND_S = 2.0  # a device may send one message per sign, one after the other

_encode = msgspec.json.Encoder().encode


class ScoreView(Struct, frozen=True):
    """A NEWS2; `missing` inputs make it a lower bound."""

    total: int
    worst: int
    parts: dict[str, int]
    missing: tuple[str, ...]
    stale: tuple[str, ...]


class BedView(Struct, frozen=True, omit_defaults=True):
    """A bed. `values` has, by sign, the last value and how many seconds older than `time` it is.

    assigned       when the assignment of the bed changed last, for the page that shows it
    vacant_since   the discharge, if no value was measured after it
    """

    device: str
    ward: str
    name: str
    patient: str | None = None
    time: int | None = None
    online: bool = True
    silent_after: float = SILENT_AFTER.total_seconds()
    values: dict[str, tuple[float, float]] = {}
    sensor_off: tuple[str, ...] = ()
    on_oxygen: bool | None = None
    consciousness: str | None = None
    news2: ScoreView | None = None
    own_limits: bool = False
    assigned: int | None = None
    vacant_since: int | None = None


class AlertView(Struct, frozen=True, omit_defaults=True):
    """An open alert. `key` is ward, device and rule, as in its topic; `unanswered_since` is set by its attention."""

    key: str
    id: str
    ward: str
    device: str
    name: str
    rule: str
    priority: str
    kind: str
    state: str
    text: str
    raised: int
    changed: int
    revision: int
    patient: str | None = None
    sign: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    paused_until: int | None = None
    stale: bool = False
    unanswered_since: int | None = None
    worst_value: float | None = None
    worst_at: int | None = None


class OutageView(Struct, frozen=True):
    """A server or service that is down, since when, and what that means for the user."""

    name: str
    since: int
    text: str


class Frame(Struct, frozen=True, omit_defaults=True):
    """One message to the browsers. A `snapshot` replaces all before it; any other frame follows `number` - 1."""

    number: int
    at: int
    snapshot: bool = False
    beds: list[BedView] = []
    removed_beds: list[str] = []
    alerts: list[AlertView] = []
    removed_alerts: list[str] = []
    outages: list[OutageView] = []


def hello(version: str, *, history: bool, names: bool = False) -> dict[str, Any]:
    """Return what a page needs before the first frame: signs, inputs of the score, whether history and names exist."""
    signs = [
        {
            "key": sign.key,
            "label": sign.label,
            "short": sign.short,
            "unit": alert_format.DISPLAY_UNITS.get(sign.unit, sign.unit),
            "decimals": sign.decimals,
            "low": sign.low,
            "high": sign.high,
            "critical_above": sign.critical_above,
            "critical_below": sign.critical_below,
        }
        for sign in SIGNS
    ]
    return {
        "version": version,
        "signs": signs,
        "score_inputs": [{"key": key, "hold_s": NEWS2_MAX_AGE[key].total_seconds()} for key in INPUTS],
        "history": history,
        "names": names,
        "silent_after_s": SILENT_AFTER.total_seconds(),
        "held_for_s": VALUE_MAX_AGE.total_seconds(),
    }


def hello_for(hello: dict[str, Any], name: str, viewable: WardScope, actionable: WardScope) -> bytes:
    """Encode `hello` for one user, with the name and the wards to see and to act in; null for all."""
    user = {"name": alert_format.sanitize(name), "viewable": viewable.as_list(), "actionable": actionable.as_list()}
    return _encode({**hello, "user": user})


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since the last frame, collected once for all encoders: changed devices, every alert, the outages."""

    devices: frozenset[str]
    alerts: dict[str, AlertView]
    outages: list[OutageView]


def collect_changes(ward: Ward, now: datetime) -> Changes:
    """Return the changes of the ward since the last call, and reset them."""
    devices = frozenset(ward.changed | ward.gone)
    ward.changed.clear()
    ward.gone.clear()
    return Changes(devices, alert_views(ward, now), outage_views(ward, now))


class DeltaEncoder:
    """Encoder of the frames for all browsers that see the same wards; keeps what was sent last."""

    def __init__(self, ward: Ward, viewable: WardScope = ALL_WARDS) -> None:
        self.number = 0
        self._ward = ward
        self._sees = viewable
        self._devices: set[str] = set()  # devices that a page may show
        self._keys: set[str] = set()  # keys of the alerts that a page may show
        self._sent_alerts: dict[str, AlertView] = {}
        self._sent_outages: list[OutageView] = []

    def whole(self, now: datetime) -> bytes:
        """Encode a snapshot, for a browser that is new or too slow; the next `changes` follow it."""
        ward = self._ward
        beds = [bed_view(bed) for device, bed in ward.beds.items() if self._shows(device)]
        alerts = [alert for alert in alert_views(ward, now).values() if self._sees.includes(alert.ward)]
        self._devices.update(bed.device for bed in beds)
        self._keys.update(alert.key for alert in alerts)
        return _encode(
            Frame(self.number, unix_ms(now), snapshot=True, beds=beds, alerts=alerts, outages=outage_views(ward, now))
        )

    def changes(self, ward_changes: Changes, now: datetime, *, due: bool) -> bytes | None:
        """Encode what has changed since the last call; None without changes, unless a keepalive frame is `due`."""
        alerts = {key: alert for key, alert in ward_changes.alerts.items() if self._sees.includes(alert.ward)}
        changed_alerts = [alert for key, alert in alerts.items() if self._sent_alerts.get(key) != alert]
        over = self._gone(self._keys, alerts)
        beds = [bed_view(self._ward.beds[device]) for device in ward_changes.devices if self._shows(device)]
        gone = self._gone(self._devices & ward_changes.devices, {bed.device for bed in beds})
        if not (due or beds or gone or changed_alerts or over or ward_changes.outages != self._sent_outages):
            return None
        self._sent_alerts, self._sent_outages = alerts, ward_changes.outages
        self._devices = (self._devices | {bed.device for bed in beds}).difference(gone)
        self._keys = set(alerts)
        self.number += 1
        return _encode(Frame(self.number, unix_ms(now), False, beds, gone, changed_alerts, over, ward_changes.outages))

    def _shows(self, device: str) -> bool:
        bed = self._ward.beds.get(device)
        return bed is not None and self._sees.includes(bed.snapshot.bed.ward)

    @staticmethod
    def _gone(had: Collection[str], have: Collection[str]) -> list[str]:
        return [key for key in had if key not in have]


def bed_view(bed: BedState) -> BedView:
    """Convert a bed to the form that the page receives."""
    snapshot, score = bed.snapshot, bed.score
    return BedView(
        snapshot.bed.device,
        snapshot.bed.ward,
        snapshot.name,
        snapshot.patient,
        unix_ms_of(snapshot.seen_at),
        snapshot.online,
        snapshot.silent_after.total_seconds(),
        {key: (held.value, _age_behind(snapshot, held)) for key, held in snapshot.last_values.items()},
        snapshot.sensor_off,
        snapshot.on_oxygen,
        snapshot.consciousness,
        ScoreView(score.total, score.worst, score.parts, score.missing, score.stale) if score.parts else None,
        bed.limits is not None,
        unix_ms_of(bed.assigned_at),
        unix_ms_of(bed.vacant_since),
    )


def _age_behind(bed: BedSnapshot, known: LastValue) -> float:
    """Return by how many seconds a value is older than the last reading; 0 within one round of messages."""
    if bed.seen_at is None:
        return 0.0
    age = (bed.seen_at - known.time).total_seconds()
    return age if age > max(ONE_ROUND_S, bed.interval_s) else 0.0


def alert_views(ward: Ward, now: datetime) -> dict[str, AlertView]:
    """Return the open alerts by key, the most urgent first."""
    alerts = ward.alerts(now)
    is_stale = ward.is_stale()
    return {(shown := alert_view(alert, stale=is_stale(alert))).key: shown for alert in alerts}


def alert_view(alert: Alert, *, stale: bool) -> AlertView:
    """Convert an alert to the form that the page receives."""
    acknowledged_at = alert.acknowledged_at
    if acknowledged_at is None and alert.change is Change.ACKNOWLEDGED:
        acknowledged_at = alert.changed_at  # an alert worker before 0.2 publishes no time
    return AlertView(
        f"{alert.ward}/{alert.device_id}/{alert.rule}",
        str(alert.alert_id),
        alert.ward,
        alert.device_id,
        alert_format.bed_name(alert.ward, alert.device_id),
        alert.rule,
        str(alert.priority),
        alert.kind,
        str(alert.state),
        alert_format.message_text(alert),
        unix_ms(alert.raised_at),
        unix_ms(alert.changed_at),
        alert.revision,
        alert.patient_id,
        alert.sign,
        None if alert.acknowledged_by is None else alert_format.sanitize(alert.acknowledged_by),
        unix_ms_of(acknowledged_at),
        unix_ms_of(alert.audio_paused_until),
        stale,
        unix_ms_of(alert.active_since) if alert_format.is_unanswered(alert) else None,
        alert.worst_value,
        unix_ms_of(alert.worst_value_at),
    )


def outage_views(ward: Ward, now: datetime) -> list[OutageView]:
    """Return the outages in the form that the page receives."""
    return [OutageView(outage.name, unix_ms(outage.since), outage.text) for outage in ward.services.outages(now)]


def recent(beds: dict[str, BedState], devices: list[str], seconds: float) -> bytes:
    """Encode the last `seconds` of each device: unix seconds, and by sign the values or null."""
    found: dict[str, Any] = {}
    for device in devices:
        points = list(beds[device].recent(timedelta(seconds=seconds)))
        values = zip(*(values for _, values in points), strict=True) if points else [() for _ in SIGNS]
        columns = zip(SIGNS, values, strict=True)
        named = {sign.key: column for sign, column in columns if any(value is not None for value in column)}
        found[device] = {"time": [second for second, _ in points], **named}
    return _encode(found)


def unix_ms(moment: datetime) -> int:
    """Return the time in unix milliseconds."""
    return round(moment.timestamp() * 1000)


def unix_ms_of(moment: datetime | None) -> int | None:
    """Return the time in unix milliseconds, if there is one."""
    return None if moment is None else unix_ms(moment)
