"""Ids of FHIR resources, derived from the names of devices and patients and from the key of a reading. Pure.

A FHIR id has at most 64 characters of A-Z, a-z, 0-9, "-" and "."; a name here has up to 200 printable ones. An id of an
Observation holds the whole key of its reading, so that a read needs no table of ids.
"""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_PLAIN = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DERIVED = re.compile(r"x-[a-z2-7]{26}")
_NUMBER = r"(-?[0-9a-z]{1,13})"
_OBSERVATION = re.compile(rf"(d[a-z2-7]{{16}})\.{_NUMBER}\.{_NUMBER}\.{_NUMBER}\.([a-z]{{2}})")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(one + other for one in _DIGITS for other in _DIGITS)


class ObservationKey(NamedTuple):
    """The reading of an Observation by its primary key, and which Observation of the reading it is.

    device    id of the Device
    what      two letters: `Kind.letters` of vitals/fhir.py
    """

    device: str
    time: datetime
    boot: int
    seq: int
    what: str


@lru_cache(maxsize=4096)  # a page has the same few many times
def device_id(device: str) -> str:
    """Return the id of the Device with this name."""
    return "d" + _digest(device, 16)


@lru_cache(maxsize=4096)
def patient_id(patient: str) -> str:
    """Return the id of the Patient with this number: the number itself where it is a valid id.

    Not `.` and `..`, which a URL resolves as folders, and not what looks like the id of another number.
    """
    if _PLAIN.fullmatch(patient) and patient.strip(".") and not _DERIVED.fullmatch(patient):
        return patient
    return "x-" + _digest(patient, 26)


def is_derived(text: str) -> bool:
    """Return whether this id of a Patient does not state the number."""
    return _DERIVED.fullmatch(text) is not None


def observation_id(key: ObservationKey) -> str:
    """Return the id of an Observation: at most 62 characters, with the numbers to the base of 36."""
    numbers = ((key.time - EPOCH) // MICROSECOND, key.boot, key.seq)
    return ".".join((key.device, *map(_base36, numbers), key.what))


def read_observation_id(text: str) -> ObservationKey:
    """Return the key that `observation_id` wrote; raises ValueError for anything else."""
    found = _OBSERVATION.fullmatch(text)
    if found is None:
        raise ValueError("no id of an Observation")
    microseconds, boot, seq = (int(part, 36) for part in found.group(2, 3, 4))
    if not (-(2**63) <= boot < 2**63 and -(2**63) <= seq < 2**63):
        raise ValueError("no key of a reading")
    try:
        time = EPOCH + microseconds * MICROSECOND
    except OverflowError:
        raise ValueError("no time of a reading") from None
    key = ObservationKey(found[1], time, boot, seq, found[5])
    if observation_id(key) != text:  # "-0", "007"
        raise ValueError("no id of an Observation")
    return key


def _base36(number: int) -> str:
    rest, digits = abs(number), ""
    while rest >= 36:
        rest, pair = divmod(rest, 1296)
        digits = _PAIRS[pair] + digits
    if rest or not digits:
        digits = _DIGITS[rest] + digits
    return ("-" if number < 0 else "") + (digits.lstrip("0") or "0")


def _digest(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]
