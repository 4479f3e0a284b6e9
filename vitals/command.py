"""What a person asks of an alert: acknowledge it, pause its audio, resume it. Pure.

On `alert-commands/{ward}/{device}/{rule}`, and from a user of the broker one level further down, `.../{rule}/{person}`.

`vitalflow alerts watch` and the station encode here; the worker decodes and carries it out, or refuses.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.limits import RequestRejected
from vitals.payload import decode_payload
from vitals.reading import MAX_TEXT

MAX_COMMAND = 4 * 1024  # bytes
PAUSE_S = 120.0  # where the command names no time

Action = Literal["acknowledge", "pause_audio", "resume_audio"]


class Command(Struct, frozen=True, kw_only=True):
    """One command. Unknown keys are left out.

    time   when the person gave it: it makes the command another one than any before, so that the record keeps it once
    """

    action: Action
    by: str = ""
    seconds: float = PAUSE_S
    time: Annotated[datetime, Meta(tz=True)] | None = None


_decode = msgspec.json.Decoder(Command).decode


def encode_command(command: Command) -> bytes:
    """A command as a JSON object."""
    return msgspec.json.encode(command)


def decode_command(payload: bytes, person: str | None = None) -> Command:
    """Take a command apart; raises RequestRejected.

    person   the broker's user who says it, where it came on the topic of one: that is who it is by, whatever it says
    """
    command = decode_payload(_decode, payload, "a command", MAX_COMMAND, RequestRejected)
    if person is not None:
        command = msgspec.structs.replace(command, by=person)
    if not command.by.strip() or len(command.by) > MAX_TEXT or not command.by.isprintable():
        raise RequestRejected(f"by is {command.by[:40]!a}; expected a name of 1 to {MAX_TEXT} printable characters")
    return command
