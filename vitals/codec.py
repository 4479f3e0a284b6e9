"""The wire format: a reading as JSON, and JSON, which may be hostile, as readings.

`devices` encodes here and `ingest` decodes. `decode` never raises: what it cannot take it describes, with
a reason for machines and a sentence for people, so that the caller can keep it beside the good rows.

The common case, one well-formed reading, is one call into msgspec (about 1 us). Whatever msgspec refuses is
looked at again, slowly and field by field, to say what is wrong and to save what is right.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from vitals.fields import (
    EXPECTED_TIME,
    BadField,
    format_number,
    parse_consciousness,
    parse_counter,
    parse_on_oxygen,
    parse_patient_id,
    parse_sensor_off,
    parse_sign,
    parse_time,
)
from vitals.payload import DECODE_ERRORS
from vitals.reading import MAX_COUNTER, FullReading, Reading, sign_values
from vitals.signs import BY_KEY, SIGNS

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_PAYLOAD = 64 * 1024  # bytes; about 300 readings in an array
# In an array. No 2,000 real ones fit into MAX_PAYLOAD; of "[1,1,1..." each costs its own look, and 64 KiB of them took
# 110 ms, in which nothing else was read.
MAX_READINGS = 2000
MAX_AHEAD = timedelta(minutes=5)  # a device clock further ahead than this is wrong, not fast
MAX_DETAILS = 10  # problems of one message that are spelled out; the rest is a number


class Reason(StrEnum):
    """Why a message, or a part of it, was not stored. Stored in `rejected_message.reason`, counted in metrics."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_A_READING = "not_a_reading"
    EMPTY_ARRAY = "empty_array"
    NO_TIME = "no_time"
    BAD_TIME = "bad_time"
    CLOCK_AHEAD = "clock_ahead"
    TOO_OLD = "too_old"
    BAD_FIELD = "bad_field"
    BAD_TEXT = "bad_text"
    NO_SIGN = "no_sign"
    IMPLAUSIBLE = "implausible"
    CONTRADICTION = "contradiction"
    BAD_TOPIC = "bad_topic"
    BAD_STATUS = "bad_status"
    BAD_ALERT = "bad_alert"
    BAD_COMMAND = "bad_command"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a message: a reason for machines, a sentence for people."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The times a reading may carry. Made once a batch, not once a message."""

    earliest: datetime
    latest: datetime

    @classmethod
    def at(cls, now: datetime, retention: timedelta) -> "TimeWindow":
        """What is believable at `now`: not older than what is kept, not further ahead than a clock may err."""
        return cls(now - retention, now + MAX_AHEAD)


