"""Read what marks values beside them: valid, quality, SQI, artifact, deleted, status. Pure.

A value that its sender marks as bad is no value. A column or key names what it speaks of: `HR_valid` of a heart rate,
`quality` of the whole row. What a mark means is known by its name: 1 is good in `valid` and bad in `artifact`.
"""

import re
from collections.abc import Collection, Mapping
from enum import Enum
from functools import lru_cache

from vitals.recording.cells import MISSING, NUMBER
from vitals.recording.names import plain


class Kind(Enum):
    """What a column states."""

    VALID = "valid"
    INVALID = "invalid"
    QUALITY = "quality"
    STATUS = "status"
    FLAG = "flag"
    TYPE = "type"
    TEXT = "text"


# Not here: verified, manual and preliminary. Such a value is a measurement that no person has looked at, or has typed.
_OF_VALUES = (
    "invalid artifact artifacts artefact artefacts artefakt imputed interpolated extrapolated simulated simulation "
    "demo corrupt corrupted erroneous ungültig ungueltig interpoliert simuliert invalide inválido inválida ongeldig"
)
NO_MEASUREMENT = (
    f"{_OF_VALUES} deleted voided void removed rejected excluded retracted cancelled canceled outlier estimated "
    "predicted forecast wrong incorrect gelöscht geloescht storniert verworfen geschätzt geschaetzt supprimé annulé "
    "estimé eliminado anulado estimado annullato eliminato stimato verwijderd"
)
"""Words by which a value is no measurement, or none any more."""

STATISTICS = "mean average avg averaged median maximum max minimum highest lowest variability mittelwert moyenne"
LIMITS = "target goal limit limits threshold alarm setting settings baseline predicted delta change trend reserve"
"""Words by which a value is of another quantity than a sign at a moment."""

_KINDS = {
    Kind.VALID: "valid validity ok good reliable usable accepted gueltig gültig valide válido válida signal_ok "
    "sensor_ok",
    Kind.INVALID: f"{NO_MEASUREMENT} error motion_artifact noisy bad test exclude delete entered_in_error in_error "
    "deleted_at deleted_time deleted_on voided_at removed_at rejected_at",
    Kind.QUALITY: "quality signal_quality data_quality quality_index signal_quality_index sqi quality_score "
    "confidence conf reliability qualität signalqualität qualité qualità calidad",
    Kind.STATUS: "status sensor_status signal_status probe_status state lead_off leads_off sensor qc "
    "result_status record_status value_status measurement_status validation_status quality_flag qc_flag quality_status "
    "data_status mode",
    Kind.FLAG: "flag flags qualifier",
    Kind.TYPE: "type data_type value_type kind method statistic statistics aggregation aggregate aggregated_by "
    "command cmd",
    Kind.TEXT: "comment comments note notes remark remarks annotation bemerkung kommentar",
}
KINDS: Mapping[str, Kind] = {plain(name): kind for kind, names in _KINDS.items() for name in names.split()}
"""Plain names of the columns that are marks, without the words before and after them that change nothing."""

