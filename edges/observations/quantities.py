"""Recognise in a free text that a value is not that of a sign at a moment, such as a mean or a limit. Pure."""

from collections.abc import Iterable

_STATISTICS = "mean average avg averaged median maximum max minimum highest lowest variability mittelwert moyenne"
_LIMITS = "target goal limit limits threshold alarm setting settings baseline predicted estimated delta change trend"
_PLACES = "pulmonary venous fetal foetal intracranial"
_WORDS = frozenset(f"{_STATISTICS} {_LIMITS} {_PLACES}".split())
_BETWEEN = str.maketrans(dict.fromkeys("_/.,:;()[]-&+^~", " "))


def words_of(text: str) -> str:
    """Return a text with a space in place of each mark between its words."""
    return text.translate(_BETWEEN)


def another_quantity(texts: Iterable[str], allowed: frozenset[str] = frozenset()) -> str:
    """Return why a value is of another quantity, by the texts that belong to it; empty if none states it.

    allowed   words that state nothing here
    """
    words = {word for text in texts for word in words_of(text).casefold().split()}
    found = sorted(words & _WORDS - allowed)
    return f"its text states {found[0]!a}: it is another quantity" if found else ""
