"""What the inbox keeps of one message, whichever way it came. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from edges.config.places import PlacedReading
from edges.observations.episodic import Episode, Measured
from edges.observations.observed import Reason, Verdict

MAX_TEXT = 200  # characters of a code, a unit or a detail

_WITH_VALUE = frozenset((Reason.NO_VALUE, Reason.UNREADABLE, Reason.IMPLAUSIBLE))


@dataclass(frozen=True, slots=True)
class Unused:
    """An observation that is not used: its code and unit and the reason, and nothing of the patient."""

    code: str
    unit: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Queued:
    """What else is to be done because of a message, in the order of messages, such as an assignment.

    kind   which part of the service does it
    """

    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A message: what recognises it, what the sender gets, and what is kept of it.

    key          of `entry_key`; None for a source that never sends anything again
    received     time of receipt, with an offset
    source       name of the sender in the site's configuration
    readings     those without a device are kept if they have a location
    interval_s   seconds between two messages of a bed, if the site states it
    episodes     values that the sender may repeat, and continuous signs that have a value: see `History.changed`
    once         whether a value that is stored already, of the same device and time, is not stored again
    """

    key: bytes | None
    received: datetime
    answers: Sequence[bytes]
    source: str = ""
    readings: Sequence[PlacedReading] = ()
    unused: Sequence[Unused] = ()
    queued: Sequence[Queued] = ()
    interval_s: float | None = None
    episodes: Sequence[Episode] = ()
    measured: Sequence[Measured] = ()
    once: bool = False


def entry_key(kind: str, source: str, content: bytes) -> bytes:
    """Return the key of a message: two messages with one key are one message that was sent twice."""
    return sha256(b"\0".join((kind.encode(), source.encode("utf-8", "surrogateescape"), content))).digest()


def unused_of(verdict: Verdict) -> Unused:
    """Return what is kept of an observation. A detail that states the value is left out."""
    observation = verdict.observation
    code = next((str(code) for code in observation.codes if str(code)), "")
    detail = "" if verdict.reason in _WITH_VALUE else verdict.detail
    return Unused(_text(code), _text(str(observation.unit)), verdict.reason.value, _text(detail))


def _text(text: str) -> str:
    """Return the begin of a text, without lone surrogates, which no file can hold."""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()
