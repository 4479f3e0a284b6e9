"""All beds of a worker: decode a message and pass it to its bed. Pure: the caller passes the time.

`alerts.worker` passes what its session delivers and publishes the events that come back. Rejected requests of users are
in `rejections`.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.engine.bed import NEVER, Bed
from alerts.engine.broker_drop_alert import RULE as BROKER_DROPPING
from alerts.engine.broker_drop_alert import BrokerDropAlert
from alerts.engine.commands import carry_out
from alerts.engine.context_changes import DEVICE_REMOVED, apply_rules, change_assignment, close_all, discharge
from alerts.engine.nothing_stored_alert import RULE as NOTHING_STORED
from alerts.engine.nothing_stored_alert import NothingStoredAlerts
from alerts.engine.rate_limiter import RateLimiter
from alerts.engine.recovery import restore
from alerts.engine.schedule import Schedule, find_active_from
from alerts.engine.timers import apply_status, check_device, restart_no_data_timers
from mqtt.service_status import decode_service_status, is_ingest
from vitals.alert import Alert, Event, State
from vitals.assignment import Assignment, decode_assignment, rules_for_bed
from vitals.codec import ANY_TIME, decode
from vitals.command import decode_command
from vitals.limits import Limits, RequestRejected, decode_limits
from vitals.reading import has_value
from vitals.rules import RuleSet
from vitals.status import decode_status
from vitals.topics import STACK_WARD, DeviceAddress, InvalidTopic, Topics

log = logging.getLogger("alerts")

CLEARED_RETENTION = timedelta(hours=1)
"""How long a cleared alert stays on its topic (MQTT 5 message expiry), and can be republished."""
COMMAND_COST_BYTES = 16 * 1024  # bytes' worth: a person presses fewer than 16 keys a second
MAX_CACHED_TOPICS = 50_000  # a client may invent topics without end


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected request: its topic and the reason. `person`: the user at the broker, if the topic names one."""

    topic: str
    reason: str
    person: str | None = None


