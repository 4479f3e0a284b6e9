"""Find the sign that a code means. Code and name have to agree; a code that is unknown is not guessed.

The tables are TOML files in `edges/config/codes`. Those whose codes and coding systems leave no doubt apply to every
source, the others, such as labels alone, where a site names them.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from msgspec import Struct

from vitals.units import InvalidUnit, agree, find_unit, pair_of

ALWAYS = (
    "mdc",
    "mdc_arterial",
    "loinc",
    "mdil",
    "mdil_arterial",
    "philips_cm100",
    "comen",
    "mindray",
    "edan",
    "nihon_kohden",
    "snomed",
)
CONSCIOUSNESS = "consciousness"
_OF_SEVERAL = frozenset(("rate", "pulse", "oximetry", "pulseox"))  # words in names of several signs
_MAX_FOUND = 4096
_STANDARD = ("MDC", "LN", "LOINC")
_REFERENCE_ID = "MDC_"


class Contradiction(ValueError):
    """Code and name, or both codes of an element, mean different things; the text is one sentence."""


class Code(Struct, frozen=True):
    """Code, name and coding system: three components of a CWE element."""

    code: str
    name: str
    system: str

    def __str__(self) -> str:
        return "^".join((self.code, self.name, self.system)).rstrip("^")


NO_CODE = Code("", "", "")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means.

    sign       key of a sign, or CONSCIOUSNESS
    rank       the smaller one is taken where a moment has several sources of a sign
    scale      factor of a vendor that sends multiples
    values     text -> value, for consciousness
    alone      False: the code may stand beside one of these tables, and means nothing without it
    """

    sign: str
    rank: int
    codes: frozenset[str]
    names: frozenset[str]
    key: frozenset[str]
    words: frozenset[str]
    systems: frozenset[str]
    name_required: bool
    scale: float = 1
    values: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True

    def matches(self, code: Code) -> bool:
        """Whether code, name and system agree with this meaning."""
        system = code.system.upper()
        if not code.code or not self.codes:
            return system in self.systems and not self.name_required and _normal(code.name) in self.names
        if _normal(code.code) not in self.codes:
            return False
        if system not in self.systems and (system or not code.name):
            # a number and its reference id of MDC leave no doubt, however a sender writes the system
            return code.name.upper().startswith(_REFERENCE_ID) and _normal(code.name) in self.names
        if not code.name:
            return not self.name_required
        return _normal(code.name) in self.names or self.has_words(code.name)

    def has_words(self, name: str) -> bool:
        """Whether a free text holds only words of this meaning."""
        found = set(re.findall(r"\w+", name.casefold()))
        return bool(found & self.key) and found <= self.key | self.words


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The tables of one source.

    units      pairs of code and name of a unit that only these vendors mean so
    no_value   numbers that mean "no value"
    """

    meanings: tuple[Meaning, ...]
    units: Mapping[tuple[str, str], str]
    no_value: frozenset[float]
    _found: dict[tuple[Code, ...], Meaning | Contradiction | None] = field(default_factory=dict, compare=False)
    _found_units: dict[tuple[Code, Code], str | InvalidUnit] = field(default_factory=dict, compare=False)

    def find(self, codes: Iterable[Code], label: str = "") -> Meaning | None:
        """Return the meaning of an element from its code and its alternate codes; None for one that is not known.

        Raises Contradiction, also where the label is a name of another sign and not of this one. A sender repeats its
        codes in every message, so that what they mean is kept.
        """
        key = tuple(codes)
        if key not in self._found:
            if len(self._found) >= _MAX_FOUND:  # codes that are never the same
                self._found.clear()
            try:
                self._found[key] = self._find(key)
            except Contradiction as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, Contradiction):
            raise Contradiction(str(found))
        if found and label and not found.has_words(label):
            named = self._named(label)
            if named and found.sign not in named:
                raise Contradiction(f"{label[:60]!a} is a name of {', '.join(sorted(named))}, not of {found.sign}")
        return found

    def _find(self, codes: Iterable[Code]) -> Meaning | None:
        given = [_by_reference_id(code) for code in codes if code.code or code.name]
        found = [(code, self._find_one(code)) for code in given]
        meanings = [meaning for _, meaning in found if meaning]
        if not any(meaning.alone for meaning in meanings):
            return None
        if len({meaning.sign for meaning in meanings}) > 1:
            raise Contradiction(f"{' and '.join(str(code)[:60] for code in given)} mean different signs")
        for code, meaning in found:
            if meaning is None and (_is_standard(code) or self._is_of_another(code.name or code.code, meanings[0])):
                raise Contradiction(f"{str(code)[:60]} is not known beside {meanings[0].sign}")
        return next(meaning for meaning in meanings if meaning.alone)

    def _is_of_another(self, name: str, meaning: Meaning) -> bool:
        """Return whether a name is one word, which names another sign than this one."""
        named = self._named(name) if re.fullmatch(r"\w+", name) else set()
        return bool(named) and meaning.sign not in named

    def _named(self, label: str) -> set[str]:
        """Return the signs that a free text names."""
        words = set(re.findall(r"\w+", label.casefold()))
        return {meaning.sign for meaning in self.meanings if words & (meaning.key - _OF_SEVERAL)}

    def find_unit(self, first: Code, other: Code) -> str:
        """Return a unit from its code and its alternate code; raises InvalidUnit, also where the two differ."""
        key = (first, other)
        if key not in self._found_units:
            if len(self._found_units) >= _MAX_FOUND:
                self._found_units.clear()
            try:
                self._found_units[key] = self._find_unit(first, other)
            except InvalidUnit as error:
                self._found_units[key] = error
        found = self._found_units[key]
        if isinstance(found, InvalidUnit):
            raise InvalidUnit(str(found))
        return found

    def _find_unit(self, first: Code, other: Code) -> str:
        unit = find_unit(first.code, first.name, first.system, self.units)
        try:
            alternate = find_unit(other.code, other.name, other.system, self.units)
        except InvalidUnit:
            return unit  # none, or a local one
        agreed = agree(unit, alternate)
        if agreed is None:
            raise InvalidUnit(f"the unit is {unit}, and its alternate code is {alternate}")
        return agreed

    def _find_one(self, code: Code) -> Meaning | None:
        matching = [meaning for meaning in self.meanings if meaning.matches(code)]
        if len({meaning.sign for meaning in matching}) > 1:
            raise Contradiction(f"{str(code)[:60]} means several signs")
        if matching:
            return matching[0]
        by_code = {meaning.sign for meaning in self.meanings if self._speaks_of(meaning, code)}
        by_name = {meaning.sign for meaning in self.meanings if code.name and _normal(code.name) in meaning.names}
        if code.code and by_code:
            problem = "code and name do not agree" if code.name else "it needs a name or a coding system"
            raise Contradiction(f"{str(code)[:60]}: {problem}")
        if code.code and by_name and _is_standard(code):
            raise Contradiction(f"{str(code)[:60]} has the name of {', '.join(sorted(by_name))} and another code")
        return None

    @staticmethod
    def _speaks_of(meaning: Meaning, code: Code) -> bool:
        system = code.system.upper()
        if meaning.name_required:  # of a vendor that uses the code for something else
            return False
        return _normal(code.code) in meaning.codes and (system in meaning.systems or not system)


@cache
def table_names() -> tuple[str, ...]:
    """Return the names of all tables."""
    folder = files("edges.config.codes")
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


@cache
def read_tables(names: tuple[str, ...], no_value: tuple[float, ...] = ()) -> CodeTable:
    """Return the tables ALWAYS and those of a source; `no_value` are the site's own."""
    meanings: list[Meaning] = []
    units: dict[tuple[str, str], str] = {}
    none = set(no_value)
    for name in dict.fromkeys((*ALWAYS, *names)):
        content = tomllib.loads((files("edges.config.codes") / f"{name}.toml").read_text(encoding="utf-8"))
        meanings += [_meaning(content, entry) for entry in content["code"]]
        units |= {pair_of(unit["code"], unit["name"]): unit["unit"] for unit in content.get("unit", ())}
        none |= set(content.get("no_value", ()))
    return CodeTable(tuple(meanings), units, frozenset(none))


