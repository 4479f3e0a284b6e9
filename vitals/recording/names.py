"""Compare names of columns, and read the units in them: `Heart Rate(/min)`, `SpO2 [%]`, `temp_f`."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from vitals.signs import Sign
from vitals.units import InvalidUnit, convert, find_unit

_UNIT_IN_BRACKETS = (re.compile(r"(.+?)\s*\((.+)\)"), re.compile(r"(.+?)\s*\[(.+)\]"), re.compile(r"(.+?)\s*,\s*(.+)"))
_LAST_WORD = re.compile(r"(.+?)[\s_.-]+([^\s_.-]+)")
_PERCENT = re.compile(r"(.+?)(%)")
_NO_UNIT = frozenset(("", "-", "nd", "nu", "none", "n/a", "adu"))  # nd, NU, adu: WFDB
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "hh:mm:ss", "hh:mm:ss.mmm"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
}


@lru_cache(4096)  # each header is compared with all names of all layouts
def plain(name: str) -> str:
    """Return a name for comparison: without case, accents, quotes, blanks, underscores and points; SpO₂ is spo2."""
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.sub(r"[\s_.'\"-]", "", "".join(letters)).casefold().replace("ı", "i")  # the small letter of Turkish I


def split_unit(name: str, known: Mapping[str, Sign | None]) -> tuple[str, str]:
    """Return the plain name of a column and the text of its unit, which is empty if the name holds none.

    known   plain names without unit, and the sign that each has; None: a time. The end of a name is a unit only if the
            rest is such a name and can have it: `elapsed_s` is in seconds, and `HR [Min]` and `SpO2_1` have no unit
    """
    text = unicodedata.normalize("NFKC", name).strip(" \t'\"")
    if plain(text) in known:
        return plain(text), ""
    for pattern in (*_UNIT_IN_BRACKETS, _LAST_WORD, _PERCENT):
        match = pattern.fullmatch(text)
        if match and plain(match[1]) in known and _can_have(known[plain(match[1])], match[2]):
            return plain(match[1]), bare(match[2])
    return plain(text), ""


def _can_have(sign: Sign | None, unit: str) -> bool:
    if sign is None:
        return seconds_in(unit) is not None or is_utc(unit)
    known = unit_of(unit) if unit != "1" else None
    return known is not None and is_convertible(known, sign)


def bare(unit: str) -> str:
    """Return the text of a unit without brackets and quotes around it; empty for the marks of no unit."""
    text = unit.strip(" \t'\"")
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1].strip()
    return "" if text.casefold() in _NO_UNIT else text


def is_utc(text: str) -> bool:
    """Return whether a text in a name, as in `Time (UTC)`, states the zone UTC."""
    return bare(text).casefold() in ("utc", "gmt")


def unit_of(text: str) -> str | None:
    """Return the unit of a sign (`vitals.units`), or None."""
    try:
        return find_unit(bare(text), "", "", {})
    except InvalidUnit:
        return None


def seconds_in(text: str) -> float | None:
    """Return the seconds in a unit of time, or None."""
    return _SECONDS.get(bare(text).casefold())


def is_convertible(unit: str, sign: Sign) -> bool:
    """Return whether values in a unit can be converted into the unit of a sign."""
    try:
        convert(1.0, unit, sign)
    except InvalidUnit:
        return False
    return True
