"""From a message to the open batch: decode, judge, format. No socket; the time comes in from outside.

Second hop of a reading inside ingest, after `lane`. A row is formatted here, in the receiving thread, as a line of
COPY's text format; handing objects to the database thread and formatting there was measured slower, for the two would
share one interpreter lock.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from ingest.batch import AlertTold, Batch, DeviceStatus, DoneTold, Rejected, Row
from vitals.alert import decode_alert
from vitals.audit import KINDS, decode_audit
from vitals.codec import Problem, Reason, TimeWindow, decode
from vitals.reading import Reading, sign_values, stored_seq
from vitals.signs import SIGN_KEYS, classify
from vitals.status import decode_status
from vitals.topics import DeviceAddress, InvalidTopic, Topics

COLUMNS = (
    "device_id",
    "ward",
    "time",
    "boot",
    "seq",
    "patient_id",
    "on_oxygen",
    "consciousness",
    "sensor_off",
    "status",
    "received_at",
    *SIGN_KEYS,
)
"""The columns of a line, in order. The names are the table's and come from this code, never from a message."""

NULL = "\\N"
_json = msgspec.json.Encoder().encode
# A client may invent topics without end; what is remembered of them is not allowed to grow with them.
MAX_TOPICS_KNOWN = 50_000
NOWHERE = DeviceAddress("", "")  # of topics that `vitals.audit` takes apart


class Intake:
    """Turns messages into rows, rejected messages, statuses, changes of alerts and what persons did: all in `batch`.

    `client_id`: whose session they come from.
    """

    def __init__(self, topics: Topics, retention: timedelta, client_id: str = "ingest") -> None:
        self._topics = topics
        self._client_id = client_id
        self._retention = retention
        self._known: dict[bytes, tuple[str, str, DeviceAddress]] = {}
        self.batch = Batch()
        self._now = datetime.now(UTC)
        self._received = str(self._now)
        self._clock = TimeWindow.at(self._now, retention)

    def set_time(self, now: datetime, monotonic: float) -> None:
        """Tell the time, once for all messages of one read from the socket."""
        self._now = now
        self._received = str(now)
        self._clock = TimeWindow.at(now, self._retention)
        if not self.batch.messages:
            self.batch.opened_at = monotonic

    def take(self, topic: bytes, payload: bytes, message_id: int, retained: bool, again: bool = False) -> None:
        """Take one message. Never raises: what it cannot read it keeps as rejected.

        `again`: it may be one that was delivered before.
        """
        batch = self.batch
        batch.messages += 1
        if message_id:
            batch.message_ids.append(message_id)
        try:
            name, kind, bed = self._known.get(topic) or self._learn(topic)
        except InvalidTopic as error:
            name = topic.decode(errors="replace")
            self._reject(name, payload, Problem(Reason.BAD_TOPIC, str(error)))
            return
        if kind == "status":
            self._take_status(name, bed, payload, retained)
            return
        if kind == "alerts":
            self._take_alert(name, payload)
            return
        if bed is NOWHERE:
            self._take_done(name, payload, f"{self._client_id}/{message_id}" if message_id else None, retained, again)
            return
        decoded = decode(payload, self._clock)
        for reading in decoded.readings:
            made = line(reading, bed, self._received)
            batch.rows.append(Row(made, self._now, name, payload, reading.boot, reading.seq))
        if decoded.readings:
            batch.newest = oldest = decoded.readings[-1].time
            if len(decoded.readings) > 1:  # a backlog
                oldest = min(reading.time for reading in decoded.readings)
            if batch.oldest is None or oldest < batch.oldest:
                batch.oldest = oldest
        batch.unknown_keys += decoded.unknown_keys
        if decoded.problems:
            problem = decoded.rejection()
            assert problem is not None
            self._reject(name, payload, problem)
            batch.refused += [(name, boot, seq) for boot, seq in decoded.rejected]

    def hand_over(self) -> Batch:
        """Give the batch away and open the next one."""
        full, self.batch = self.batch, Batch()
        return full

    def _learn(self, topic: bytes) -> tuple[str, str, DeviceAddress]:
        if len(self._known) >= MAX_TOPICS_KNOWN:
            self._known.clear()
        name = topic.decode(errors="replace")
        if name.startswith(f"{self._topics.root}/alerts/"):
            kind, bed, _ = self._topics.parse_rule(name)
        elif name.startswith(tuple(f"{self._topics.root}/{kind}/" for kind in KINDS)):
            return name, "done", NOWHERE  # not remembered: they are few, and a person may be in them
        else:
            kind, bed = self._topics.parse(name)
        self._known[topic] = found = (name, kind, bed)
        return found

    def _take_status(self, topic: str, bed: DeviceAddress, payload: bytes, retained: bool) -> None:
        try:
            status = decode_status(payload)
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_STATUS, str(error)))
            return
        told = DeviceStatus(self._now, bed.ward, bed.device, status, retained, topic, payload)
        self.batch.statuses.append(told)

    def _take_alert(self, topic: str, payload: bytes) -> None:
        if not payload:
            return  # the alert moved to another ward and left this topic
        try:
            alert = decode_alert(payload)
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_ALERT, str(error)))
            return
        self.batch.alerts.append(AlertTold(self._now, alert, topic, payload))

    def _take_done(self, topic: str, payload: bytes, delivery: str | None, retained: bool, again: bool) -> None:
        try:
            done = decode_audit(self._topics.root, topic, payload)
        except InvalidTopic as error:
            self._reject(topic, payload, Problem(Reason.BAD_TOPIC, str(error)))
        except ValueError as error:
            self._reject(topic, payload, Problem(Reason.BAD_COMMAND, str(error)))
        else:
            self.batch.done.append(DoneTold(self._now, done, delivery, retained, again, topic, payload))

    def _reject(self, topic: str, payload: bytes, problem: Problem) -> None:
        self.batch.rejected.append(Rejected.of(self._now, topic, payload, problem))


def line(reading: Reading, bed: DeviceAddress, received_at: str) -> str:
    """A reading as a line of COPY's text format, its fields in the order of COLUMNS.

    Only free text can hold a backslash, and none can hold a tab or a line end: `wire` and `topics` let
    only printable text through. Times and numbers are written by msgspec's JSON encoder, whose forms PostgreSQL reads
    too, in less than half the time that Python's own take: 1.5 us a line instead of 3.2.
    """
    values = sign_values(reading)
    patient = reading.patient_id
    oxygen = reading.on_oxygen
    time = _json(reading.time)[1:-1].decode()  # without its quotes
    signs = _json(values)[1:-1].decode().replace(",", "\t").replace("null", NULL)  # without its brackets
    return (
        f"{_escaped(bed.device)}\t{_escaped(bed.ward)}\t{time}\t{reading.boot}\t{stored_seq(reading)}\t"
        f"{NULL if patient is None else _escaped(patient)}\t{NULL if oxygen is None else oxygen}\t"
        f"{reading.consciousness or NULL}\t{{{','.join(reading.sensor_off)}}}\t{classify(values)}\t{received_at}\t"
        f"{signs}\n"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\") if "\\" in text else text