def _meaning(table: Mapping[str, Any], entry: Mapping[str, Any]) -> Meaning:
    words = {**table.get("words", {}).get(entry["sign"], {}), **entry}
    return Meaning(
        sign=entry["sign"],
        rank=entry["rank"],
        codes=frozenset(map(_normal, entry["codes"])),
        names=frozenset(map(_normal, entry.get("names", ()))),
        key=frozenset(words.get("key", ())),
        words=frozenset(words.get("words", ())),
        systems=frozenset(table["systems"]),
        name_required=table.get("name_required", False),
        scale=table.get("scale", 1),
        values=entry.get("values", {}),
        alone=entry.get("alone", table.get("alone", True)),
    )


def _by_reference_id(code: Code) -> Code:
    """Return a code that is an MDC reference id, or a local one beside it, as the reference id alone.

    A number of MDC stays beside its reference id, because both have to agree.
    """
    first, name = (text.upper() for text in (code.code, code.name))
    if first.startswith(_REFERENCE_ID):
        if not code.name or name == first:
            return Code("", code.code, code.system or "MDC")
        if code.name.isdigit():
            return Code(code.name, code.code, code.system or "MDC")
        return code
    is_number = re.match(r"[0-9]*$", code.code) is not None
    if name.startswith(_REFERENCE_ID) and code.system.upper() in ("", "MDC") and not is_number:
        return Code("", code.name, "MDC")
    return code


def _is_standard(code: Code) -> bool:
    return code.system.upper() in _STANDARD or code.name.upper().startswith(_REFERENCE_ID)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
