"""Read the fields of a reading from JSON that does not fit its type: a usable value, or a problem and no value.

A device of another manufacturer sends numbers as text, `NaN`, or a patient number as an integer. One such field must
not hide the other signs of the same reading, so each field is read on its own. `codec` calls this only for payloads
that its fast path refuses.
"""

import math
import re
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec

from vitals.reading import MAX_COUNTER, MAX_TEXT, Consciousness
from vitals.signs import BY_KEY, Sign

EXPECTED_TIME = "expected RFC 3339 with an offset, like 2026-11-22T10:00:00Z"
# Long enough for any device, and short enough that a hostile text costs nothing.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
# `datetime.fromisoformat` reads more, and some of it wrong: 20261122101112Z as 01:11:00, and 10:11:123Z as 10:11:12.
_TIME = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d(:?\d\d([.,]\d+)?)? ?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII)
_LEAP_SECOND = re.compile(r"(T\d\d:\d\d):60(?=[.Z+-])")
# Java appends the name of the zone (RFC 9557), and `isoformat() + "Z"` of Python a second zone, which is the same.
_AFTER_OFFSET = re.compile(r"(?<=[+-]00:00)Z$|(?<=[Z\d])\[[\w/+-]+\]$", re.IGNORECASE)
_CONSCIOUSNESS = get_args(Consciousness)


class BadField(ValueError):
    """A field has no usable value; the text is a sentence for the engineer of the device."""


def parse_sign(sign: Sign, value: Any) -> float:
    """Return the value of a sign; raises BadField for anything but a number or a text that is a plain decimal."""
    number = _number(value)
    if number is None:
        raise BadField(f"{sign.key} is {describe(value)}; expected a number in {sign.unit}")
    return number


def parse_counter(key: str, value: Any) -> int:
    """Return `boot` or `seq`; raises BadField for anything but a whole number from 0 to 2^63 - 1."""
    number: float | int | None = value if type(value) is int else _number(value)
    if isinstance(value, str) and number is not None and value.isascii() and value.isdigit():
        number = int(value)  # exact, where a float is not
    if number is None or number != number // 1 or not 0 <= number <= MAX_COUNTER:
        raise BadField(f"{key} is {describe(value)}; expected a whole number from 0 to {MAX_COUNTER}")
    return int(number)


def parse_patient_id(value: Any) -> str | None:
    """Return the patient's id without surrounding space; None for an empty one. Raises BadField.

    A whole number is its digits: without them the readings of two patients could not be distinguished. A float from
    2^53 on has lost some of them.
    """
    if type(value) is int or (isinstance(value, float) and value.is_integer() and abs(value) < 2**53):
        value = str(int(value))
    if not isinstance(value, str):
        raise BadField(f"patient_id is {describe(value)}; expected a text")
    text = value.strip()
    if len(text) > MAX_TEXT:
        raise BadField(f"patient_id has {len(text)} characters; expected at most {MAX_TEXT}")
    if not text.isprintable():
        raise BadField(f"patient_id {text!a} holds characters that cannot be printed")
    return text or None


def parse_on_oxygen(value: Any) -> bool:
    """Return whether the patient is on oxygen, also of 0, 1 and texts of them; raises BadField."""
    try:
        return msgspec.convert(value, bool, strict=False)
    except msgspec.ValidationError:
        raise BadField(f"on_oxygen is {describe(value)}; expected true or false") from None


def parse_consciousness(value: Any) -> str:
    """Return the letter of the ACVPU scale, also of a small one; raises BadField."""
    letter = value.strip().upper() if isinstance(value, str) else value
    if letter not in _CONSCIOUSNESS:
        raise BadField(f"consciousness is {describe(value)}; expected one of {', '.join(_CONSCIOUSNESS)}")
    return str(letter)


def parse_sensor_off(value: Any) -> tuple[str, ...]:
    """Return the texts of the list, each once; raises BadField for anything but a list of texts."""
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise BadField(f"sensor_off is {describe(value)}; expected an array of signs: {', '.join(BY_KEY)}")
    return tuple(dict.fromkeys(value))


def parse_time(value: Any) -> datetime:
    """Return the moment; raises BadField that shows the form that is expected.

    Any form of ISO 8601 with a calendar date and an offset is read. A leap second (23:59:60, which Python's datetime
    does not have) is the next second.
    """
    if not isinstance(value, str):
        raise BadField(f"time is {describe(value)}; {EXPECTED_TIME}")
    try:
        text = _AFTER_OFFSET.sub("", value.strip()).upper()
        moment, leap = _LEAP_SECOND.subn(r"\1:59", text if _TIME.fullmatch(text) else "")
        parsed = datetime.fromisoformat(moment) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise BadField(f"time is {describe(value)}; {EXPECTED_TIME}") from None
    if parsed.tzinfo is None:
        raise BadField(f"time is {describe(value)}, which has no offset; {EXPECTED_TIME}")
    return parsed


def describe(value: Any) -> str:
    """Return a short form of a JSON value for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return format_number(value)
        case str():
            return ascii(value if len(value) <= 40 else value[:40] + "...")
        case list():
            return "an array"
        case _:
            return "an object"


def format_number(value: float) -> str:
    """Return a number in its shortest form."""
    # An integer of 60,000 digits is valid JSON, and both str() and float() reject it.
    try:
        return f"{float(value):g}"
    except OverflowError:
        return "beyond any number"


def _number(value: Any) -> float | None:
    """Return a finite number, or the number that a plain decimal text spells; None for anything else."""
    if isinstance(value, str):
        text = value.strip() if len(value) <= 40 else ""
        return float(text) if _DECIMAL.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return math.inf