_YES = frozenset(("true", "t", "yes", "y", "ja", "j", "oui", "si", "sì", "sim", "tak", "да", "evet", "是", "x"))
_NO = frozenset(("false", "f", "no", "n", "nein", "non", "nee", "não", "nie", "нет", "hayır", "否"))
_GOOD = frozenset(
    (
        "good", "ok", "okay", "valid", "measured", "high", "excellent", "very_good", "fair", "acceptable", "medium",
        "moderate", "normal", "reliable", "clean", "best", "gut", "sehr_gut", "gueltig", "gültig", "bon", "bonne",
        "bueno", "buena", "buono", "buona",
    )
)  # fmt: skip
_NO_ERROR = frozenset(f"{no}_{what}" for no in ("no", "kein") for what in ("error", "errors", "fault", "fehler"))
_NEGATED = r"(?<!\bno )(?<!\bnot )(?<!\bnon )(?<!\bkein )(?<!\bohne )(?<!\bwithout )(?<!\bfree of )"
_WORDS = "|".join(NO_MEASUREMENT.split())
# "DVT excluded", "catheter removed": a person's text may speak of the patient, so most words have to be all of it, but
# for one that names the value.
_BAD_TEXT = re.compile(
    rf"{_NEGATED}\b(?:{'|'.join(_OF_VALUES.split())}|entered in error)\b|"
    rf"^(?:(?:value|reading|measurement|wert|messung) )?(?:(?:is|was|wurde) )?(?:{_WORDS})"
    r"(?: (?:value|reading|measurement|wert|messung|by .*))?$"
)
_BAD_TYPE = re.compile(
    rf"{_NEGATED}\b(?:{_WORDS}|(?<!\d )min|set|test|config|{'|'.join(f'{STATISTICS} {LIMITS}'.split())})\b"
)
_OF_MESSAGES = frozenset(("alarm", "change", "on_change", "vitals_set", "vital_signs_set", "data_set"))
"""Types of messages that have values of the moment."""
# Words of a status; any other status says nothing of the values. A letter alone is that of HL7: deleted, wrong, none.
_BAD_STATUS = re.compile(
    rf"{_NEGATED}\b(?:{_WORDS}|off|out|error|fault|disconnect(?:ed)?|unplugged|search(?:ing)?|no finger|no signal|"
    r"no pulse|lost|bad|poor|unreliable|fail(?:ed|ure)?|test|calibrat(?:ion|ing)|abgefallen|schlecht)\b|^[dwx]$"
)
_OF_ALARMS = re.compile(r"alarm|alert")
_ABNORMAL = re.compile(r"\bout of (?:\w+ )?(?:range|limits?|bounds)\b|\boff (?:oxygen|o2)\b|^\w$")
"""Flags of what is measured; a letter alone is that of HL7 for abnormal values."""
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
    words, spaced = re.sub(r"[ -]+", "_", word), re.sub(r"[_-]", " ", word)
    match kind:
        case Kind.TEXT:
            return _BAD_TEXT.search(spaced) is not None
        case Kind.TYPE:
            return words not in _OF_MESSAGES and _BAD_TYPE.search(spaced) is not None
        case Kind.STATUS | Kind.FLAG:
            stated = _ABNORMAL.sub("", spaced) if kind is Kind.FLAG else spaced
            return _BAD_STATUS.search(stated) is not None and not _OF_ALARMS.search(word)
        case Kind.INVALID:
            return number != 0 and word not in _NO and words not in _GOOD | _NO_ERROR
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
    text = plain(re.sub(r"[\s(\[]*%[\s)\]]*$", "", name).rstrip("?!: "))
    if kind := _kind(text):
        return kind, None, in_percent
    for sign, column in known.items():
        for rest in (text.removeprefix(sign), text.removesuffix(sign)):
            if rest != text and (kind := _kind(rest)):
                return kind, column, in_percent
    return None


def _kind(text: str) -> Kind | None:
    bare = re.sub(r"^(?:is|was)|(?<!quality)(?<!qc)(?:flag|mark)$", "", text)
    return KINDS.get(text) or KINDS.get(bare)


def bad_mark(element: Mapping[str, object], ignored: Collection[str] = (), name: str = "") -> str:
    """Return the mark in an object of JSON by which a value is no measurement, such as `deleted is true`; else "".

    ignored   keys that are no marks here
    name      key of the value: `hr_valid` is a mark of `hr`
    """
    for key, value in element.items():
        kind = _kind_of_key(key, name) if isinstance(value, (str, int, float)) and key not in ignored else None
        if kind and is_bad(kind, str(value)):
            return f"{key[:40]} is {str(value)[:40]}"
    return ""


@lru_cache(maxsize=4096)  # a sender repeats its keys in every message
def _kind_of_key(key: str, name: str) -> Kind | None:
    found = kind_of(key, {plain(name): name} if name else {})
    return found[0] if found else None
