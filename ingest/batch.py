"""A batch: the rows of one transaction, and the message ids to acknowledge after its COMMIT.

Knows neither MQTT nor PostgreSQL: `batch_builder` fills it, `store` writes it.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import Struct

from vitals.alert import Alert
from vitals.audit import AuditRecord
from vitals.codec import MAX_PAYLOAD, Problem
from vitals.reading import Reading
from vitals.rules import Republished
from vitals.status import Status


class ReadingRow(Struct, frozen=True, gc=False):
    """A reading as a line of COPY's text format, and its message, which is stored if the database rejects the line.

    A Struct, because one is made for every reading and a frozen dataclass takes ten times as long to make.
    """

    line: str
    received_at: datetime
    topic: str
    payload: bytes
    boot: int
    seq: int


ReadingKey = tuple[str, int, int]
"""What identifies a reading: its topic, boot and seq."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A message for the table `rejected_message`, with the reason of its rejection."""

    received_at: datetime
    topic: str
    payload: bytes
    reason: str
    detail: str

    @classmethod
    def from_problem(cls, received_at: datetime, topic: str, payload: bytes, problem: Problem) -> "RejectedRow":
        """Make a row of a problem. NUL, which PostgreSQL's text cannot hold, becomes its picture U+2400."""
        nul = str.maketrans({"\0": "\u2400"})
        return cls(received_at, topic.translate(nul), payload, problem.reason, problem.detail.translate(nul))

    @property
    def stored_payload(self) -> bytes:
        """The first MAX_PAYLOAD bytes; the table holds the full size beside them."""
        return self.payload[:MAX_PAYLOAD]


@dataclass(frozen=True, slots=True)
class StatusRow:
    """Last known status of a device, for the table `device`. `retained`: may be stale."""

    received_at: datetime
    ward: str
    device: str
    status: Status
    retained: bool
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AlertEventRow:
    """A transition of an alert, for the table `alert_event`."""

    received_at: datetime
    alert: Alert
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class RepublishedRow:
    """An alert worker that has published every alert that it knows, for the table `alert_worker`."""

    received_at: datetime
    writer: str
    republished: Republished
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AuditEventRow:
    """An action of a user, for the table `audit_event`.

    The same action may be delivered twice; three fields serve to find the second one:

    delivery_id  client id and packet id
    retained     the broker sent it as a retained message
    dup          MQTT's DUP flag: it may have been delivered before
    """

    received_at: datetime
    record: AuditRecord
    delivery_id: str | None
    retained: bool
    dup: bool
    topic: str
    payload: bytes


AnyRow = ReadingRow | RejectedRow | StatusRow | AlertEventRow | RepublishedRow | AuditEventRow


@dataclass(slots=True)
class Batch:
    """Messages that are stored, and then acknowledged, together."""

    opened_at: float = 0.0  # monotonic seconds of the first message's arrival
    message_ids: list[int] = field(default_factory=list)
    messages: int = 0  # including those of QoS 0, which have no id
    readings: list[ReadingRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    statuses: list[StatusRow] = field(default_factory=list)
    alert_events: list[AlertEventRow] = field(default_factory=list)
    republished: list[RepublishedRow] = field(default_factory=list)  # stored after the alert events
    audit_events: list[AuditEventRow] = field(default_factory=list)
    rejected_readings: list[ReadingKey] = field(default_factory=list)  # for the receipts
    unknown_keys: Counter[str] = field(default_factory=Counter)  # by device
    rejections: Counter[str] = field(
        default_factory=Counter
    )  # messages in `rejected` on a topic of a device, by device
    last_readings: dict[str, Reading] = field(default_factory=dict)  # by device
    clock_offsets: dict[str, timedelta] = field(default_factory=dict)  # by device, see `device_clocks`
    newest_time: datetime | None = None  # of the last reading added
    oldest_time: datetime | None = None  # of all readings

    @property
    def has_other_rows(self) -> bool:
        """Return whether there is anything to store besides readings."""
        return bool(self.rejected or self.statuses or self.alert_events or self.republished or self.audit_events)

    def all_rows(self) -> list[AnyRow]:
        """Everything to store, for the fallback that isolates a bad row."""
        alerts: list[AnyRow] = [*self.alert_events, *self.republished]
        return [*self.readings, *self.rejected, *self.statuses, *alerts, *self.audit_events]

    @classmethod
    def from_rows(cls, rows: list[AnyRow], oldest_time: datetime | None) -> "Batch":
        """Make a batch of a part of another one's rows. It has no message ids: the other batch has them."""
        part = cls(oldest_time=oldest_time)
        for row in rows:
            match row:
                case ReadingRow():
                    part.readings.append(row)
                case RejectedRow():
                    part.rejected.append(row)
                case StatusRow():
                    part.statuses.append(row)
                case AlertEventRow():
                    part.alert_events.append(row)
                case RepublishedRow():
                    part.republished.append(row)
                case AuditEventRow():
                    part.audit_events.append(row)
        return part
