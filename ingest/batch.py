"""A batch: what goes to the database in one transaction, and the message ids to acknowledge after it.

Knows nothing of MQTT and nothing of PostgreSQL: `intake` fills it, `store` empties it, tests give it numbers.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from vitals.alert import Alert
from vitals.audit import AuditRecord
from vitals.codec import MAX_PAYLOAD, Problem
from vitals.status import Status


class Row(NamedTuple):
    """A reading as a line of COPY's text format, and the message it came in, in case the database refuses it.

    A tuple, because one is made for every reading and a frozen dataclass takes four times as long to make.
    """

    line: str
    received_at: datetime
    topic: str
    payload: bytes
    boot: int
    seq: int


Name = tuple[str, int, int]
"""What names a reading in a receipt: its topic, boot and seq."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message for the table `rejected_message`: as it came, with the reason."""

    received_at: datetime
    topic: str
    payload: bytes
    reason: str
    detail: str

    @classmethod
    def of(cls, received_at: datetime, topic: str, payload: bytes, problem: Problem) -> "Rejected":
        """NUL is the one character that PostgreSQL's text cannot hold; it is shown as its picture, U+2400."""
        nul = str.maketrans({"\0": "\u2400"})
        return cls(received_at, topic.translate(nul), payload, problem.reason, problem.detail.translate(nul))

    @property
    def kept(self) -> bytes:
        """As much of the payload as is kept; the table says how long it was."""
        return self.payload[:MAX_PAYLOAD]


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device's last word, for the table `device`. `retained`: it may be an old one, told again."""

    received_at: datetime
    ward: str
    device: str
    status: Status
    retained: bool
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AlertTold:
    """A change of an alert, for the table `alert_event`."""

    received_at: datetime
    alert: Alert
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class DoneTold:
    """What a person did, for the table `audit_event`.

    `delivery` names the packet, `again` says that it may have come before (MQTT's DUP), `retained` that the broker kept
    it: three ways to be told the same twice.
    """

    received_at: datetime
    done: AuditRecord
    delivery: str | None
    retained: bool
    again: bool
    topic: str
    payload: bytes


Item = Row | Rejected | DeviceStatus | AlertTold | DoneTold


@dataclass(slots=True)
class Batch:
    """Messages that are stored, and then acknowledged, together."""

    opened_at: float = 0.0  # monotonic seconds of the first message's arrival
    message_ids: list[int] = field(default_factory=list)
    messages: int = 0  # with those of QoS 0, which have no id
    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    statuses: list[DeviceStatus] = field(default_factory=list)
    alerts: list[AlertTold] = field(default_factory=list)
    done: list[DoneTold] = field(default_factory=list)
    refused: list[Name] = field(default_factory=list)  # readings that came to nothing, but have a name
    unknown_keys: int = 0
    newest: datetime | None = None  # the time of the last reading taken
    oldest: datetime | None = None  # the earliest time of its readings

    def items(self) -> list[Item]:
        """Everything to store, for the slow road on which one item is poison."""
        return [*self.rows, *self.rejected, *self.statuses, *self.alerts, *self.done]

    @classmethod
    def of(cls, items: list[Item], oldest: datetime | None) -> "Batch":
        """A batch that only stores; its messages are acknowledged with the batch it was cut from."""
        part = cls(oldest=oldest)
        for item in items:
            match item:
                case Row():
                    part.rows.append(item)
                case Rejected():
                    part.rejected.append(item)
                case DeviceStatus():
                    part.statuses.append(item)
                case AlertTold():
                    part.alerts.append(item)
                case DoneTold():
                    part.done.append(item)
        return part
