"""Read one pressure of a cell that holds both: `120/80`, `120/80 mmHg`, `120/80 (93)`. Pure."""

import re
from collections.abc import Callable

from vitals.recording.cells import MISSING, NUMBER, ColumnReader, InvalidCell
from vitals.recording.names import bare

_NUMBER = r"\d{1,3}(?:[.,]\d{1,2})?"
_PAIR = re.compile(rf"({_NUMBER})\s*/\s*({_NUMBER})(?:\s*\(\s*{_NUMBER}\s*\))?\s*([^\s\d.,()/-][^\d()]*)?", re.ASCII)


class PairReader(dict[str, float | None]):
    """Values of one pressure by the text of the cell; None: not measured.

    A single number is not read: it may be a mean, or a sample of a waveform. `omit_single` counts it.
    """

    def __init__(self, column: ColumnReader, omit_single: Callable[[], None], *, second: bool) -> None:
        super().__init__()
        self._column = column
        self._group = 2 if second else 1
        self.name, self.sign = column.name, column.sign
        self._omit_single = omit_single

    @property
    def unit(self) -> str:
        """The unit in which the column is read."""
        return self._column.unit

    def set_unit(self, text: str) -> None:
        """Use the unit in the row below the names; raises InvalidCell."""
        self._column.set_unit(text)
        self.clear()

    def __missing__(self, cell: str) -> float | None:
        text = cell.strip()
        if text.casefold() in MISSING or not text.strip("-/ "):
            return None
        if NUMBER.fullmatch(text):
            self._omit_single()
            return None
        match = _PAIR.fullmatch(text)
        if match is None:
            raise InvalidCell(f"has {text[:100]!r} in column {self.name!r}", "both pressures, such as 120/80")
        unit = bare(match[3] or "")
        return self._column[f"{match[self._group]} {unit}".strip()]
