"""Find the column of the time of a recording, and read it."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial

from vitals.recording.cells import DecimalMark, InvalidCell
from vitals.recording.layouts import CLOCK_NAMES, DATE_NAMES, DateOrder, Format
from vitals.recording.names import is_utc, plain, seconds_in
from vitals.recording.recognition import Header
from vitals.recording.times import InstantReader, parse_zone, read_elapsed

_ZONE_NAMES = ("timezone", "time zone", "tz", "utc offset", "time offset", "gmt offset", "Zeitzone")
_CLOCK = re.compile(r"\d{1,4}:[0-5]\d:[0-5]\d", re.ASCII)
_DATE = re.compile(r"\d+[-/.]\d+[-/.]", re.ASCII)

ReadTime = Callable[[Sequence[str]], datetime | float]


class TimeColumn:
    """The column of the time, or two of date and time of day; `indexes` is empty if rows are evenly spaced."""

    def __init__(self, header: Header, zone: tzinfo | None, date_order: DateOrder | None, mark: DecimalMark) -> None:
        layout = header.layout
        self._header = header
        self._zone = zone or (UTC if layout.local_is_utc else None)
        self._date_order = date_order or layout.date_order
        self._mark = mark
        self._unit_s: float | None = None  # None: moments, 0: not known yet
        self.indexes: tuple[int, ...] = ()
        self.zone_index: int | None = None
        """The column of the zone of each row, if there is one."""
        plains = [column for column, _ in header.columns]
        if layout.instants and not layout.local_is_utc:
            self.zone_index = _find(plains, _ZONE_NAMES)
        date, clock = _find(plains, DATE_NAMES), _find(plains, CLOCK_NAMES)
        if layout.instants and date is not None and clock is not None and not header.columns[clock][1]:
            self.indexes = (date, clock)
            return
        for name in sorted((*layout.instants, *layout.elapsed), key=DATE_NAMES.__contains__):
            if plain(name) in plains:
                index = plains.index(plain(name))
                unit = header.columns[index][1]
                if is_utc(unit):
                    self._zone = UTC
                self.indexes = (index,)
                self._unit_s = seconds_in(unit) if unit else None
                if self._unit_s is None and name not in layout.instants:
                    self._unit_s = layout.elapsed[name] or 0.0
                return

    @property
    def has_moments(self) -> bool:
        """Whether the rows have moments, and not only times since the start."""
        return bool(self.indexes) and self._unit_s is None

    def set_unit(self, text: str) -> None:
        """Use the unit in the row below the names; raises InvalidCell."""
        unit_s = seconds_in(text)
        if unit_s is None:
            if self._unit_s is not None and text:
                raise InvalidCell(f"has the unit {text[:100]!r} for its time", "a unit of time, such as s")
            return  # a pattern such as yyyy-mm-dd
        if self._unit_s and self._unit_s != unit_s:
            raise InvalidCell(f"has the unit {text[:100]!r} for its time", f"a unit of {self._unit_s:g} s")
        self._unit_s = unit_s

    def require_unit(self, first_row: Sequence[str]) -> None:
        """Raise InvalidCell if neither the name nor the row below it has a unit."""
        if self._header.layout.format is Format.VITALDB and first_row and _DATE.match(first_row[self.indexes[0]]):
            self._unit_s = None  # exported with dates
        if self.indexes and self._unit_s == 0 and first_row and _CLOCK.match(first_row[self.indexes[0]].strip()):
            self._unit_s = 1.0  # h:mm:ss
        if self.indexes and self._unit_s == 0:
            name = self._header.names[self.indexes[0]]
            raise InvalidCell(f"has no unit for the time in column {name!r}", f"one, like '{name} (s)'")

    def reader(self) -> ReadTime | None:
        """Return a function that reads the time of a row, from the first row on; None if rows are evenly spaced."""
        read: Callable[[str], datetime | float]
        if self._unit_s is None:
            if self.zone_index is not None:
                return self._with_zone_of_row(self.zone_index)
            read = InstantReader(self._zone, self._date_order).read
        else:
            read = partial(read_elapsed, unit_s=self._unit_s, mark=self._mark)
        match self.indexes:
            case (index,):
                return lambda cells: read(cells[index].strip())
            case (date, clock):
                return lambda cells: read(f"{cells[date].strip()} {cells[clock].strip()}")
        return None

    def _with_zone_of_row(self, zone_index: int) -> ReadTime:
        """Return a function that reads the time of a row in the zone that the row states."""
        readers: dict[str, InstantReader] = {}

        def read(cells: Sequence[str]) -> datetime:
            text = cells[zone_index].strip()
            if text not in readers:
                readers[text] = InstantReader(parse_zone(text) if text else self._zone, self._date_order)
            return readers[text].read(" ".join(cells[index].strip() for index in self.indexes))

        return read


def _find(plains: Sequence[str], names: Sequence[str]) -> int | None:
    return next((plains.index(plain(name)) for name in names if plain(name) in plains), None)
