"""Encode readings as JSON, and decode JSON, which may be hostile, into readings.

`decode` never raises: it describes what it rejects by a reason code and a message, so that the caller can store both
beside the good rows. One well-formed reading takes one call into msgspec (about 1 us). What msgspec rejects is decoded
again, slowly and field by field, to describe the problems and to keep what is valid.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
from vitals.payload import DECODE_ERRORS, decode_foreign
from vitals.reading import MAX_COUNTER, FullReading, Reading, has_value
from vitals.signs import BY_KEY, SIGNS

MAX_PAYLOAD = 64 * 1024  # bytes; about 300 readings in an array
# In an array. No 2,000 real ones fit into MAX_PAYLOAD. Each item of "[1,1,1..." is examined, and 64 KiB of them took
# 110 ms, during which no other message was decoded.
MAX_READINGS = 2000
NO_TIME = (
    f'no "time"; {EXPECTED_TIME}; a device without a clock sends single readings and is listed in '
    "VITALFLOW_ARRIVAL_TIME_DEVICES"
)
MAX_AHEAD = timedelta(minutes=5)  # a device clock further ahead is wrong
MAX_DETAILS = 10  # problems of one message that are described; the others are counted


class Reason(StrEnum):
    """Reason code for rejecting a message or a part of it: `rejected_message.reason` and a label in metrics."""

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
    """One problem of a message: reason code and description."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The accepted times of readings. Computed per batch, not per message."""

    earliest: datetime
    latest: datetime

    @classmethod
    def at(cls, now: datetime, retention: timedelta) -> "TimeWindow":
        """Return the window at `now`: not older than `retention`, not further ahead than MAX_AHEAD."""
        return cls(now - retention, now + MAX_AHEAD)