ANY_TIME = TimeWindow(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""For a program that judges a device's clock itself."""


@dataclass(slots=True)
class Decoded:
    """What became of one message. `readings` are good; `problems` are empty for a clean message.

    `refused`: boot and seq of readings that did not come back, where they can be read, so that their device can be
    told.
    """

    readings: list[Reading]
    problems: list[Problem] = field(default_factory=list)
    unknown_keys: int = 0
    rejected: list[tuple[int, int]] = field(default_factory=list)

    def rejection(self) -> Problem | None:
        """All problems as one: the first one's reason, and the first few sentences. None where there are none."""
        if not self.problems:
            return None
        details = [problem.detail for problem in self.problems[:MAX_DETAILS]]
        if len(self.problems) > MAX_DETAILS:
            details.append(f"and {len(self.problems) - MAX_DETAILS} more")
        return Problem(self.problems[0].reason, "; ".join(details))


_encoder = msgspec.json.Encoder()
_decode_one = msgspec.json.Decoder(FullReading).decode
_decode_many = msgspec.json.Decoder(list[FullReading]).decode  # type: ignore[valid-type]
# Python's own way to read a number: msgspec's takes 8 us for 1e300, of which 64 KiB hold 10,900.
_decode_any = msgspec.json.Decoder(float_hook=float).decode
_FIELDS = frozenset(FullReading.__struct_fields__)
_NO_VALUES = (None,) * len(SIGNS)


def encode(reading: Reading) -> bytes:
    """One reading as a JSON object."""
    return _encoder.encode(reading)


def encode_many(readings: list[Reading]) -> bytes:
    """A backlog as a JSON array, oldest first. The caller keeps it below MAX_PAYLOAD."""
    return _encoder.encode(readings)


def decode(payload: bytes, clock: TimeWindow) -> Decoded:
    """Take a payload apart: one reading, or an array of them.

    A reading with an implausible sign comes back without that sign; one that is wrong in any other way does
    not come back. Either way `problems` says so.
    """
    if len(payload) <= MAX_PAYLOAD:
        try:
            if payload[:1] != b"[":  # as nearly always; a list of one and a generator would cost as much again
                reading = _decode_one(payload)
                if _find_problem(reading, clock) is None:
                    return Decoded([reading])
            else:
                readings = _decode_many(payload)
                if readings and not any(_find_problem(reading, clock) for reading in readings):
                    return Decoded(readings)
        except DECODE_ERRORS:
            pass
    return _decode_slowly(payload, clock)


def _find_problem(reading: Reading, clock: TimeWindow) -> Problem | None:
    """What the types cannot say: times, empty readings, unprintable text, a value from a sensor that is off."""
    if reading.time > clock.latest:
        limit = f"later than {clock.latest.isoformat(timespec='seconds')}"
        return Problem(Reason.CLOCK_AHEAD, f"time {reading.time.isoformat()} is {limit}; set the device's clock")
    if reading.time < clock.earliest:
        limit = f"older than {clock.earliest.isoformat(timespec='seconds')}"
        return Problem(
            Reason.TOO_OLD,
            f"time {reading.time.isoformat()} is {limit}, the age up to which readings are kept",
        )
    patient = reading.patient_id
    if patient is not None and not (patient and patient.isprintable() and patient.strip() == patient):
        return Problem(Reason.BAD_TEXT, f"patient_id {patient!a} is empty or holds characters that cannot be printed")
    if not reading.sensor_off:
        if sign_values(reading) == _NO_VALUES and reading.consciousness is None and reading.on_oxygen is None:
            return Problem(Reason.NO_SIGN, f"no sign and no sensor_off; expected one of {', '.join(BY_KEY)}")
    elif len(set(reading.sensor_off)) < len(reading.sensor_off):
        return Problem(Reason.BAD_FIELD, "sensor_off names a sign twice")  # the slow road puts it right
    elif any(reading.value(key) is not None for key in reading.sensor_off):
        return Problem(Reason.CONTRADICTION, "a sign has a value although sensor_off names it")
    return None


def _decode_slowly(payload: bytes, clock: TimeWindow) -> Decoded:
    """The slow road: say what is wrong, save what is right."""
    if len(payload) > MAX_PAYLOAD:
        return _rejected(Reason.TOO_LARGE, f"{len(payload)} bytes; at most {MAX_PAYLOAD} are read")
    payload = payload.removeprefix(BYTE_ORDER_MARK)  # RFC 8259 section 8.1 allows a reader to ignore it
    try:
        content = _decode_any(payload)
    except RecursionError:
        return _rejected(Reason.NOT_JSON, "nested too deeply to be read")
    except DECODE_ERRORS as error:
        content = _decode_constants(payload)
        if content is None:
            return _rejected(Reason.NOT_JSON, f"not JSON: {error}")
    if isinstance(content, dict):
        return _decode_object(content, clock)
    if not isinstance(content, list):
        return _rejected(Reason.NOT_A_READING, f"expected an object or an array of objects, got {_json_type(content)}")
    if not content:
        return _rejected(Reason.EMPTY_ARRAY, "an array without a reading")
    if len(content) > MAX_READINGS:
        return _rejected(Reason.TOO_LARGE, f"an array of {len(content)}; at most {MAX_READINGS} readings are read")
    whole = Decoded([])
    for number, item in enumerate(content, 1):
        if isinstance(item, dict):
            part = _decode_object(item, clock)
        else:
            part = _rejected(Reason.NOT_A_READING, f"expected an object, got {_json_type(item)}")
        place = f"reading {number} of {len(content)}: "
        whole.readings += part.readings
        whole.problems += [Problem(p.reason, place + p.detail) for p in part.problems]
        whole.unknown_keys += part.unknown_keys
        whole.rejected += part.rejected
    return whole


def _decode_constants(payload: bytes) -> Any:
    """Decode JSON that holds NaN or Infinity, which JSON does not have and several libraries write; None if it is not.

    The constants become floats that no field accepts, so that the field is a problem and the others are not.
    """
    if b"NaN" not in payload and b"Infinity" not in payload:
        return None
    try:
        return json.loads(payload.decode())
    except (ValueError, RecursionError):
        return None


def _decode_object(content: dict[str, Any], clock: TimeWindow) -> Decoded:
    """One object, and its name where nothing else comes of it."""
    found = _check_object(content, clock)
    boot, seq = content.get("boot", 0), content.get("seq", 0)
    if not found.readings and type(boot) is int and type(seq) is int and 0 < seq <= MAX_COUNTER >= boot >= 0:
        found.rejected.append((boot, seq))
    return found


def _check_object(content: dict[str, Any], clock: TimeWindow) -> Decoded:
    """Read one object field by field: a field without a usable value becomes absent and is a problem."""
    known = {key: value for key, value in content.items() if key in _FIELDS and value is not None}
    unknown = sum(key not in _FIELDS for key in content)
    problems: list[Problem] = []
    measured = False  # a sign was measured, although its value is not believed

    def parse(key: str, parser: Callable[[Any], Any], reason: Reason = Reason.BAD_FIELD) -> None:
        if key in known:
            try:
                known[key] = parser(known[key])
            except BadField as error:
                problems.append(Problem(reason, str(error)))
                del known[key]

    parse("boot", partial(parse_counter, "boot"))
    parse("seq", partial(parse_counter, "seq"))
    if problems:  # half a number names no reading
        known.pop("boot", None)
        known.pop("seq", None)
    parse("patient_id", parse_patient_id, Reason.BAD_TEXT)
    parse("on_oxygen", parse_on_oxygen)
    parse("consciousness", parse_consciousness)
    parse("sensor_off", parse_sensor_off)
    off = known.get("sensor_off", ())
    known["sensor_off"] = tuple(key for key in off if key in BY_KEY)
    unknown += len(off) - len(known["sensor_off"])
    for sign in SIGNS:
        parse(sign.key, partial(parse_sign, sign))
        value = known.get(sign.key)
        if value is None:
            continue
        if not sign.low <= value <= sign.high:
            expected = f"{sign.low:g} to {sign.high:g} {sign.unit}"
            problems.append(Problem(Reason.IMPLAUSIBLE, f"{sign.key} {format_number(value)} is outside {expected}"))
        elif sign.key in off:
            detail = f"{sign.key} has the value {format_number(value)} although sensor_off names it"
            problems.append(Problem(Reason.CONTRADICTION, detail))
        else:
            continue
        del known[sign.key]
        measured = True
    if "time" not in known:
        return Decoded([], [Problem(Reason.NO_TIME, f'no "time"; {EXPECTED_TIME}'), *problems], unknown)
    try:
        known["time"] = parse_time(known["time"])
    except BadField as error:
        return Decoded([], [Problem(Reason.BAD_TIME, str(error)), *problems], unknown)
    reading: Reading = FullReading(**known)
    problem = _find_problem(reading, clock)
    if problem and problem.reason is Reason.NO_SIGN and problems:
        # Still a row where it was measured or numbered: its seq was produced and must not look like a gap.
        return Decoded([reading] if measured or reading.seq else [], problems, unknown)
    if problem:
        return Decoded([], [problem, *problems], unknown)
    return Decoded([reading], problems, unknown)


def _rejected(reason: Reason, detail: str, unknown_keys: int = 0) -> Decoded:
    return Decoded([], [Problem(reason, detail)], unknown_keys)


def _json_type(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "an array",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
