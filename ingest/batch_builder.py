"""Build the open batch from messages: decode, validate, format. No socket; the caller passes the time.

A reading is formatted here, in the receiving thread, as a line of COPY's text format. Passing objects to the database
thread and formatting them there was measured to be slower, because both threads share one interpreter lock.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from ingest.batch import AlertEventRow, AuditEventRow, Batch, ReadingRow, RejectedRow, RepublishedRow, StatusRow
from ingest.clock_check import ClockCheck
from ingest.device_clocks import DeviceClocks
from vitals.alert import decode_alert
from vitals.assignment import without_use
from vitals.audit import KINDS, decode_audit
from vitals.codec import Problem, Reason, TimeWindow, decode
from vitals.reading import Reading, sign_values, stored_seq
from vitals.rules import Republished, decode_republished
from vitals.signs import SIGN_KEYS, classify
from vitals.status import Status, decode_status
from vitals.topics import DeviceAddress, InvalidTopic, Topics

COLUMNS = (
    "device_id",
    "ward",
    "patient_id",
    "consciousness",
    "sensor_off",
    "status",
    "time",
    "boot",
    "seq",
    "arrival_lag_ms",
    "on_oxygen",
    *SIGN_KEYS,
)
"""The columns of a line, in order. These names are part of SQL statements: they never come from a message."""

NULL = "\\N"
MILLISECOND = timedelta(milliseconds=1)
_json = msgspec.json.Encoder().encode
_TABS = bytes.maketrans(b",", b"\t")
MAX_CACHED_TOPICS = 50_000  # a client may publish to any number of topics; the cache must not grow with them
NO_BED = DeviceAddress("", "")  # of topics that `decode_audit` parses


class BatchBuilder:
    """Adds messages to `batch`, each as rows of its kind. `client_id` names the MQTT session that received them."""

    def __init__(self, topics: Topics, retention: timedelta, client_id: str = "ingest") -> None:
        self._topics = topics
        self._client_id = client_id
        self._retention = retention
        self._parsed_topics: dict[bytes, tuple[str, str, DeviceAddress]] = {}
        self._clocks = DeviceClocks()
        self.clock_check = ClockCheck()
        self.batch = Batch()
        self._now, self._monotonic = datetime.now(UTC), 0.0
        self._window = TimeWindow.at(self._now, retention)

    def set_time(self, now: datetime, monotonic: float) -> None:
        """Set the time of arrival of the messages that follow: once per read from the socket."""
        self._now, self._monotonic = now, monotonic
        self._window = TimeWindow.at(now, self._retention)
        if not self.batch.messages:
            self.batch.opened_at = monotonic

    def add(self, topic: bytes, payload: bytes, message_id: int, retained: bool, dup: bool = False) -> None:
        """Add one message. Never raises: a message that cannot be read is added as rejected.

        `message_id` is 0 for QoS 0; `retained` and `dup` are MQTT's flags.
        """
        batch = self.batch
        batch.messages += 1
        if message_id:
            batch.message_ids.append(message_id)
        try:
            name, kind, bed = self._parsed_topics.get(topic) or self._parse_topic(topic)
        except InvalidTopic as error:
            name = topic.decode(errors="replace")
            self._reject(name, payload, Problem(Reason.BAD_TOPIC, str(error)))
            return
        if kind == "status":
            self._add_status(name, bed, payload, retained)
            return
        if kind == "alerts":
            self._add_alert_event(name, payload)
            return
        if kind == "rules":
            self._add_republished(name, payload)
            return
        if bed is NO_BED:
            delivery_id = f"{self._client_id}/{message_id}" if message_id else None
            self._add_audit_event(name, payload, delivery_id, retained, dup)
            return
        decoded = decode(payload, self._window, self._topics.time_of_arrival(bed, self._now, retained=retained))
        for reading in decoded.readings:
            line = copy_line(reading, bed, self._now)
            batch.readings.append(ReadingRow(line, self._now, name, payload, reading.boot, reading.seq))
        if decoded.readings:
            batch.last_readings[bed.device] = last = decoded.readings[-1]
            batch.newest_time = oldest = last.time
            if len(decoded.readings) > 1:  # a backlog
                oldest = min(reading.time for reading in decoded.readings)
            if batch.oldest_time is None or oldest < batch.oldest_time:
                batch.oldest_time = oldest
        if decoded.unknown_keys:
            batch.unknown_keys[bed.device] += decoded.unknown_keys
        if decoded.problems:
            problem = decoded.rejection()
            assert problem is not None
            self._reject(name, payload, problem)
            batch.rejections[bed.device] += 1
            if problem.reason is Reason.CLOCK_AHEAD:
                self.clock_check.reject(bed.device, self._monotonic)
            batch.rejected_readings += [(name, boot, seq) for boot, seq in decoded.rejected]

    def take_batch(self) -> Batch:
        """Return the batch and open the next one."""
        batch, self.batch = self.batch, Batch()
        batch.clock_offsets = self._clocks.offsets(batch.last_readings, self._now)
        self.clock_check.take(batch.last_readings, self._monotonic)
        return batch

    def _parse_topic(self, topic: bytes) -> tuple[str, str, DeviceAddress]:
        if len(self._parsed_topics) >= MAX_CACHED_TOPICS:
            self._parsed_topics.clear()
        name = topic.decode(errors="replace")
        if name.startswith(f"{self._topics.root}/alerts/"):
            kind, bed, _ = self._topics.parse_rule(name)
        elif name.startswith(f"{self._topics.root}/services/"):
            kind, bed = "rules", NO_BED
        elif name.startswith(tuple(f"{self._topics.root}/{kind}/" for kind in KINDS)):
            return name, "audit", NO_BED  # not cached: these messages are few, and each user has topics of their own
        else:
            kind, bed = self._topics.parse(name)
        self._parsed_topics[topic] = parsed = (name, kind, bed)
        return parsed

    def _add_status(self, topic: str, bed: DeviceAddress, payload: bytes, retained: bool) -> None:
        status: Status | None = None
        try:
            status, problem = decode_status(payload)
        except ValueError as error:
            problem = str(error)
        if problem is not None:
            self._reject(topic, payload, Problem(Reason.BAD_STATUS, problem))
            self.batch.rejections[bed.device] += 1
        if status is None:
            return
        if status.state == "online":
            self._clocks.take_status(bed.device, status)
        row = StatusRow(self._now, bed.ward, bed.device, status, retained, topic, payload)
        self.batch.statuses.append(row)

    def _add_alert_event(self, topic: str, payload: bytes) -> None:
        if not payload:
            return  # the retained alert was removed from this topic: its patient moved to another ward
        try:
            alert = decode_alert(payload)
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_ALERT, str(error)))
            return
        self.batch.alert_events.append(AlertEventRow(self._now, alert, topic, payload))

    def _add_republished(self, topic: str, payload: bytes) -> None:
        try:
            republished = decode_republished(payload) if payload else Republished()
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_ALERT, str(error)))
            return
        if republished.epoch:
            writer = topic.split("/")[-2]
            self.batch.republished.append(RepublishedRow(self._now, writer, republished, topic, payload))

    def _add_audit_event(self, topic: str, payload: bytes, delivery_id: str | None, retained: bool, dup: bool) -> None:
        try:
            record = decode_audit(self._topics.root, topic, payload)
            if record.action == "discharge_patient":
                payload = without_use(payload)  # the same discharge, which is stored once
        except InvalidTopic as error:
            self._reject(topic, payload, Problem(Reason.BAD_TOPIC, str(error)))
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_COMMAND, str(error)))
        else:
            self.batch.audit_events.append(AuditEventRow(self._now, record, delivery_id, retained, dup, topic, payload))

    def _reject(self, topic: str, payload: bytes, problem: Problem) -> None:
        self.batch.rejected.append(RejectedRow.from_problem(self._now, topic, payload, problem))


def copy_line(reading: Reading, bed: DeviceAddress, arrival: datetime) -> str:
    """Format a reading as a line of COPY's text format, its fields in the order of COLUMNS.

    Only free text can contain a backslash, and none can contain a tab or a line end: `codec` and `topics` accept only
    printable text. msgspec's JSON encoder writes times, numbers and booleans in forms that PostgreSQL reads, in a
    fraction of the time of Python's own.
    """
    values = sign_values(reading)
    patient = reading.patient_id
    # Rounded up, so that no arrival is placed before an assignment that it followed.
    lag_ms = -((reading.time - arrival) // MILLISECOND)
    rest = _json((reading.time, reading.boot, stored_seq(reading), lag_ms, reading.on_oxygen, *values))
    rest = rest.translate(_TABS, b'[]"').replace(b"null", b"\\N")
    return (
        f"{_escaped(bed.device)}\t{_escaped(bed.ward)}\t{NULL if patient is None else _escaped(patient)}\t"
        f"{reading.consciousness or NULL}\t{{{','.join(reading.sensor_off)}}}\t{classify(values)}\t"
        f"{rest.decode()}\n"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\") if "\\" in text else text
