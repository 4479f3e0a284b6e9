"""A user's command to an alert: acknowledge, pause audio, resume audio. Pure.

On `alert-commands/{ward}/{device}/{rule}`, or on `.../{rule}/{user}`, where only that user may publish. The alert
worker executes or rejects it.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.limits import RequestRejected, require_printable
from vitals.payload import decode_payload

MAX_COMMAND = 4 * 1024  # bytes
PAUSE_S = 120.0  # default

Action = Literal["acknowledge", "pause_audio", "resume_audio"]


class Command(Struct, frozen=True, kw_only=True):
    """One command. Unknown keys are ignored.

    time   when the user gave it; makes the command unique, so that the audit record is stored once
    """

    action: Action
    by: str = ""
    seconds: float = PAUSE_S
    time: Annotated[datetime, Meta(tz=True)] | None = None


_decode = msgspec.json.Decoder(Command).decode


def encode_command(command: Command) -> bytes:
    """Encode as a JSON object."""
    return msgspec.json.encode(command)


def decode_command(payload: bytes, user: str | None = None) -> Command:
    """Decode a command; raises RequestRejected.

    user   the user in the topic; replaces `by`
    """
    command = decode_payload(_decode, payload, "a command", MAX_COMMAND, RequestRejected)
    if user is not None:
        command = msgspec.structs.replace(command, by=user)
    require_printable("by", command.by)
    return command
