"""Read a recording row by row."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from vitals.errors import PermanentError
from vitals.recording.cells import NUMBER, DecimalMark, InvalidCell
from vitals.recording.items import ITEM_COLUMNS, PRESSURES, ItemReader, together
from vitals.recording.layouts import DateOrder, Format
from vitals.recording.names import bare
from vitals.recording.owners import AMBIGUOUS_COLUMNS, OTHER_COLUMNS, PATIENT_COLUMNS, Repeated
from vitals.recording.plausibility import other_unit
from vitals.recording.recognition import find_header, rows_below
from vitals.recording.sign_columns import SignColumns
from vitals.recording.text_file import TextFile
from vitals.recording.time_column import TimeColumn
from vitals.recording.wfdb_record import SUFFIX, WfdbRecord
from vitals.sample import Sample
from vitals.signs import BY_KEY

MAX_DURATION_S = 100 * 365 * 86_400.0  # longer recordings are probably in milliseconds, and dates would overflow
MAX_UNORDERED_ROWS = 1_000_000  # of one patient; they are sorted in memory
_SYSTOLIC, _DIASTOLIC = PRESSURES

C = TypeVar("C")
_Timed: TypeAlias = tuple[int, datetime | float, C]  # line, time, content


class Row(NamedTuple):
    """One row: seconds since the first row, and its values; None if it has no value.

    time   the recorded moment, if the file has moments
    line   its line in the file
    """

    elapsed_s: float
    sample: Sample | None
    time: datetime | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of one pass over a recording in which every row could be read."""

    readings: int
    empty_rows: int
    duration_s: float
    step_s: float  # mean time between two rows; 1 for a single row
    omitted: Mapping[str, int] = field(default_factory=dict)  # what was left out -> number


