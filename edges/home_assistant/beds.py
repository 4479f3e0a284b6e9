"""What Home Assistant may show of each bed. Pure: the caller passes the time.

Missing data is never a value and never an all-clear: a value is shown while it is measured, and that there is no alert
only while the alert worker is known to run.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status
from vitals.alert import Alert
from vitals.alert_format import message_text, sort_alerts
from vitals.bed_snapshot import BedSnapshot, Condition
from vitals.clock import DeviceClock, Placement
from vitals.codec import ANY_TIME, decode
from vitals.news2 import LastValues
from vitals.open_alerts import REPLAY_GRACE, OpenAlerts
from vitals.reading import Reading, sign_values
from vitals.signs import SIGN_KEYS
from vitals.status import decode_status
from vitals.thresholds import STALE_AFTER, VERDICT_MAX_AGE
from vitals.topics import STACK_WARD, DeviceAddress, InvalidTopic, Topics

MAX_BEDS = 5_000  # a client may publish under any number of device names
MAX_TEXT = 250  # characters; a state of Home Assistant has at most 255
FORGET_AFTER = timedelta(seconds=60)  # a bed that the broker does not have any more, after a new connection
_ONLINE = timedelta(seconds=3 * HEARTBEAT_S)
_NOT_MEASURED = (Condition.OFFLINE, Condition.SILENT, Condition.WAITING)


@dataclass(frozen=True, slots=True)
class BedView:
    """A bed at one moment.

    values     the signs that are measured now; None: there is none that is not too old
    measured   whether the bed sends readings now
    alert      the most urgent open alert, as text; empty: none is open
    """

    status: Condition
    values: dict[str, float | None]
    measured: bool
    alert: str


@dataclass(slots=True)
class _Bed:
    snapshot: BedSnapshot
    clock: DeviceClock = field(default_factory=lambda: DeviceClock(STALE_AFTER))
    held: LastValues = field(default_factory=LastValues)
    patient: str | None = None
    announced: timedelta | None = None  # the interval, by the birth
    confirmed: bool = True  # received since the last connection


class Beds:
    """Every bed that the broker knows, and the open alerts."""

    def __init__(self, topics: Topics, now: datetime) -> None:
        self._topics = topics
        self._beds: dict[DeviceAddress, _Bed] = {}
        self._open = OpenAlerts(topics, now)
        self._workers: dict[str, datetime | None] = {}  # the last heartbeat; None: offline or unknown
        self._connected_at = now
        self._places: set[DeviceAddress] = set()  # with an alert since the start, such as those of the stack
        self.problem = ""
        self._services = topics.service("")
        self._alerts = f"{topics.root}/alerts/"

    @property
    def count(self) -> int:
        """Number of beds."""
        return len(self._beds)

    @property
    def filters(self) -> tuple[str, ...]:
        """What is to be subscribed to. Status and alerts are retained."""
        topics = self._topics
        return topics.status("+", "+"), topics.alerts(), topics.service("+"), topics.vitals("+", "+")

    def connected(self, now: datetime) -> None:
        """Begin with a new connection: no value and no state of the worker from before it is known to hold."""
        self._connected_at = now
        self._open.connected(now)
        self._workers = dict.fromkeys(self._workers)
        for bed in self._beds.values():
            bed.confirmed = False
        self.forget_values()

    def forget_values(self) -> None:
        """Forget what was measured; each bed is measured again from its next reading on."""
        for bed in self._beds.values():
            bed.clock = DeviceClock(STALE_AFTER)
            bed.snapshot = bed.snapshot.with_patient(None)

    def take(self, topic: str, payload: bytes, retained: bool, now: datetime) -> None:
        """Take a message of any kind; what cannot be read is ignored, and ingest keeps it."""
        if topic.startswith(self._services):
            status = decode_service_status(payload)
            if status is not None:
                self._take_service(topic.removeprefix(self._services), status, now, retained=retained)
            return
        if topic.startswith(self._alerts):
            self._open.update(topic, payload, now)
            return
        try:
            kind, address = self._topics.parse(topic)
        except InvalidTopic:
            return
        if kind == "status":
            self._take_status(address, payload)
        elif kind == "vitals" and not retained:  # a retained reading is of no known age
            arrival = self._topics.time_of_arrival(address, now)
            for reading in decode(payload, ANY_TIME, arrival).readings:
                self._take_reading(address, reading, now)

    def tick(self, now: datetime) -> None:
        """Apply what the time alone decides."""
        for bed in self._beds.values():
            self._apply(bed, bed.clock.settle(now))
        if self.is_complete(now):
            for address in [address for address, bed in self._beds.items() if not bed.confirmed]:
                del self._beds[address]

    def is_complete(self, now: datetime) -> bool:
        """Return whether a bed that is not known by now is gone."""
        return now - self._connected_at >= FORGET_AFTER

    def alerts_known(self, now: datetime) -> bool:
        """Return whether the alerts are those of now: each alert worker runs, and the broker has sent them all."""
        workers = self._workers.values()
        online = bool(workers) and all(beat is not None and now - beat <= _ONLINE for beat in workers)
        return online and now - self._connected_at >= REPLAY_GRACE

    def views(self, now: datetime) -> dict[DeviceAddress, BedView]:
        """Return every bed, and every place that had an open alert, such as one of the stack."""
        alerts: dict[DeviceAddress, list[Alert]] = {}
        for alert in sort_alerts(self._open.alerts(now, worker_online=self.alerts_known(now))):
            alerts.setdefault(DeviceAddress(alert.ward, alert.device_id), []).append(alert)
        found = {address: self._view(bed.snapshot, alerts.get(address, []), now) for address, bed in self._beds.items()}
        self._places |= alerts.keys()
        for address in self._places - found.keys():
            found[address] = self._view(BedSnapshot(address), alerts.get(address, []), now)
        return found

    def _view(self, snapshot: BedSnapshot, alerts: list[Alert], now: datetime) -> BedView:
        status = snapshot.condition(now)
        measured = status not in _NOT_MEASURED
        oldest = now - max(VERDICT_MAX_AGE, snapshot.silent_after)
        values: dict[str, float | None] = dict.fromkeys(SIGN_KEYS)
        if measured:
            values |= {key: last.value for key, last in snapshot.last_values.items() if last.time >= oldest}
        return BedView(status, values, measured, _text(alerts))

    def _take_service(self, name: str, status: ServiceStatus, now: datetime, *, retained: bool) -> None:
        if name.startswith("alerts") and "/" not in name:
            working = status.state == "online" and not retained and not status.problem
            self._workers[name] = now if working else None

    def _take_status(self, address: DeviceAddress, payload: bytes) -> None:
        try:
            status, _ = decode_status(payload)
        except ValueError:
            return
        if status.state == "forgotten":
            self._beds.pop(address, None)
            self._places.discard(address)
            self._open.forget(address)
            return
        bed = self._bed(address)
        if bed is None:
            return
        bed.snapshot = bed.snapshot.with_status(status.state, status.boot, status.interval_s)
        if status.interval_s:
            bed.announced = timedelta(seconds=status.interval_s)
        if status.state == "online":
            bed.clock.right_within = status.right_within(STALE_AFTER)

    def _take_reading(self, address: DeviceAddress, reading: Reading, now: datetime) -> None:
        bed = self._bed(address)
        if bed is not None:
            self._apply(bed, bed.clock.add(reading, now))

    def _apply(self, bed: _Bed, placed: list[tuple[Reading, datetime, Placement]]) -> None:
        for reading, arrival, placement in placed:
            if not placement.live:
                continue
            if reading.patient_id is not None and reading.patient_id != bed.patient:
                if not placement.newest:
                    continue  # late, or sent again: of the former patient
                bed.snapshot = bed.snapshot.with_patient(None)  # no value of one patient is shown as of another
                bed.patient = reading.patient_id
                bed.held = LastValues()
                bed.held.forget_before(placement.time)
            shown = bed.snapshot.shown_part(reading, arrival, placement, bed.clock, bed.held, None)
            if shown is None:
                continue  # sent again
            part, place = shown
            bed.held.update(part, sign_values(part), place.time)
            bed.snapshot = bed.snapshot.with_reading(part, min(place.time, arrival), newest=place.newest)
            interval = bed.clock.usual_interval(bed.announced)
            if interval is not None:
                bed.snapshot = replace(bed.snapshot, interval_s=interval.total_seconds())

    def _bed(self, address: DeviceAddress) -> _Bed | None:
        bed = self._beds.get(address)
        if bed is None:
            if address.ward == STACK_WARD:
                return None
            if len(self._beds) >= MAX_BEDS:
                self.problem = f"there are more than {MAX_BEDS} beds; the others are not in Home Assistant"
                return None
            bed = self._beds[address] = _Bed(BedSnapshot(address))
        bed.confirmed = True
        return bed


def _text(alerts: list[Alert]) -> str:
    if not alerts:
        return ""
    more = f" (and {len(alerts) - 1} more)" if len(alerts) > 1 else ""
    return f"{alerts[0].priority}: {message_text(alerts[0])}"[: MAX_TEXT - len(more)] + more
