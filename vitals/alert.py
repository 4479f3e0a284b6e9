"""An alert as it travels: the retained message on `alerts/{ward}/{device}/{rule}`, and all a restart knows of it.

`bed` makes and changes alerts, the worker publishes them, ingest keeps every change. Priorities and the parting into
physiological and technical follow IEC 60601-1-8, the names of the changes IHE PCD-04.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta, Struct

from vitals.payload import decode_payload
from vitals.reading import MAX_TEXT

MAX_ALERT = 16 * 1024  # bytes
_NAMES = UUID("6d1f7a52-3c0e-5b8e-9a57-0d6f3f2f7c11")  # ours, for ids made from names (RFC 9562, version 5)

Kind = Literal["physiological", "technical"]


class Priority(StrEnum):
    """What an alert asks for: HIGH an immediate response, MEDIUM a prompt one, LOW awareness."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """1 for low, 3 for high; StrEnum would compare by the alphabet."""
        return _RANKS[self]


_RANKS = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3}


class State(StrEnum):
    """Where an alert stands. The first four are open; a pending one is not yet an alert and is never published."""

    ACTIVE = "active"  # sounds
    ACKNOWLEDGED = "acknowledged"  # seen by a person, silent until it gets worse
    AUDIO_PAUSED = "audio_paused"  # silent until a moment
    LATCHED = "latched"  # what raised it has gone; stays until a person acknowledges
    CLEARED = "cleared"


class Change(StrEnum):
    """What happened to an alert last."""

    RAISED = "raised"
    ESCALATED = "escalated"
    DEESCALATED = "de-escalated"
    RETURNED = "returned"  # was latched, and what raised it is there again
    ACKNOWLEDGED = "acknowledged"
    AUDIO_PAUSED = "audio_paused"
    AUDIO_RESUMED = "audio_resumed"
    LATCHED = "latched"
    IDENTIFIED = "identified"  # the device did not know its patient, and does now
    MOVED = "moved"  # the device is in another ward
    CLEARED = "cleared"


Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Moment = Annotated[datetime, Meta(tz=True)]


class Alert(Struct, frozen=True, kw_only=True):
    """One alarm of one device by one rule, as it now stands.

    revision       1 when raised, one more with every change: with alert_id it names a change
    level          which of the rule's levels holds, 1 the mildest; 0 where the condition has gone
    value, limit   at the last raise, escalation or de-escalation; value is the score for NEWS2
    since          when the condition began, raised_at when its delay was over: by the readings' own time
                   (by the worker's clock for no-data and offline, which no reading tells)
    changed_at     when it last changed: by the readings' own time, or the worker's clock for what a person did
    reading_at     the newest reading that changed it; an older one moves it no more, also after a restart
    latched        the condition has gone and a person has not acknowledged yet
    reason         why it was cleared
    parts          for NEWS2: what each input scored
    """

    alert_id: UUID
    revision: int
    rule: Text
    priority: Priority
    kind: Kind
    state: State
    change: Change
    level: int
    ward: Text
    device_id: Text
    patient_id: Text | None
    sign: str | None
    value: float | None
    limit: float | None
    since: Moment
    raised_at: Moment
    changed_at: Moment
    reading_at: Moment | None
    text: str
    loinc: tuple[str, ...] = ()
    mdc: int | None = None
    unit: str | None = None
    acknowledged_by: Text | None = None
    audio_paused_until: Moment | None = None
    latched: bool = False
    reason: str | None = None
    parts: dict[str, int] | None = None

    @property
    def is_open(self) -> bool:
        """Not cleared."""
        return self.state is not State.CLEARED


class Event(Struct, frozen=True):
    """A change of an alert, to be published. `old_ward`: where its retained message is to be taken away."""

    alert: Alert
    old_ward: str | None = None


def alert_id(device: str, rule: str, time: datetime) -> UUID:
    """The same for the same device, rule and moment of raising, so that a reading seen twice raises nothing twice."""
    return uuid5(_NAMES, f"{device}/{rule}/{time.astimezone(UTC).isoformat()}")


_decode = msgspec.json.Decoder(Alert).decode


def encode_alert(alert: Alert) -> bytes:
    """An alert as a JSON object, with all its fields."""
    return msgspec.json.encode(alert)


def decode_alert(payload: bytes) -> Alert:
    """Decode an alert; raises ValueError with one sentence."""
    return decode_payload(_decode, payload, "an alert", MAX_ALERT)
