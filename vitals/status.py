"""Status of a device: birth and last will on the retained status topic.

`devices` encodes, `ingest` decodes and keeps the last one in the table `device`. A will carries its boot, so that the
"offline" of an old connection is not applied to a new one.
"""

from datetime import timedelta
from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from vitals.fields import describe
from vitals.payload import decode_foreign, decode_payload
from vitals.reading import MAX_COUNTER, MAX_TEXT

MAX_STATUS = 4 * 1024  # bytes


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Status of a device; unknown keys are ignored.

    interval_s   seconds between two readings
    clock        right: its times are those of measurement, also of a reading that comes late. Others are estimated
    dropped      readings lost since its start because its outbox was full; explains a gap
    """

    state: Literal["online", "offline", "forgotten"]
    boot: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0
    interval_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    clock: Literal["right"] | None = None
    model: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    dropped: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0

    def right_within(self, stale_after: timedelta) -> timedelta | None:
        """Return up to which age a reading is of the present where the clock is right; None where it is estimated."""
        if self.clock is None:
            return None
        return max(stale_after, timedelta(seconds=self.interval_s or 0))


_TYPES = get_type_hints(Status, include_extras=True)


def encode_status(status: Status) -> bytes:
    """Encode as a JSON object."""
    return msgspec.json.encode(status)


def decode_status(payload: bytes) -> tuple[Status, str | None]:
    """Decode a status; raises ValueError with one sentence for one without a known state.

    Any other field without a usable value is absent, and the second value says why; None without a problem. An empty
    payload, which deletes the retained message, means that the device is to be forgotten.
    """
    if not payload:
        return Status(state="forgotten"), None
    content = decode_payload(decode_foreign, payload, "a status", MAX_STATUS)
    if not isinstance(content, dict) or content.get("state") is None:
        raise ValueError('not a status: expected an object with "state"')
    fields = {}
    problems = []
    for key in content.keys() & _TYPES.keys():
        if content[key] is None:
            continue
        try:
            value = msgspec.convert(content[key], _TYPES[key], strict=isinstance(content[key], bool))
            if key == "model" and not value.isprintable():
                raise ValueError("it holds characters that cannot be printed")
            fields[key] = value
        except ValueError as error:
            problems.append(f"{key} is {describe(content[key])}: {str(error).replace('`', '')}")
    if "state" not in fields:
        raise ValueError("; ".join(sorted(problems)))
    return Status(**fields), "; ".join(sorted(problems)) or None