class Engine:
    """The beds by device, their limits and assignments, and the alerts that were cleared in the last hour."""

    def __init__(self, topics: Topics, rules: RuleSet, now: datetime) -> None:
        self.rules = rules
        self.beds: dict[str, Bed] = {}
        self.limits: dict[str, Limits] = {}
        self.assignments: dict[str, Assignment] = {}
        self.cleared: dict[tuple[str, str], Alert] = {}
        self.rejections: list[Rejection] = []
        self.broker = BrokerDropAlert(now)
        self.ingests = NothingStoredAlerts()
        self.evaluated = 0
        self.throttled = 0
        self.rejected = 0
        self._topics = topics
        self._rate_limiter = RateLimiter()
        self._schedule = Schedule()
        self._newest_throttled: dict[bytes, bytes] = {}  # by topic, of devices that exceed their share
        self._parsed_topics: dict[bytes, tuple[str, DeviceAddress]] = {}

    def restore(self, alerts: Iterable[Alert], now: datetime) -> Sequence[Event]:
        """Restore the retained alerts; the events correct what a killed worker left at the broker."""
        retained = list(alerts)
        of_stack: dict[str, BrokerDropAlert | NothingStoredAlerts]
        of_stack = {BROKER_DROPPING.name: self.broker, NOTHING_STORED.name: self.ingests}
        of_beds = []
        for alert in retained:
            if alert.ward == STACK_WARD and alert.rule in of_stack:
                of_stack[alert.rule].restore(alert, now)
            else:
                of_beds.append(alert)
        self.beds, events = restore(self.rules, of_beds, now)
        self._schedule.restart(self.beds.values())
        self.cleared = {
            (a.device_id, a.rule): a for a in retained if not a.is_open and now - a.changed_at < CLEARED_RETENTION
        }
        return self._record_cleared(events)

    def take(
        self, topic: bytes, payload: bytes, retained: bool, now: datetime, *, dup: bool = False
    ) -> Sequence[Event]:
        """Take a message of any kind; return the changes. Never raises because of its content.

        retained, dup   MQTT's flags: the message is of unknown age; it may have been delivered before
        """
        try:
            known = self._parsed_topics.get(topic)
            if known is None:
                name = topic.decode(errors="replace")
                if name.startswith("$SYS/"):
                    return self._record_cleared(self.broker.take(name, payload, now))
                if name.startswith(f"{self._topics.root}/alert-commands/"):
                    return self._record_cleared(self._take_command(name, payload, retained, now))
                if name.startswith(f"{self._topics.root}/services/"):
                    return self._record_cleared(self._take_service(name, payload, retained, now))
                known = self._parse_topic(topic, name)
        except InvalidTopic:
            self.rejected += 1  # ingest keeps it, with its reason
            return ()
        kind, place = known
        if not self._rate_limiter.allow(place.device, len(payload), now):
            self._throttle(topic, place, payload, now)
            return ()
        if kind == "vitals":
            # A retained reading is of no known age: it says nothing about the present.
            return () if retained else self._take_readings(place, payload, now, dup=dup)
        if kind == "status":
            return self._record_cleared(self._take_status(place, payload, now, retained=retained))
        return self._record_cleared(self._take_setting(kind, topic.decode(), place, payload, now, retained=retained))

    def tick(self, now: datetime) -> Sequence[Event]:
        """Apply what only time changes; call it about once a second."""
        for key in [key for key, alert in self.cleared.items() if now - alert.changed_at >= CLEARED_RETENTION]:
            del self.cleared[key]
        events = [*self._record_cleared(self._take_newest(now))]
        events += self._schedule.tick(self.beds, now)
        return self._record_cleared([*events, *self.broker.tick(now), *self.ingests.tick(now)])

    def restart_no_data_timers(self, now: datetime) -> None:
        """Restart the no-data timers of all beds after the worker was disconnected."""
        for bed in self.beds.values():
            restart_no_data_timers(bed, now)
        self.ingests.restart_timers(now)

    def apply_rules(self, rules: RuleSet, now: datetime) -> Sequence[Event]:
        """Apply another rule file, with each bed's own limits unless they contradict it."""
        self.rules = rules
        events: list[Event] = []
        for bed in self.beds.values():
            events += self._apply_limits(bed, now)
        self._schedule.restart(self.beds.values())
        return self._record_cleared(events)

    def current_alerts(self) -> list[Alert]:
        """Return every alert that is retained: the open ones, and those cleared in the last hour."""
        still_open = [alert for bed in (*self.beds.values(), *self.stack_beds) for alert in bed.alerts.values()]
        reopened = {(alert.device_id, alert.rule) for alert in still_open}
        return still_open + [alert for key, alert in self.cleared.items() if key not in reopened]

    @property
    def stack_beds(self) -> Sequence[Bed]:
        """The beds of the alerts about the stack itself."""
        return [self.broker.bed, *(alert.bed for alert in self.ingests.alerts)]

    # --- by kind of message ---

    def _take_readings(
        self, place: DeviceAddress, payload: bytes, now: datetime, *, dup: bool = False
    ) -> Sequence[Event]:
        # Whatever its clock says, the device measures a patient now.
        # Two conditions stand here and in what is called behind them: nearly always they save the call.
        topics = self._topics
        decoded = decode(payload, ANY_TIME, topics.time_of_arrival(place, now) if topics.arrival_time else None)
        bed = self.beds.get(place.device) or self._bed(place, now)
        readings = decoded.readings
        if decoded.problems:
            self.rejected += 1
            if bed.held.is_empty:  # what has no usable value is no sign of life before the first one
                readings = [reading for reading in readings if has_value(reading) or reading.sensor_off]
        events: list[Event] = []
        for reading in readings:
            events += bed.evaluate(reading, place.ward, now, dup=dup)
        if now >= bed.next_check:  # here the bed's state is in the processor's cache
            events += check_device(bed, now)
        if events:
            self._schedule.activate(bed)
        elif bed.counts or bed.clock.undecided:
            active_from = find_active_from(bed)
            if active_from is not None:
                self._schedule.activate(bed, active_from)
        self.evaluated += len(decoded.readings)
        return self._record_cleared(events) if events else ()

    def _take_status(
        self, place: DeviceAddress, payload: bytes, now: datetime, *, retained: bool = False
    ) -> Sequence[Event]:
        try:
            status, _ = decode_status(payload)
        except ValueError:
            self.rejected += 1
            return ()
        if status.state == "forgotten":
            bed = self.beds.get(place.device)
            if bed is None or bed.ward != place.ward:
                return ()  # a device that moved deletes its old status
            del self.beds[place.device]
            return close_all(bed, DEVICE_REMOVED, now)
        bed = self._bed(place, now)
        if retained and place.ward != bed.ward and status.boot < (bed.boot or 0):
            return ()  # what it left in the ward that it was moved from
        online = status.state == "online"
        self._schedule.activate(bed)
        if online:
            bed.clock.right_within = status.right_within(bed.rules.stale_after)
        return apply_status(bed, online=online, boot=status.boot, interval_s=status.interval_s, now=now)

    def _take_service(self, topic: str, payload: bytes, retained: bool, now: datetime) -> Sequence[Event]:
        name = topic.removeprefix(self._topics.service(""))
        status = decode_service_status(payload) if is_ingest(name) else None
        if not is_ingest(name) or (status is None and payload):
            return ()
        return self.ingests.take(name, status, retained, now)

    def _take_command(self, topic: str, payload: bytes, retained: bool, now: datetime) -> Sequence[Event]:
        person: str | None = None
        try:
            if retained:
                # It would be delivered at every start and acknowledge an alert that its author has not seen.
                raise RequestRejected("an acknowledgement must not be retained")
            place, rule, person = self._topics.parse_alert_command(topic)
            if person is not None and not self._rate_limiter.allow(f"{person} (person)", COMMAND_COST_BYTES, now):
                self.throttled += 1  # an answer to each would double the messages
                return ()
            command = decode_command(payload, person)
            of_stack = {bed.device: bed for bed in self.stack_beds} if place.ward == STACK_WARD else {}
            bed = of_stack.get(place.device) or self.beds.get(place.device)
            if bed is None:
                raise RequestRejected(f"no alert of {place.device} is open")
            self._schedule.activate(bed)
            return carry_out(bed, rule, command, now)
        except (RequestRejected, InvalidTopic) as refused:
            self._reject(topic, refused, person)
            return ()

    def _take_limits(self, topic: str, place: DeviceAddress, payload: bytes, now: datetime) -> Sequence[Event]:
        try:
            limits = decode_limits(payload)
            if limits is not None:
                rules_for_bed(self.rules, self.assignments.get(place.device), limits, limits.patient_id)
        except RequestRejected as refused:
            self._reject(topic, refused)
            return ()
        if limits is None:
            self.limits.pop(place.device, None)
        else:
            self.limits[place.device] = limits
        if limits is None and place.device not in self.beds:
            return ()  # a removed device's limits are deleted after its status, and it is no bed any more
        bed = self._bed(place, now)
        self._schedule.activate(bed)
        return self._apply_limits(bed, now)

    def _take_setting(
        self, kind: str, topic: str, place: DeviceAddress, payload: bytes, now: datetime, *, retained: bool = False
    ) -> Sequence[Event]:
        if kind == "limits":
            return self._take_limits(topic, place, payload, now)
        try:
            assignment = decode_assignment(payload)
        except RequestRejected as rejected:
            self._reject(topic, rejected)
            return ()
        if assignment is not None and assignment.is_overtaken(self.assignments.get(place.device)):
            return ()
        before = self.assignments.pop(place.device, None)
        if assignment is not None:
            self.assignments[place.device] = assignment
        if (assignment is None or assignment.is_discharge) and place.device not in self.beds:
            return ()
        bed = self._bed(place, now)
        self._schedule.activate(bed)
        if assignment is not None and assignment.is_discharge:
            if assignment == before:
                return ()  # repeated; what has happened since then stays
            since = _discharged_at(assignment, now) if retained or assignment.is_same_discharge(before) else now
            return discharge(bed, since, now, in_use=assignment.in_use_since is not None)
        try:
            return change_assignment(bed, assignment, now)
        except RequestRejected as rejected:  # the bed's own limits contradict this age group
            self._reject(self._topics.limits(bed.ward, bed.device), rejected)
            bed.limits = None
            return change_assignment(bed, assignment, now)

    def _apply_limits(self, bed: Bed, now: datetime) -> Sequence[Event]:
        try:
            return apply_rules(bed, self.rules, self.limits.get(bed.device), now)
        except RequestRejected as refused:  # they contradict the new rule file
            self._reject(self._topics.limits(bed.ward, bed.device), refused)
            return apply_rules(bed, self.rules, None, now)

    # --- devices that exceed their share ---

    def _throttle(self, topic: bytes, place: DeviceAddress, payload: bytes, now: datetime) -> None:
        self.throttled += 1
        self._newest_throttled[topic] = payload
        if self._rate_limiter.should_log(place.device, now):
            log.warning(
                "%s of %s sends more than its share; of the messages beyond it only the newest is evaluated, "
                "twice a second",
                place.device,
                place.ward,
                extra={"ward": place.ward, "device": place.device},
            )

    def _take_newest(self, now: datetime) -> Sequence[Event]:
        newest, self._newest_throttled = self._newest_throttled, {}
        events: list[Event] = []
        for topic, payload in newest.items():
            kind, place = self._parsed_topics.get(topic) or self._parse_topic(topic, topic.decode())
            if kind == "vitals":
                events += self._take_readings(place, payload, now)
            elif kind == "status":
                events += self._take_status(place, payload, now)
            else:
                events += self._take_setting(kind, topic.decode(), place, payload, now)
        return events

    # --- the rest ---

    def _bed(self, place: DeviceAddress, now: datetime) -> Bed:
        """Return the bed of a device; add it with its assignment and limits, if it is new."""
        bed = self.beds.get(place.device)
        if bed is not None:
            return bed
        bed = self.beds[place.device] = Bed(place.device, place.ward, self.rules, now)
        self._schedule.add(bed)
        assignment = self.assignments.get(place.device)
        if assignment is not None and assignment.is_discharge:
            discharge(bed, _discharged_at(assignment, now), now, in_use=assignment.in_use_since is not None)
        elif assignment is not None:
            change_assignment(bed, assignment, now)
        if place.device in self.limits:
            self._apply_limits(bed, now)
        return bed

    def _parse_topic(self, topic: bytes, name: str) -> tuple[str, DeviceAddress]:
        if len(self._parsed_topics) >= MAX_CACHED_TOPICS:
            self._parsed_topics.clear()
        self._parsed_topics[topic] = known = self._topics.parse(name)
        return known

    def _reject(self, topic: str, refused: Exception, person: str | None = None) -> None:
        log.warning("refused %s: %s", topic[:300], refused)
        self.rejections.append(Rejection(topic[:300], str(refused), person))

    def _record_cleared(self, events: Sequence[Event]) -> Sequence[Event]:
        for event in events:
            key = (event.alert.device_id, event.alert.rule)
            if event.alert.state is State.CLEARED:
                self.cleared[key] = event.alert
            else:
                self.cleared.pop(key, None)
        return events


def _discharged_at(discharged: Assignment, now: datetime) -> datetime:
    """Return when a bed was discharged by a message of unknown age; without a time it closes no alert."""
    return NEVER if discharged.time is None else min(discharged.time, now)
