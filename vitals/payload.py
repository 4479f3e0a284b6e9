"""Decode a JSON payload from the broker, which may be hostile, with one error type and one sentence."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All errors that a msgspec decoder raises for a malformed payload."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Python's float: msgspec takes 8 us for 1e300, and 64 KiB hold 10,900 of them.
_decode_any = msgspec.json.Decoder(float_hook=float).decode


def decode_foreign(payload: bytes) -> Any:
    """Decode JSON of any shape, as devices of other manufacturers write it; raises one of DECODE_ERRORS.

    - A byte order mark is skipped: RFC 8259 section 8.1 allows a reader to ignore it.
    - NaN and Infinity, which JSON does not have and several libraries write, become floats that no field accepts.
    - If a key comes twice in one object, the last one counts.
    """
    payload = payload.removeprefix(BYTE_ORDER_MARK)
    try:
        return _decode_any(payload)
    except DECODE_ERRORS:
        if b"NaN" in payload or b"Infinity" in payload:
            with suppress(ValueError, RecursionError):
                return json.loads(payload.decode())
        raise


def decode_payload(
    decode: Callable[[bytes], T], payload: bytes, what: str, max_bytes: int, error: type[Exception] = ValueError
) -> T:
    """Decode a payload; raises `error` if it is larger than `max_bytes` or is not `what`, such as "an alert"."""
    if len(payload) > max_bytes:
        raise error(f"{len(payload)} bytes; {what} has at most {max_bytes}")
    try:
        return decode(payload)
    except DECODE_ERRORS as reason:
        raise error(f"not {what}: {str(reason).replace('`', '')}") from None