class Recording:
    """One file, opened again for each pass; the header is read at once.

    format        enforces a format
    zone          of times without an offset
    date_order    of dates such as 03/04/2026
    only_patient  the only patient or stay that is read, of a file that holds several

    Raises PermanentError with file, line, value and what was expected if the file is missing, is not text, or has
    columns of no supported format.
    """

    def __init__(
        self,
        path: Path,
        format: Format | None = None,
        *,
        zone: tzinfo | None = None,
        date_order: DateOrder | None = None,
        only_patient: str | None = None,
    ) -> None:
        self.path = path
        self._rows: Callable[[], Iterator[tuple[int, list[str]]]]
        if path.suffix == SUFFIX:
            record = WfdbRecord(path, has_zone=zone is not None)
            self._header, self._rows = record.header, record.rows
        else:
            file = TextFile(path)
            self._header = find_header(file, format)
            self._rows = partial(rows_below, file, self._header)
        self.layout = self._header.layout
        self.reason = self._header.reason
        """Why the file has its format."""
        self._patient = only_patient
        self.patient = only_patient
        """The patient or stay of the rows, known from the first row on; None if the file names none."""
        self._omitted: dict[str, int] = {}
        self._items: ItemReader | None = None
        try:
            mark = DecimalMark()
            self._time = TimeColumn(self._header, zone, date_order, mark)
            self._signs = SignColumns(self._header, mark)
        except InvalidCell as error:
            raise self._row_error(self._header.line, error.found, error.expected) from None
        self._owners = self._patient_columns()
        self._beds = [index for index, (column, _) in enumerate(self._header.columns) if column in OTHER_COLUMNS]
        self.unused_columns = self._unused_columns()
        """Columns that are not read."""
        self._units_line = self._read_units()

    @property
    def has_moments(self) -> bool:
        """Whether the rows have moments, and not only times since the start."""
        return self._time.has_moments

    @property
    def columns(self) -> dict[str, list[tuple[str, str]]]:
        """The columns of each sign, in order of preference, with the unit that each is read in."""
        return {
            key: [(found.reader.name, found.reader.unit) for found in sources]
            for key, sources in self._signs.sources.items()
        }

    @property
    def omitted(self) -> dict[str, int]:
        """What the last pass left out, and how often; columns and rows without a value are not among it."""
        return {**self._omitted, **self._signs.omitted, **(self._items.omitted if self._items else {})}

    def summary(self) -> Summary:
        """Read the whole file; raises PermanentError at the first row that cannot be read."""
        readings = empty = 0
        last = 0.0
        ranges: dict[str, list[float]] = {}
        for elapsed_s, sample, _, _ in self.rows():
            last = elapsed_s
            if sample is None:
                empty += 1
                continue
            readings += 1
            for key, value in sample.values.items():
                if key not in ranges:
                    ranges[key] = [value, value]
                elif value < ranges[key][0]:
                    ranges[key][0] = value
                elif value > ranges[key][1]:
                    ranges[key][1] = value
        if not readings:
            of_patient = f" of patient {self._patient!r}" if self._patient is not None else ""
            raise PermanentError(
                f"{self.path} holds no row with a value{of_patient}; expected numbers below "
                f"{', '.join(self.columns) or 'valuenum, of items that are a vital sign'}"
            )
        for key, (low, high) in ranges.items():
            if unit := other_unit(key, low, high):
                names = ", ".join(repr(name) for name, _ in self.columns.get(key, ()))
                raise PermanentError(
                    f"{self.path}: {key} is {low:g} to {high:g} in all rows, which looks like {unit}; expected "
                    f"{BY_KEY[key].unit}: convert the column {names}, or add its unit to its name"
                )
        return Summary(readings, empty, last, last / (readings + empty - 1) if last else 1.0, self.omitted)

    def rows(self) -> Iterator[Row]:
        """Yield the rows; raises PermanentError for a row that cannot be read or whose time goes back."""
        first: datetime | float | None = None
        previous = 0.0
        for line, time, sample in self._samples():
            if first is None:
                first = time
            elapsed_s: float = (
                (time - first).total_seconds() if isinstance(time, datetime) else time - first  # type: ignore[operator]
            )
            if elapsed_s < previous:
                raise self._row_error(
                    line,
                    f"goes back in time to {time.isoformat() if isinstance(time, datetime) else f'{time:g} s'}",
                    "rows of one patient in order of time",
                )
            previous = elapsed_s
            if elapsed_s > MAX_DURATION_S:
                raise self._row_error(
                    line, f"is {elapsed_s:g} s after the first", "seconds, and at most a hundred years"
                )
            if sample is not None and _contradicts(sample):
                self._omit("pairs of pressures of which the diastolic one is not the lower")
                sample = _without_pressures(sample)
            yield Row(elapsed_s, sample, time if isinstance(time, datetime) else None, line)

    def _samples(self) -> Iterator[_Timed[Sample | None]]:
        """Yield line, time and sample of each row, sorted if the rows of the format have no order."""
        self._omitted = {}
        self._signs.omitted.clear()
        if self.layout.format is Format.CHARTEVENTS:
            plains = {column: index for index, (column, _) in reversed([*enumerate(self._header.columns)])}
            self._items = items = ItemReader(plains)
            measured = (row for row in self._read_rows(items.read) if row[2] is not None)
            for _, group in groupby(self._sorted(measured), key=itemgetter(1)):
                at_once = [*group]
                line, time, _ = at_once[0]
                for values in together(found for _, _, found in at_once if found):
                    yield line, time, self._signs.measured(Sample(values))
        elif self.layout.is_unordered:
            yield from self._sorted(self._read_rows(self._signs.read))
        elif self.has_moments:
            yield from self._oldest_first(self._read_rows(self._signs.read))
        else:
            yield from self._read_rows(self._signs.read)

    def _oldest_first(self, rows: Iterator[_Timed[C]]) -> Iterator[_Timed[C]]:
        """Return the rows of a file whose newest row may be the first one, as applications for phones write it."""
        begin: list[_Timed[C]] = []
        for row in rows:
            begin.append(row)
            if row[1] != begin[0][1] or len(begin) > MAX_UNORDERED_ROWS:
                break
        found = chain(begin, rows)
        return iter(self._in_memory(found)[::-1]) if begin and begin[-1][1] < begin[0][1] else found  # type: ignore[operator]

    def _sorted(self, rows: Iterable[_Timed[C]]) -> list[_Timed[C]]:
        return sorted(self._in_memory(rows), key=itemgetter(1))

    def _in_memory(self, rows: Iterable[_Timed[C]]) -> list[_Timed[C]]:
        found = [*islice(rows, MAX_UNORDERED_ROWS + 1)]
        if len(found) > MAX_UNORDERED_ROWS:
            raise PermanentError(
                f"{self.path} has more than {MAX_UNORDERED_ROWS} rows of a patient, and the oldest is not the first; "
                "expected fewer: sort and split it"
            )
        return found

    def _read_rows(self, read: Callable[[Sequence[str]], C]) -> Iterator[_Timed[C]]:
        """Yield line, time and content of each row of the patient, as in the file."""
        width = len(self._header.names)
        read_time = self._time.reader()
        number = 0
        first_owner: list[str] | None = None
        ambiguous = [
            (index, Repeated())
            for index, (column, _) in enumerate(self._header.columns)
            if column in AMBIGUOUS_COLUMNS and not self._owners
        ]
        for line, cells in self._rows():
            if line == self._units_line or (len(cells) != width and self._is_blank(line, cells)):
                continue
            if owners := self._owners + self._beds:
                owner = [cells[index].strip() for index in owners]
                if self._patient is not None:
                    if owner[0] != self._patient:
                        self._omit("rows of other patients")
                        continue
                elif first_owner is None:
                    first_owner = owner
                    self.patient = (owner[0] or None) if self._owners else None
                elif owner != first_owner:
                    raise self._row_error(
                        line,
                        f"belongs to {', '.join(owner)!r} and the first row to {', '.join(first_owner)!r} in "
                        f"{', '.join(repr(self._header.names[index]) for index in owners)}",
                        "one patient and bed: split the file"
                        + (", or select one with --only-patient" if self._owners else ""),
                    )
            for index, values in ambiguous:
                if values.is_several(cells[index].strip()):
                    raise self._row_error(
                        line,
                        f"has {cells[index].strip()[:100]!r} in {self._header.names[index]!r}, which names several",
                        "one patient and bed: split the file, or rename the column",
                    )
            try:
                time = read_time(cells) if read_time else number * self.layout.step_s
                content = read(cells)
            except InvalidCell as error:
                if read_time and not any(cell.strip() for cell in cells):
                    continue
                raise self._row_error(line, error.found, error.expected) from None
            number += 1
            yield line, time, content

    def _is_blank(self, line: int, cells: Sequence[str]) -> bool:
        """Return whether a row is to be skipped that has another number of cells; raises PermanentError otherwise.

        A row with more cells can be used if they are blank.
        """
        width = len(self._header.names)
        if not any(cell.strip() for cell in cells) or (len(cells) < width and cells[0].startswith("# ")):
            return len(cells) < width
        if len(cells) < width or (any(cell.strip() for cell in cells[width:]) and not self.layout.has_longer_rows):
            raise self._row_error(line, f"has {len(cells)} values", f"{width}, as in the line of names")
        return False

    def _patient_columns(self) -> list[int]:
        plains = [column for column, _ in self._header.columns]
        found = [index for name in PATIENT_COLUMNS for index, column in enumerate(plains) if column == name]
        if self._patient is not None and not found:
            raise PermanentError(
                f"{self.path} names no patient, so {self._patient!r} cannot be selected; leave out --only-patient"
            )
        return found

    def _unused_columns(self) -> tuple[str, ...]:
        """Return the names of the columns that are not read; raises PermanentError if one that is has a second."""
        names = self._header.names
        plains = [column for column, _ in self._header.columns]
        used = self._signs.indexes | {*self._time.indexes, *self._owners}
        used |= {index for index in (self._time.zone_index,) if index is not None and self._time.has_moments}
        if self.layout.format is Format.CHARTEVENTS:
            used |= {index for index, column in enumerate(plains) if column in ITEM_COLUMNS}
        for index in used:
            if plains.count(plains[index]) > 1:
                raise self._row_error(
                    self._header.line,
                    f"names the column {names[index]!r} twice",
                    "each once: rename the one that is not to be read",
                )
        return tuple(name or "(no name)" for index, name in enumerate(names) if index not in used)

    def _read_units(self) -> int:
        """Use the row of units below the names, if there is one; return its line, else 0."""
        line, cells = next(self._rows(), (0, []))
        is_row = len(cells) == len(self._header.names)
        units = [bare(cell) for cell in cells]
        has_numbers = any(NUMBER.fullmatch(unit) for unit in units if unit != "1")
        has_units = is_row and not has_numbers and self._signs.has_units(units)
        try:
            if has_units:
                self._signs.set_units(units)
                for index in self._time.indexes[:1]:
                    self._time.set_unit(units[index])
            self._time.require_unit(cells if is_row and not has_units else ())
        except InvalidCell as error:
            raise self._row_error(line if has_units else self._header.line, error.found, error.expected) from None
        return line if has_units else 0

    def _omit(self, reason: str) -> None:
        self._omitted[reason] = self._omitted.get(reason, 0) + 1

    def _row_error(self, line: int, found: str, expected: str) -> PermanentError:
        return PermanentError(f"{self.path}, line {line} {found}; expected {expected}")


def _contradicts(sample: Sample) -> bool:
    values = sample.values
    if _DIASTOLIC not in values or _SYSTOLIC not in values:
        return False
    return values[_DIASTOLIC] >= values[_SYSTOLIC]


def _without_pressures(sample: Sample) -> Sample | None:
    values = {key: value for key, value in sample.values.items() if key not in PRESSURES}
    left = replace(sample, values=values)
    return left if left != Sample({}) else None
