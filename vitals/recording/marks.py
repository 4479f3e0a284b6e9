"""Read the columns by which a file marks values: valid, quality, SQI, artifact, status. Pure.

A value that its file marks as bad is no value. A column names what it speaks of: `HR_valid` of a heart rate, `quality`
of the whole row. What a mark means is known by the column: 1 is good in `valid` and bad in `artifact`.
"""

import re
from collections.abc import Mapping
from enum import Enum

from vitals.recording.cells import MISSING, NUMBER
from vitals.recording.names import plain


class Kind(Enum):
    """What a column states."""

    VALID = "valid"
    INVALID = "invalid"
    QUALITY = "quality"
    STATUS = "status"


_KINDS = {
    Kind.VALID: "valid is_valid validity ok good reliable gueltig gültig",
    Kind.INVALID: "invalid is_invalid artifact artefact artifacts is_artifact artefakt error is_error motion_artifact "
    "noisy bad simulated is_simulated is_test",
    Kind.QUALITY: "quality signal_quality data_quality quality_index signal_quality_index sqi quality_score "
    "confidence conf reliability qualität signalqualität qualité qualità calidad",
    Kind.STATUS: "status sensor_status signal_status probe_status state lead_off leads_off sensor",
}
KINDS: Mapping[str, Kind] = {plain(name): kind for kind, names in _KINDS.items() for name in names.split()}
"""Plain names of the columns that are marks."""

_YES = frozenset(("true", "t", "yes", "y", "ja", "j", "oui", "si", "sì", "x"))
_NO = frozenset(("false", "f", "no", "n", "nein", "non"))
_GOOD = frozenset(
    (
        "good", "ok", "okay", "valid", "measured", "high", "excellent", "very_good", "fair", "acceptable", "medium",
        "moderate", "normal", "reliable", "clean", "best", "gut", "sehr_gut", "gueltig", "gültig", "bon", "bonne",
        "bueno", "buena", "buono", "buona",
    )
)  # fmt: skip
# Words of a status; any other status says nothing about the values.
_BAD_STATUS = re.compile(
    r"\b(?:off|out|invalid|error|fault|artifact|artefact|disconnect(?:ed)?|unplugged|search(?:ing)?|no[ _-]?finger|"
    r"no[ _-]?signal|no[ _-]?pulse|lost|bad|poor|unreliable|failed|failure|test|demo|calibrat(?:ion|ing)|simulated|"
    r"artefakt|abgefallen)\b",
    re.IGNORECASE,
)
_OF_ALARMS = re.compile(r"alarm|alert", re.IGNORECASE)
_HALF, _PERCENT_FROM, _HALF_PERCENT = 0.5, 5.0, 50.0


def is_bad(kind: Kind, text: str, *, in_percent: bool = False) -> bool:
    """Return whether a mark says that a value does not count, or says something that is not known.

    A quality counts from the middle of its scale on: 0 to 1, or 0 to 100 if the number is above 5. An empty mark says
    nothing.
    """
    word = " ".join(text.casefold().split()).strip(" .!*")
    if word in MISSING:
        return False
    number = float(word.replace(",", ".")) if NUMBER.fullmatch(word) else None
    words = re.sub(r"[ -]+", "_", word)
    match kind:
        case Kind.STATUS:
            return bool(_BAD_STATUS.search(word.replace("_", " "))) and not _OF_ALARMS.search(word)
        case Kind.INVALID:
            return number != 0 and word not in _NO and words not in _GOOD
        case Kind.QUALITY if number is not None:
            if in_percent or number > _PERCENT_FROM:
                return number < _HALF_PERCENT
            return number < _HALF
    return number == 0 or (number is None and words not in _YES | _GOOD)


def kind_of(name: str, known: Mapping[str, str]) -> tuple[Kind, str | None, bool] | None:
    """Return what a column states, of which column of a sign, and whether in percent; None if it is no mark.

    known   plain names of columns of signs -> what the result names them by; None: the whole row
    """
    in_percent = name.rstrip(" )]").endswith("%")
    text = plain(re.sub(r"[\s(\[]*%[\s)\]]*$", "", name))
    if text in KINDS:
        return KINDS[text], None, in_percent
    for mark, kind in KINDS.items():
        for rest in (text.removesuffix(mark), text.removeprefix(mark)):
            if rest != text and rest in known:
                return kind, known[rest], in_percent
    return None
