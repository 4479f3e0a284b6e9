"""Recognise in a free text that a value is not that of a sign at a moment, such as a mean or a limit. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache

from vitals.recording.marks import LIMITS, STATISTICS

_GUESSES = "estimated estimate simulated imputed interpolated"
_OTHERS = "resting walking recovery set vent ventilator mandatory simv index"
_PLACES = (
    "pulmonary wedge atrial venous fetal foetal intracranial cerebral regional tissue muscle somatic ankle "
    "pap cvp icp svo2 scvo2 sto2 rso2 smo2 abg"
)
_WORDS = frozenset(f"{STATISTICS} {LIMITS} {_GUESSES} {_OTHERS} {_PLACES}".split())
_SURFACES = (
    "skin tskin finger toe foot feet wrist hand leg calf ankle scalp limb extremity surface peripheral ambient room "
    "air environment environmental mattress blanket incubator warmer water bath dialysate injectate"
)
_SURFACE_CODES = "39937001 7569003 29707007 78883009 56459004 8205005 85562004"
"""Of SNOMED CT: skin, finger, toe, great toe, foot, wrist, hand."""
_SURFACE = frozenset(f"{_SURFACES} {_SURFACE_CODES}".split())
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # RestingHeartRate
_HARMLESS = re.compile(r"\bindex finger\b|\brecovery room\b", re.IGNORECASE)  # where a patient or sensor is
_BETWEEN = str.maketrans(dict.fromkeys("_/.,:;()[]-&+^~", " "))


def words_of(text: str) -> str:
    """Return a text with a space in place of each mark between its words."""
    return text.translate(_BETWEEN)


def another_quantity(texts: Iterable[str], allowed: frozenset[str] = frozenset()) -> str:
    """Return why a value is of another quantity, by the texts that belong to it; empty if none states it.

    allowed   words that state nothing here
    """
    stated = (_HARMLESS.sub("", text) for text in texts)
    words = {word for text in stated for word in words_of(f"{text} {_CAMEL.sub(' ', text)}").casefold().split()}
    found = sorted(words & _WORDS - allowed)
    return f"its text states {found[0]!a}: it is another quantity" if found else ""


@lru_cache(maxsize=4096)  # a sender repeats them in every message
def not_of_the_body(texts: str) -> str:
    """Return the word of the texts by which a temperature is not that of the body; empty if none states it."""
    return next((word for word in words_of(texts).casefold().split() if word in _SURFACE), "")
