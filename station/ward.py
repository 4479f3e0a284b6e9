"""State of the ward: every message is applied here. Pure: the caller passes the time and the message.

`listener` passes the messages, `frame` encodes changes, `api` reads the state. No message raises an error, whatever it
holds: a client of the broker may publish anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from mqtt.logins import LoginReport, decode_login_report
from mqtt.service_status import decode_service_status
from station.bed import BedState
from station.services import Services
from vitals.alert import Alert
from vitals.alert_format import sort_alerts
from vitals.assignment import Assignment, decode_assignment
from vitals.codec import ANY_TIME, decode
from vitals.limits import Limits, RequestRejected, decode_limits
from vitals.open_alerts import OpenAlerts
from vitals.payload import DECODE_ERRORS
from vitals.reading import MAX_TEXT
from vitals.rules import RuleSet, decode_rules
from vitals.status import decode_status
from vitals.thresholds import STALE_AFTER
from vitals.topics import STACK_WARD, DeviceAddress, InvalidTopic, Topics

MAX_BEDS = 5_000  # a client may publish under any number of device names


class Rejection(msgspec.Struct, frozen=True):
    """A request on `topic` that a service rejected."""

    topic: str
    reason: str


_decode_rejection = msgspec.json.Decoder(Rejection).decode


@dataclass(slots=True)
class Counts:
    """Numbers of received messages, for the metrics."""

    messages: int = 0
    readings: int = 0
    rejected: int = 0


class Ward:
    """All beds by device, the open alerts, the rules, limits and assignments, and the outages.

    on_alert      is called for every change of an alert
    on_rejection  is called for every rejection
    """

    def __init__(
        self,
        topics: Topics,
        services: Services,
        now: datetime,
        *,
        on_alert: Callable[[Alert], None] = lambda _: None,
        on_rejection: Callable[[Rejection], None] = lambda _: None,
    ) -> None:
        self.topics = topics
        self.services = services
        self.beds: dict[str, BedState] = {}
        self.rules: RuleSet | None = None
        self.limits: dict[str, Limits] = {}
        self.assignments: dict[str, Assignment] = {}
        self.overwritten: set[str] = set()  # devices whose retained assignment a statement of use has replaced
        self.counts = Counts()
        self.changed: set[str] = set()  # devices that changed since the last frame
        self._undecided: set[str] = set()  # devices with a reading that is held back
        self._known_by_alert: set[str] = set()  # beds of which only an open alert is known
        self.gone: set[str] = set()  # devices that were removed since the last frame
        self.observers: list[Callable[[str, bytes, bool, datetime], None]] = []  # of readings and status
        self.login_reports: dict[str, LoginReport] = {}  # by ingest
        self.worker = "alerts"  # the alert worker: the service that published its rules
        self._board = OpenAlerts(topics, now)
        self._on_alert = on_alert
        self._on_rejection = on_rejection
        self.on_assignment: Callable[[], None] = lambda: None  # called after each assignment and discharge
        self._services_begin = f"{topics.root}/services/"
        self._alerts_begin = f"{topics.root}/alerts/"

    # --- messages ---

    def connected(self, now: datetime) -> None:
        """Record a connection to the broker."""
        self.services.connected(now)
        self._board.connected(now)

    def take(self, topic: str, payload: bytes, retained: bool, now: datetime) -> None:
        """Take one message of any kind."""
        self.counts.messages += 1
        if topic.startswith(self._alerts_begin):
            alert = self._board.update(topic, payload, now)
            self._follow_alerts(topic, now)
            if alert is not None:
                self._on_alert(alert)
        elif topic.startswith(self._services_begin):
            self._take_service(topic.removeprefix(self._services_begin), payload, retained, now)
        else:
            try:
                kind, place = self.topics.parse(topic)
            except InvalidTopic:
                self.counts.rejected += 1
                return
            if kind in ("vitals", "status"):
                for observe in self.observers:
                    observe(topic, payload, retained, now)
            if kind == "vitals":
                self._take_readings(place, payload, retained, now)
            elif kind == "status":
                self._take_status(place, payload, now)
            elif kind == "assignments":
                self._take_assignment(place, payload, now)
            else:
                self._take_limits(place, payload)

    # --- state ---

    def alerts(self, now: datetime) -> list[Alert]:
        """Return the open alerts, the most urgent first."""
        return sort_alerts(self._board.alerts(now, worker_online=self.services.is_up(self.worker, now)))

    def is_stale(self) -> Callable[[Alert], bool]:
        """Return a function: whether an alert was not repeated since the last connection."""
        stale = self._board.stale()
        return lambda alert: alert.alert_id in stale

    def wards(self) -> set[str]:
        """Return the wards of all known beds and alerts."""
        return {bed.snapshot.bed.ward for bed in self.beds.values()} | self._board.wards()

    # --- by kind of message ---

    def _follow_alerts(self, topic: str, now: datetime) -> None:
        """Add the bed of an open alert, even if nothing else of it is known; remove it with its last one."""
        try:
            _, place, _ = self.topics.parse_rule(topic)
        except InvalidTopic:
            return
        if place.ward == STACK_WARD:
            return
        has_alert = self._board.has_open(place.device)
        if has_alert and place.device not in self.beds and self._bed(place, now) is not None:
            self._known_by_alert.add(place.device)
            self._touch(place.device)
        elif not has_alert and place.device in self._known_by_alert:
            self._remove(place.device)

    def _remove(self, device: str) -> None:
        del self.beds[device]
        self._known_by_alert.discard(device)
        self.changed.discard(device)
        self.gone.add(device)

    def _take_readings(self, place: DeviceAddress, payload: bytes, retained: bool, now: datetime) -> None:
        decoded = decode(payload, ANY_TIME, self.topics.time_of_arrival(place, now, retained=retained))
        self.counts.readings += len(decoded.readings)
        self.counts.rejected += bool(decoded.problems)
        bed = self._bed(place, now) if decoded.readings else None
        if bed is None:
            return
        self._known_by_alert.discard(place.device)
        # A retained reading is of no known age: it shows that there is a bed, and nothing about the present.
        for reading in [] if retained else decoded.readings:
            bed.add_reading(reading, place.ward, now)
        if bed.clock.undecided:
            self._undecided.add(place.device)
        self._touch(place.device)

    def settle(self, now: datetime) -> None:
        """Apply the readings that were held back until a pause showed that they are no backlog."""
        for device in list(self._undecided):
            bed = self.beds.get(device)
            if bed is not None:
                bed.settle(now)
                self._touch(device)
            if bed is None or not bed.clock.undecided:
                self._undecided.discard(device)

    def _take_status(self, place: DeviceAddress, payload: bytes, now: datetime) -> None:
        try:
            status, _ = decode_status(payload)
        except ValueError:
            self.counts.rejected += 1
            return
        if status.state == "forgotten":
            bed = self.beds.get(place.device)
            if bed is not None and bed.snapshot.bed.ward == place.ward:  # a device that moved clears its old status
                self._remove(place.device)
                self._board.forget(place)
            return
        bed = self._bed(place, now)
        if bed is not None:
            self._known_by_alert.discard(place.device)
            if status.state == "online" and place.ward != bed.snapshot.bed.ward and status.boot >= bed.snapshot.boot:
                bed.move(place.ward)
            if place.ward == bed.snapshot.bed.ward:
                bed.snapshot = bed.snapshot.with_status(status.state, status.boot, status.interval_s)
                if status.state == "online":
                    bed.clock.right_within = status.right_within(STALE_AFTER)
                if status.interval_s:
                    bed.announced = timedelta(seconds=status.interval_s)
            self._touch(place.device)

    def _take_limits(self, place: DeviceAddress, payload: bytes) -> None:
        try:
            limits = decode_limits(payload)
        except RequestRejected:
            self.counts.rejected += 1  # the alert worker publishes the reason
            return
        if limits is None:
            self.limits.pop(place.device, None)
        else:
            self.limits[place.device] = limits
        bed = self.beds.get(place.device)
        if bed is not None:
            bed.use(limits, self.rules)
            self._touch(place.device)

    def _take_assignment(self, place: DeviceAddress, payload: bytes, now: datetime) -> None:
        try:
            assignment = decode_assignment(payload)
        except RequestRejected:
            self.counts.rejected += 1  # the alert worker publishes the reason
            return
        if assignment is not None and assignment.is_overtaken(self.assignments.get(place.device)):
            self.overwritten.add(place.device)
            self.on_assignment()
            return
        self.overwritten.discard(place.device)
        if assignment is None:
            self.assignments.pop(place.device, None)
            bed = self.beds.get(place.device)
        else:
            if assignment.is_same_discharge(self.assignments.get(place.device)):
                self._continue_discharge(place, assignment)  # repeated; the bed may be in use since then
                return
            bed = self._bed(place, now)  # shown even if its device is silent
            if bed is not None:
                self._known_by_alert.discard(place.device)
                self.assignments[place.device] = assignment
        if bed is not None:
            bed.assign(assignment, now)
            self._touch(place.device)
        self.on_assignment()

    def _continue_discharge(self, place: DeviceAddress, assignment: Assignment) -> None:
        if assignment.in_use_since is not None:
            self.assignments[place.device] = assignment
            self.beds[place.device].vacant_since = None
            self._touch(place.device)
        self.on_assignment()

    def newly_in_use(self) -> list[DeviceAddress]:
        """Return the discharged beds with a value since then whose retained discharge does not state it."""
        return [
            bed.snapshot.bed
            for device, assignment in self.assignments.items()
            if assignment.is_discharge and assignment.in_use_since is None
            if (bed := self.beds.get(device)) is not None and bed.vacant_since is None
        ]

    def _take_service(self, name: str, payload: bytes, retained: bool, now: datetime) -> None:
        service, _, what = name.partition("/")
        if what == "rejections" or what.startswith("rejections/"):
            try:
                rejection = _decode_rejection(payload)
            except DECODE_ERRORS:
                self.counts.rejected += 1
                return
            self._on_rejection(Rejection(rejection.topic[: 2 * MAX_TEXT], rejection.reason[: 5 * MAX_TEXT]))
        elif what == "rules":
            self._take_rules(service, payload)
        elif what == "logins":
            report = decode_login_report(payload)
            if report is not None:
                self.login_reports[service] = report
        elif not what:
            presence = decode_service_status(payload)
            if presence is not None:
                self.services.take(service, presence, retained, now)

    def _take_rules(self, service: str, payload: bytes) -> None:
        try:
            self.rules = decode_rules(payload)
        except ValueError:
            self.counts.rejected += 1
            return
        self.worker = service
        for device, bed in self.beds.items():
            bed.use(bed.limits, self.rules)
            self._touch(device)

    def _bed(self, place: DeviceAddress, now: datetime) -> BedState | None:
        bed = self.beds.get(place.device)
        if bed is None:
            if len(self.beds) >= MAX_BEDS:
                self.counts.rejected += 1
                return None
            bed = self.beds[place.device] = BedState(place, self.limits.get(place.device), self.rules)
            if place.device in self.assignments:
                bed.assign(self.assignments[place.device], now)
        return bed

    def _touch(self, device: str) -> None:
        self.changed.add(device)
        self.gone.discard(device)
