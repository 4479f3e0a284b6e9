"""Decode a JSON payload from the broker, which may be hostile, with one error type and one sentence."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All errors that a msgspec decoder raises for a malformed payload."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What devices write in place of JSON, and the texts that may hide it: a text, one in single quotes, a number with a
# decimal comma, a comma or colon that nothing follows, a word or number that JSON does not have. A text that is not
# closed goes to the end of the payload: to look for its end from each of its quotes would take seconds.
_PARTS = re.compile(
    r"""
      "(?:[^"\\]|\\.)*+"?
    | '[^']*+'?
    | (?<=:)\s*[+-]?\d++,\d++(?=\s*[,}])
    | [,:](?=\s*[],}])
    | (?<![^\s",:{}[\]])
      (?!(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?:[\s,:{}[\]]|$))
      [^\s"',:{}[\]]++
    """,
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"""\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?""")
_WORDS = {",": "", ":": ":null", "True": "true", "False": "false", "None": "null"}
_decode_next = json.JSONDecoder(strict=False).raw_decode  # control characters in texts are accepted
# Python's float: msgspec takes 8 us for 1e300, and 64 KiB hold 10,900 of them.
_decode_any = msgspec.json.Decoder(float_hook=float).decode


def decode_foreign(payload: bytes) -> Any:
    """Decode JSON of any shape, as devices of other manufacturers write it; raises one of DECODE_ERRORS.

    - A byte order mark is skipped: RFC 8259 section 8.1 allows a reader to ignore it.
    - What is nearly JSON is read where it has one meaning only (`_decode_nearly_json`).
    - JSON in a JSON text is read: a sender has encoded it twice.
    - If a key comes twice in one object, the last one counts.
    """
    payload = payload.removeprefix(BYTE_ORDER_MARK)
    try:
        content = _decode_any(payload)
    except DECODE_ERRORS:
        content = None
        with suppress(ValueError, RecursionError):
            content = _decode_nearly_json(payload)
        if content is None:
            raise
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        return decode_foreign(content.encode(errors="replace"))
    return content


def is_json(payload: bytes) -> bool:
    """Return whether a payload is JSON, and not only nearly so."""
    try:
        _decode_any(payload.removeprefix(BYTE_ORDER_MARK))
    except DECODE_ERRORS:
        return False
    return True


def _decode_nearly_json(payload: bytes) -> Any:
    """Decode what firmware writes instead of JSON; raises ValueError.

    One such place must not hide the signs beside it. A value that JSON does not have becomes a text, which no field
    accepts unless it is a plain number: `nan`, `inf`, `07`, `36,8`. A missing value, and None, is null. Commas too
    many, NUL, texts in single quotes or without quotes, control characters and unknown escapes in texts and the words
    of Python are read; bytes that are no UTF-8 are read as Latin-1. Several values one after the other are an array,
    and what follows them is its last text. An object that is cut off, or has a quote too many, is not read: its values
    might be others.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = payload.decode("latin-1")
    text = text.replace("\0", " ").strip()
    if text[:1] not in ("{", "["):
        raise ValueError("neither an object nor an array")
    text = _PARTS.sub(_as_json, text)
    values: list[Any] = []
    place = 0
    while place < len(text):
        try:
            value, place = _decode_next(text, place)
        except ValueError:
            if not values:
                raise
            value, place = text[place:], len(text)
        values.append(value)
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
    if len(values) == 1:
        return values[0]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _as_json(part: re.Match[str]) -> str:
    text = part[0].strip()
    if text[0] == '"':
        return _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text) if "\\" in text else text
    known = _WORDS.get(text)
    return json.dumps(text.strip("'")) if known is None else known


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
