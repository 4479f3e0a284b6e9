"""Read the numbers of one column: missing marks, decimal commas, and units in cells."""

import math
import re

from vitals.recording.names import bare, is_convertible, unit_of
from vitals.signs import Sign
from vitals.units import InvalidUnit, agree, convert

MISSING = frozenset(
    (
        "", "nan", "-nan", "+nan", "1.#qnan", "na", "n/a", "#n/a", "#nv", "#n/d", "#nd", "#н/д", "#yok", "null",
        "none", "nil", "-", "--", "---", "–",
        "—", ".", "\\n",
    )
)  # fmt: skip
_NOT_MEASURED = MISSING | frozenset(
    (
        "?", "??", "???", "-?-", "--?--", "*", "**", "***", "****", "###", "####", "#####", "#value!", "#div/0!",
        "#num!", "#ref!", "#name?", "#null!", "#wert!", "#valeur!", "#valor!", "#valore!",
        "n.a.", "n.m.", "k.a.", "inop", "off", "lead off", "leads off",
        "probe off", "sensor off", "no finger", "no signal", "no data", "err", "error", "invalid", "artifact",
        "artefact", "not measured", "not available", "unavailable", "unknown", "missing",
    )
)  # fmt: skip
"""What stands in place of a value."""

# `float` also accepts `1_0`, and digits of any script.
NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_NUMBER_AND_UNIT = re.compile(rf"({NUMBER.pattern})\s*([^\s0-9.,].*)", re.ASCII | re.IGNORECASE)
_MAX_CELLS = 50_000  # distinct texts that a column remembers: a sign has few


class InvalidCell(ValueError):
    """A cell that cannot be used; the texts are what was found and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found, self.expected = found, expected


class DecimalMark:
    """The decimal mark of a file, learned from its first fraction; in CSV with commas such a number is quoted."""

    def __init__(self) -> None:
        self._mark = ""

    def number(self, text: str) -> float | None:
        """Return the number, or None if the text is not one; raises InvalidCell for a second decimal mark."""
        if not NUMBER.fullmatch(text):
            return None
        mark = "," if "," in text else "." if "." in text else ""
        if mark and self._mark not in ("", mark):
            raise InvalidCell(f"has {text[:100]!r}, and rows above have {self._mark!r}", "one decimal mark in a file")
        self._mark = self._mark or mark
        value = float(text.replace(",", "."))
        return value if math.isfinite(value) else None


class ColumnReader(dict[str, float | None]):
    """Values of a column by the text of the cell, in the unit of the sign; None: not measured."""

    def __init__(self, sign: Sign, name: str, unit: str, mark: DecimalMark) -> None:
        super().__init__()
        self.sign, self.name = sign, name
        self._mark = mark
        self._unit = ""
        self.set_unit(unit)

    @property
    def unit(self) -> str:
        """The unit in which the column is read."""
        return self._unit or self.sign.unit

    def set_unit(self, text: str) -> None:
        """Use the unit that the name of the column or the row below it states; raises InvalidCell."""
        if not bare(text):
            return
        self._unit = self._checked(text, f"has the unit {text[:100]!r} for {self.sign.key} in column {self.name!r}")
        self.clear()

    def __missing__(self, cell: str) -> float | None:
        value = self._parse(cell.strip())
        if len(self) < _MAX_CELLS:
            self[cell] = value
        return value

    def _parse(self, text: str) -> float | None:
        if text.casefold() in _NOT_MEASURED or self._is_missing_with_unit(text):
            return None
        found = f"has {text[:100]!r} for {self.sign.key} in column {self.name!r}"
        unit, value = self.unit, self._mark.number(text)
        if value is None and (match := _NUMBER_AND_UNIT.fullmatch(text)):
            unit = self._checked(match[match.re.groups], found)
            value = self._mark.number(match[1])
        if value is None:
            raise InvalidCell(found, f"a number in {self.sign.unit}, or NaN")
        try:
            value = convert(value, unit, self.sign)
        except InvalidUnit as error:
            raise InvalidCell(found, f"{self.sign.unit}: {error}") from None
        if self.sign.unit == "%" and 0 < value < 1:
            raise InvalidCell(found, "percent, and this is a fraction: multiply by 100, or name the unit 'fraction'")
        return value

    def _is_missing_with_unit(self, text: str) -> bool:
        mark, _, unit = text.partition(" ")
        known = unit_of(unit) if mark.casefold() in MISSING else None
        return known is not None and is_convertible(known, self.sign)

    def _checked(self, text: str, found: str) -> str:
        unit = unit_of(text)
        if unit is None:
            raise InvalidCell(found, f"a unit of {self.sign.key}, such as {self.sign.unit}")
        if not is_convertible(unit, self.sign):
            raise InvalidCell(found, f"a unit of {self.sign.key}, such as {self.sign.unit}")
        agreed = agree(self._unit, unit) if self._unit else unit
        if agreed is None:
            raise InvalidCell(found, f"{self._unit}, as the column states")
        return agreed
