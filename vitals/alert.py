"""An alert: the retained message on `alerts/{ward}/{device}/{rule}`, and all that the alert worker restores from.

The alert worker publishes every change, ingest stores it. Priorities and the division into physiological and technical
follow IEC 60601-1-8, the names of the changes IHE PCD-04.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from vitals.payload import decode_payload
from vitals.reading import MAX_TEXT

MAX_ALERT = 16 * 1024  # bytes
_NAMES = UUID("6d1f7a52-3c0e-5b8e-9a57-0d6f3f2f7c11")  # namespace of `alert_id` (RFC 9562, version 5)

MAX_CLOCK_AHEAD = timedelta(minutes=2)  # between the clocks of two hosts
MAX_EPOCH = 2**63 - 1

Kind = Literal["physiological", "technical"]


class Priority(StrEnum):
    """Required response: HIGH immediate, MEDIUM prompt, LOW awareness."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """1 for low to 3 for high; a StrEnum compares alphabetically."""
        return _RANKS[self]


_RANKS = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3}


class State(StrEnum):
    """State of an alert; all but CLEARED are open. A condition whose delay has not passed is not yet an alert."""

    ACTIVE = "active"  # audible
    ACKNOWLEDGED = "acknowledged"  # by a user; silent until it escalates
    AUDIO_PAUSED = "audio_paused"  # silent until `audio_paused_until`
    LATCHED = "latched"  # the condition has ended; remains until it is acknowledged
    CLEARED = "cleared"


class Change(StrEnum):
    """The last change of an alert."""

    RAISED = "raised"
    ESCALATED = "escalated"
    DEESCALATED = "de-escalated"
    WORSENED = "worsened"  # at the same level: a new worst value
    RETURNED = "returned"  # was latched, and the condition is present again
    ACKNOWLEDGED = "acknowledged"
    AUDIO_PAUSED = "audio_paused"
    AUDIO_RESUMED = "audio_resumed"
    LATCHED = "latched"
    IDENTIFIED = "identified"  # the device has reported the patient for the first time
    REMINDED = "reminded"  # no person has answered a high alert
    MOVED = "moved"  # the device is in another ward now
    CLEARED = "cleared"


Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Moment = Annotated[datetime, Meta(tz=True)]


class Alert(Struct, frozen=True, kw_only=True):
    """The present state of one alarm of one device by one rule.

    revision       1 when raised, incremented by every change; identifies a change together with alert_id
    level          the rule's level that is exceeded, 1 the mildest; 0 if the condition has ended
    value, limit   at the last raise, escalation or de-escalation; value is the score for NEWS2
    first_value    at the raise; worst_value: the furthest beyond the limit since then. Each with its time; later values
                   do not overwrite them. None for a rule without values, and in messages of workers before 0.2
    since          when the condition began; raised_at: when its delay had passed. Both are times of readings
                   (of the worker's clock for no-data and offline)
    changed_at     when it last changed: a time of a reading, or of the worker's clock for a user's command
    reading_at     time of the newest reading that changed it; older readings do not, even after a restart
    latched        the condition has ended and no user has acknowledged
    reason         why it was cleared
    active_since   since when it has sounded without a person's answer; None for one that never did
    reminders      how often it was repeated since then
    attention      "escalated": unanswered for too long; its priority stays
    writer         client id of the alert worker that published it; empty from workers before 0.2
    epoch          of the writer: higher with every instance that takes over; see `is_overtaken`
    parts          for NEWS2: the points of each input
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
    first_value: float | None = None
    first_value_at: Moment | None = None
    worst_value: float | None = None
    worst_value_at: Moment | None = None
    acknowledged_by: Text | None = None
    acknowledged_at: Moment | None = None
    audio_paused_until: Moment | None = None
    latched: bool = False
    reason: str | None = None
    parts: dict[str, int] | None = None
    active_since: Moment | None = None
    reminders: int = 0
    attention: Literal["normal", "escalated"] = "normal"
    writer: Text = ""
    epoch: Annotated[int, Meta(ge=0, le=MAX_EPOCH)] = 0

    @property
    def is_open(self) -> bool:
        """Return whether the alert is not cleared."""
        return self.state is not State.CLEARED


class Event(Struct, frozen=True):
    """A change to publish. `old_ward`: the ward whose retained message must be deleted."""

    alert: Alert
    old_ward: str | None = None


def alert_id(device: str, rule: str, time: datetime) -> UUID:
    """Derive the id from device, rule and time of raising, so that a redelivered reading raises no second alert."""
    return uuid5(_NAMES, f"{device}/{rule}/{time.astimezone(UTC).isoformat()}")


def is_overtaken(alert: Alert, known: Alert, now: datetime) -> bool:
    """Return whether `alert` is out of date beside `known`, an alert of the same device and rule.

    Of one worker the higher epoch counts: what a process still publishes after another one has taken over has a lower
    one. Of one epoch, and of different workers, it is the later revision of the same alert. An epoch further ahead than
    MAX_CLOCK_AHEAD decides nothing: the clock of that process was wrong, and every alert after it would be ignored.
    `sql/ingest.sql` has the same rule.
    """
    if alert.writer == known.writer and alert.epoch != known.epoch and known.epoch <= max_epoch(now):
        return alert.epoch < known.epoch
    return alert.alert_id == known.alert_id and alert.revision < known.revision


def max_epoch(now: datetime) -> int:
    """Return the highest epoch of a worker whose clock is right."""
    return int((now + MAX_CLOCK_AHEAD).timestamp()) * 1_000_000_000


def is_repeated(alert: Alert, known: Alert) -> bool:
    """Return whether both are the same change, though another process may have published it again."""
    return replace(alert, writer=known.writer, epoch=known.epoch) == known


_decode = msgspec.json.Decoder(Alert).decode


def encode_alert(alert: Alert) -> bytes:
    """Encode as a JSON object with all fields."""
    return msgspec.json.encode(alert)


def decode_alert(payload: bytes) -> Alert:
    """Decode an alert; raises ValueError with one sentence."""
    return decode_payload(_decode, payload, "an alert", MAX_ALERT)