ANY_TIME = TimeWindow(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""For programs that check the clock of a device themselves."""


class Decoded(msgspec.Struct):
    """Result of decoding one message. `problems` is empty for a valid message.

    rejected   boot and seq of rejected readings, where they can be read, for the receipt to the device

    A Struct, because one is made for every message and a dataclass takes four times as long to make.
    """

    readings: list[Reading]
    problems: list[Problem] = []
    unknown_keys: int = 0
    rejected: list[tuple[int, int]] = []

    def rejection(self) -> Problem | None:
        """Merge all problems into one: the reason of the first and MAX_DETAILS descriptions. None without problems."""
        if not self.problems:
            return None
        details = [problem.detail for problem in self.problems[:MAX_DETAILS]]
        if len(self.problems) > MAX_DETAILS:
            details.append(f"and {len(self.problems) - MAX_DETAILS} more")
        return Problem(self.problems[0].reason, "; ".join(details))


_encoder = msgspec.json.Encoder()
_decode_one = msgspec.json.Decoder(FullReading).decode
_decode_many = msgspec.json.Decoder(list[FullReading]).decode  # type: ignore[valid-type]
_FIELDS = frozenset(FullReading.__struct_fields__)


def encode(reading: Reading) -> bytes:
    """Encode a reading as a JSON object."""
    return _encoder.encode(reading)


def encode_many(readings: list[Reading]) -> bytes:
    """Encode a backlog as a JSON array, oldest first; the caller keeps it below MAX_PAYLOAD."""
    return _encoder.encode(readings)


def decode(payload: bytes, clock: TimeWindow, arrival: datetime | None = None) -> Decoded:
    """Decode a payload: one reading, or an array of them.

    arrival   the time of a reading without `time`; None: it is rejected. Not used in an array of several: a backlog was
              not measured when it arrived

    An unusable field is left out of its reading; a reading with a wrong time or without any value is rejected.
    `problems` describes both.
    """
    if len(payload) <= MAX_PAYLOAD:
        try:
            if payload[:1] != b"[":  # nearly always; treating it as a list of one would double the cost
                reading = _decode_one(payload)
                if _find_problem(reading, clock) is None:
                    return Decoded([reading])
            else:
                readings = _decode_many(payload)
                if readings and not any(_find_problem(reading, clock) for reading in readings):
                    return Decoded(readings)
        except DECODE_ERRORS:
            pass
    return _decode_slowly(payload, clock, arrival)


def _find_problem(reading: Reading, clock: TimeWindow) -> Problem | None:
    """Check what the types cannot express: times, empty readings, unprintable text, a value of a sensor that is off."""
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
        if not has_value(reading):
            return Problem(Reason.NO_SIGN, f"no sign and no sensor_off; expected one of {', '.join(BY_KEY)}")
    elif len(set(reading.sensor_off)) < len(reading.sensor_off):
        return Problem(Reason.BAD_FIELD, "sensor_off names a sign twice")  # the slow path corrects it
    elif any(reading.value(key) is not None for key in reading.sensor_off):
        return Problem(Reason.CONTRADICTION, "a sign has a value although sensor_off names it")
    return None


def _decode_slowly(payload: bytes, clock: TimeWindow, arrival: datetime | None) -> Decoded:
    """The slow path: describe the problems, keep what is valid."""
    if len(payload) > MAX_PAYLOAD:
        return _rejected(Reason.TOO_LARGE, f"{len(payload)} bytes; at most {MAX_PAYLOAD} are read")
    try:
        content = decode_foreign(payload)
    except RecursionError:
        return _rejected(Reason.NOT_JSON, "nested too deeply to be read")
    except DECODE_ERRORS as error:
        return _rejected(Reason.NOT_JSON, f"not JSON: {error}")
    if isinstance(content, dict):
        return _decode_object(content, clock, arrival)
    if not isinstance(content, list):
        return _rejected(Reason.NOT_A_READING, f"expected an object or an array of objects, got {_json_type(content)}")
    if not content:
        return _rejected(Reason.EMPTY_ARRAY, "an array without a reading")
    if len(content) > MAX_READINGS:
        return _rejected(Reason.TOO_LARGE, f"an array of {len(content)}; at most {MAX_READINGS} readings are read")
    result = Decoded([])
    for number, item in enumerate(content, 1):
        if isinstance(item, dict):
            part = _decode_object(item, clock, arrival if len(content) == 1 else None)
        else:
            part = _rejected(Reason.NOT_A_READING, f"expected an object, got {_json_type(item)}")
        prefix = f"reading {number} of {len(content)}: "
        result.readings += part.readings
        result.problems += [Problem(p.reason, prefix + p.detail) for p in part.problems]
        result.unknown_keys += part.unknown_keys
        result.rejected += part.rejected
    return result


def _decode_object(content: dict[str, Any], clock: TimeWindow, arrival: datetime | None) -> Decoded:
    """Decode one object; note boot and seq if it is rejected."""
    result = _check_object(content, clock, arrival)
    boot, seq = content.get("boot", 0), content.get("seq", 0)
    if not result.readings and type(boot) is int and type(seq) is int and 0 < seq <= MAX_COUNTER >= boot >= 0:
        result.rejected.append((boot, seq))
    return result


def _check_object(content: dict[str, Any], clock: TimeWindow, arrival: datetime | None) -> Decoded:
    """Read one object field by field: a field without a usable value becomes absent and is a problem."""
    known = {key: value for key, value in content.items() if key in _FIELDS and value is not None}
    unknown = sum(key not in _FIELDS for key in content)
    problems: list[Problem] = []
    measured = False  # whether a sign was measured, although its value is rejected

    def parse(key: str, parser: Callable[[Any], Any], reason: Reason = Reason.BAD_FIELD) -> None:
        if key in known:
            try:
                known[key] = parser(known[key])
            except BadField as error:
                problems.append(Problem(reason, str(error)))
                del known[key]

    parse("boot", partial(parse_counter, "boot"))
    parse("seq", partial(parse_counter, "seq"))
    if problems:  # boot and seq identify a reading only together
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
    if "time" not in known and arrival is None:
        return Decoded([], [Problem(Reason.NO_TIME, NO_TIME), *problems], unknown)
    try:
        known["time"] = parse_time(known["time"]) if "time" in known else arrival
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


def _rejected(reason: Reason, detail: str) -> Decoded:
    return Decoded([], [Problem(reason, detail)])


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


def find_unknown_keys(payload: bytes) -> list[str]:
    """Return the keys that `decode` only counts, and unknown signs in `sensor_off`, each once. For diagnosis: slow."""
    try:
        content = decode_foreign(payload)
    except DECODE_ERRORS:
        return []
    found: dict[str, None] = {}
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, dict):
            found |= dict.fromkeys(key for key in item if key not in _FIELDS)
            off = item.get("sensor_off")
            if isinstance(off, list):
                found |= dict.fromkeys(key for key in off if isinstance(key, str) and key not in BY_KEY)
    return list(found)


def find_repeated_keys(payload: bytes) -> list[str]:
    """Return the keys that come more than once in one object, of which only the last one counts. For diagnosis: slow.

    `decode` does not notice them: a check would cost an eighth of its time with every reading.
    """
    found: dict[str, None] = {}

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = Counter(key for key, _ in pairs)
        found.update(dict.fromkeys(key for key, count in keys.items() if count > 1))

    try:
        json.loads(payload.decode("utf-8-sig"), object_pairs_hook=note)
    except (ValueError, RecursionError):
        return []
    return list(found)
