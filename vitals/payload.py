"""Decode a JSON payload from the broker, which may be hostile, with one error type and one sentence."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All errors that a msgspec decoder raises for a malformed payload."""


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
