"""Compare names of columns, and read the units in them: `Heart Rate(/min)`, `SpO2 [%]`, `temp_f`."""

import re
import unicodedata
from collections.abc import Container

from vitals.units import InvalidUnit, find_unit

_UNIT_IN_BRACKETS = (re.compile(r"(.+?)\s*\((.+)\)"), re.compile(r"(.+?)\s*\[(.+)\]"))
_LAST_WORD = re.compile(r"(.+?)[\s_.-]+([^\s_.-]+)|(.+?)\s*(%)")
_NO_UNIT = frozenset(("", "-", "nd", "nu", "none", "n/a", "adu"))  # nd, NU, adu: WFDB
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
}


def plain(name: str) -> str:
    """Return a name for comparison: without case, quotes, blanks, underscores and points; SpO₂ is spo2."""
    return re.sub(r"[\s_.'\"-]", "", unicodedata.normalize("NFKC", name)).casefold()


def split_unit(name: str, known: Container[str]) -> tuple[str, str]:
    """Return the plain name of a column and the text of its unit, which is empty if the name holds none.

    known   plain names that hold no unit. The last word of a name is a unit only if the rest is such a name, so that
            `elapsed_s` with `elapsed` known is in seconds, and `T1` is not in `1`
    """
    text = unicodedata.normalize("NFKC", name).strip(" \t'\"")
    for pattern in _UNIT_IN_BRACKETS:
        if (match := pattern.fullmatch(text)) and is_unit(match[2]):
            return plain(match[1]), bare(match[2])
    if plain(text) in known:
        return plain(text), ""
    if (match := _LAST_WORD.fullmatch(text)) and plain(match[1] or match[3]) in known and is_unit(match[2] or "%"):
        return plain(match[1] or match[3]), bare(match[2] or "%")
    return plain(text), ""


def bare(unit: str) -> str:
    """Return the text of a unit without brackets and quotes around it; empty for the marks of no unit."""
    text = unit.strip(" \t'\"")
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1].strip()
    return "" if text.casefold() in _NO_UNIT else text


def is_unit(text: str) -> bool:
    """Return whether a text is a unit of a sign or of time, or the zone UTC."""
    return seconds_in(text) is not None or unit_of(text) is not None or is_utc(text)


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
