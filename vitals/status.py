"""A device's status: its birth and its last will, on the retained status topic.

`devices` encodes, `ingest` decodes and keeps the last one in the table `device`. A will carries the boot it belongs to,
so that an old connection's "offline" cannot be taken for the new one's.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.payload import decode_payload
from vitals.reading import MAX_COUNTER, MAX_TEXT

MAX_STATUS = 4 * 1024  # bytes


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device says of itself; unknown keys are left out.

    interval_s   seconds between two readings
    dropped      readings that the device lost since its start because its outbox was full: a gap that is explained
    """

    state: Literal["online", "offline", "forgotten"]
    boot: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0
    interval_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    model: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    dropped: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0


_decode = msgspec.json.Decoder(Status).decode


def encode_status(status: Status) -> bytes:
    """A status as a JSON object."""
    return msgspec.json.encode(status)


def decode_status(payload: bytes) -> Status:
    """Decode a status; raises ValueError with one sentence.

    An empty payload is how MQTT deletes a retained message; it means that the device is to be forgotten.
    """
    if not payload:
        return Status(state="forgotten")
    status = decode_payload(_decode, payload, "a status", MAX_STATUS)
    if status.model is not None and not status.model.isprintable():
        raise ValueError(f"model {status.model!a} holds characters that cannot be printed")
    return status
