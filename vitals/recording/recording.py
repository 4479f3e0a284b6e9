"""Read a recording row by row."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from vitals.errors import PermanentError
from vitals.recording.cells import NUMBER, ColumnReader, DecimalMark, InvalidCell
from vitals.recording.choice import choose
from vitals.recording.items import ItemReader, together
from vitals.recording.layouts import DateOrder, Format
from vitals.recording.names import bare, is_utc, plain, seconds_in, unit_of
from vitals.recording.recognition import find_header, rows_below
from vitals.recording.text_file import TextFile
from vitals.recording.times import InstantReader, read_elapsed
from vitals.recording.wfdb_record import SUFFIX, WfdbRecord
from vitals.sample import Sample
from vitals.signs import BY_KEY

MAX_DURATION_S = 100 * 365 * 86_400.0  # longer recordings are probably in milliseconds, and dates would overflow
MAX_UNORDERED_ROWS = 1_000_000  # of one patient; they are sorted in memory
# The first one that a file has identifies a stay, by which `only_patient` selects.
_PATIENT_COLUMNS = tuple(
    plain(name)
    for name in (
        "patientunitstayid",
        "stay_id",
        "icustay_id",
        "hadm_id",
        "subject_id",
        "patient_id",
        "patient",
        "caseid",
    )
)


C = TypeVar("C")
_Timed: TypeAlias = tuple[int, datetime | float, C]  # line, time, content


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a sign; a smaller rank is preferred."""

    rank: int
    index: int
    reader: ColumnReader


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
        header = self._header
        self.layout = header.layout
        self.reason = header.reason
        """Why the file has its format."""
        self._patient = only_patient
        self._zone = zone or (UTC if self.layout.local_is_utc else None)
        self._date_order = date_order or self.layout.date_order
        self._mark = DecimalMark()
        plains = [column for column, _ in header.columns]
        self._owners = [index for name in _PATIENT_COLUMNS for index, column in enumerate(plains) if column == name]
        if only_patient is not None and not self._owners:
            raise PermanentError(
                f"{path} names no patient, so {only_patient!r} cannot be selected; leave out --only-patient"
            )
        self._times, self._unit_s = self._time_columns()
        self._sources = self._sign_columns()
        self._is_simple = not self.layout.zero_is_missing and all(len(found) == 1 for found in self._sources.values())
        self._simple = [(key, found[0].index, found[0].reader) for key, found in self._sources.items()]
        items = {"itemid", "valuenum", "valueuom", "error"} if self.layout.format is Format.CHARTEVENTS else set()
        used = {source.index for found in self._sources.values() for source in found} | {*self._times}
        used |= {index for index, column in enumerate(plains) if column in items}
        for index in used | {*self._owners}:
            if plains.count(plains[index]) > 1:
                raise self._row_error(
                    header.line,
                    f"names the column {header.names[index]!r} twice",
                    "each once: rename the one that is not to be read",
                )
        self.unused_columns = tuple(
            name or "(no name)"
            for index, name in enumerate(header.names)
            if index not in used and index not in self._owners
        )
        """Columns that are not read."""
        self._units_line = self._read_units()
        self._items: ItemReader | None = None
        self._omitted: dict[str, int] = {}

    @property
    def has_moments(self) -> bool:
        """Whether the rows have moments, and not only times since the start."""
        return bool(self._times) and self._unit_s is None

    @property
    def columns(self) -> dict[str, list[tuple[str, str]]]:
        """The columns of each sign, in order of preference, with the unit that each is read in."""
        return {key: [(found.reader.name, found.reader.unit) for found in all_] for key, all_ in self._sources.items()}

    @property
    def omitted(self) -> dict[str, int]:
        """What the last pass left out, and how often; columns and rows without a value are not among it."""
        return {**self._omitted, **(self._items.omitted if self._items else {})}

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
                f"{', '.join(self._sources) or 'valuenum, of items that are a vital sign'}"
            )
        for key, (low, high) in ranges.items():
            if unit := other_unit(key, low, high):
                names = ", ".join(repr(source.reader.name) for source in self._sources.get(key, ()))
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
            yield Row(elapsed_s, sample, time if isinstance(time, datetime) else None, line)

    def _samples(self) -> Iterator[_Timed[Sample | None]]:
        """Yield line, time and sample of each row, sorted if the rows of the format have no order."""
        self._omitted = {}
        if self.layout.format is Format.CHARTEVENTS:
            plains = {column: index for index, (column, _) in reversed([*enumerate(self._header.columns)])}
            self._items = items = ItemReader(plains)
            measured = (row for row in self._read_rows(items.read) if row[2] is not None)
            for _, group in groupby(self._sorted(measured), key=itemgetter(1)):
                at_once = [*group]
                line, time, _ = at_once[0]
                for values in together(found for _, _, found in at_once if found):
                    yield line, time, Sample(values)
        elif self.layout.is_unordered:
            yield from self._sorted(self._read_rows(self._sample))
        else:
            yield from self._read_rows(self._sample)

    def _sorted(self, rows: Iterable[_Timed[C]]) -> list[_Timed[C]]:
        found = [*islice(rows, MAX_UNORDERED_ROWS + 1)]
        if len(found) > MAX_UNORDERED_ROWS:
            raise PermanentError(
                f"{self.path} has more than {MAX_UNORDERED_ROWS} rows of a patient in no order; expected fewer: sort "
                "and split it"
            )
        return sorted(found, key=itemgetter(1))

    def _read_rows(self, read: Callable[[Sequence[str]], C]) -> Iterator[_Timed[C]]:
        """Yield line, time and content of each row of the patient, as in the file."""
        width = len(self._header.names)
        read_time = self._time_reader()
        number = 0
        first_owner: list[str] | None = None
        for line, cells in self._rows():
            if line == self._units_line or (len(cells) != width and self._is_blank(line, cells)):
                continue
            if self._owners:
                owner = [cells[index].strip() for index in self._owners]
                if self._patient is not None:
                    if owner[0] != self._patient:
                        self._omit("rows of other patients")
                        continue
                elif first_owner is None:
                    first_owner = owner
                elif owner != first_owner:
                    raise self._row_error(
                        line,
                        f"belongs to {', '.join(owner)!r} and the first row to {', '.join(first_owner)!r} in "
                        f"{', '.join(repr(self._header.names[index]) for index in self._owners)}",
                        "one patient: split the file, or select one with --only-patient",
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
        """Return whether a row with another number of cells is blank; raises PermanentError if it cannot be used."""
        width = len(self._header.names)
        if not any(cell.strip() for cell in cells):
            return len(cells) < width
        if len(cells) < width or (any(cell.strip() for cell in cells[width:]) and not self.layout.has_longer_rows):
            raise self._row_error(line, f"has {len(cells)} values", f"{width}, as in the line of names")
        return False

    def _sample(self, cells: Sequence[str]) -> Sample | None:
        if self._is_simple:
            values = {}
            off = []
            for key, index, reader in self._simple:
                value = reader[cells[index]]
                if value is not None:
                    values[key] = value
                elif self.layout.signs[key].continuous:
                    off.append(key)
            return Sample(values, tuple(off)) if values or off else None
        found = {
            key: {source.rank: source.reader[cells[source.index]] for source in sources}
            for key, sources in self._sources.items()
        }
        return choose(found, self.layout)

    def _read_units(self) -> int:
        """Use the row of units below the names, if there is one; return its line, else 0."""
        line, cells = next(self._rows(), (0, []))
        units = [bare(cell) for cell in cells]
        sources = [source for found in self._sources.values() for source in found]
        if (
            len(cells) == len(self._header.names)
            and not any(NUMBER.fullmatch(unit) for unit in units if unit != "1")
            and any(unit_of(units[source.index]) for source in sources)
        ):
            try:
                for source in sources:
                    source.reader.set_unit(units[source.index])
            except InvalidCell as error:
                raise self._row_error(line, error.found, error.expected) from None
            if len(self._times) == 1 and (unit := units[self._times[0]]):
                self._set_time_unit(line, unit)
        else:
            line = 0
        if (
            self.layout.format is Format.VITALDB
            and not line
            and cells
            and re.match(r"\d+[-/.]\d+[-/.]", cells[self._times[0]])
        ):
            self._unit_s = None  # exported with dates
        if self._times and self._unit_s == 0:
            name = self._header.names[self._times[0]]
            raise self._row_error(
                self._header.line, f"has no unit for the time in column {name!r}", f"one, like '{name} (s)'"
            )
        return line

    def _set_time_unit(self, line: int, text: str) -> None:
        unit_s = seconds_in(text)
        if unit_s is None:
            if self._unit_s is None:
                return  # a pattern such as yyyy-mm-dd
            raise self._row_error(line, f"has the unit {text[:100]!r} for its time", "a unit of time, such as s")
        if self._unit_s and self._unit_s != unit_s:
            raise self._row_error(line, f"has the unit {text[:100]!r} for its time", f"a unit of {self._unit_s:g} s")
        self._unit_s = unit_s

    def _time_columns(self) -> tuple[tuple[int, ...], float | None]:
        """Return the columns of the time, and its unit in seconds: None for moments, 0 if it is not known yet."""
        columns = [*self._header.columns]
        plains = [column for column, _ in columns]
        instants, elapsed = self.layout.instants, self.layout.elapsed
        if instants and {"date", "time"} <= {*plains} and not columns[plains.index("time")][1]:
            return (plains.index("date"), plains.index("time")), None
        for name in sorted((*instants, *elapsed), key=lambda name: name == "date"):
            if plain(name) in plains:
                index = plains.index(plain(name))
                unit = columns[index][1]
                if is_utc(unit):
                    self._zone = UTC
                unit_s = seconds_in(unit) if unit else None
                if unit_s is not None or name in instants:
                    return (index,), unit_s
                return (index,), elapsed[name] or 0.0
        return (), None

    def _time_reader(self) -> Callable[[Sequence[str]], datetime | float] | None:
        """Return a function that reads the time of a row, None if rows are evenly spaced."""
        if not self._times:
            return None
        read: Callable[[str], datetime | float]
        if self._unit_s is None:
            read = InstantReader(self._zone, self._date_order).read
        else:
            read = partial(read_elapsed, unit_s=self._unit_s, mark=self._mark)
        if len(self._times) == 2:
            date, clock = self._times
            return lambda cells: read(f"{cells[date].strip()} {cells[clock].strip()}")
        (index,) = self._times
        return lambda cells: read(cells[index].strip())

    def _sign_columns(self) -> dict[str, list[Source]]:
        """Return the columns of each sign; raises PermanentError for two columns of one sensor."""
        result: dict[str, list[Source]] = {}
        for key, column in self.layout.signs.items():
            for rank, names in enumerate(column.sources):
                known = {plain(name) for name in names}
                found = [index for index, (name, _) in enumerate(self._header.columns) if name in known]
                texts = list(dict.fromkeys(self._header.names[index] for index in found))
                if len({self._header.columns[index][0] for index in found}) > 1:
                    raise self._row_error(
                        self._header.line,
                        f"has {len(texts)} columns of {key}: {', '.join(map(repr, texts))}",
                        "one: rename those that are not to be read",
                    )
                if found:
                    name, (_, unit) = self._header.names[found[0]], self._header.columns[found[0]]
                    try:
                        reader = ColumnReader(BY_KEY[key], name, unit, self._mark)
                    except InvalidCell as error:
                        raise self._row_error(self._header.line, error.found, error.expected) from None
                    result.setdefault(key, []).append(Source(rank, found[0], reader))
        return result

    def _omit(self, reason: str) -> None:
        self._omitted[reason] = self._omitted.get(reason, 0) + 1

    def _row_error(self, line: int, found: str, expected: str) -> PermanentError:
        return PermanentError(f"{self.path}, line {line} {found}; expected {expected}")


def other_unit(key: str, low: float, high: float) -> str | None:
    """Return the unit that all values of a sign, from `low` to `high`, look like if it is not the unit of the sign.

    Only what no patient has in a whole recording: a saturation of at most 1 %, a systolic pressure below 40 mmHg.
    """
    if key == "spo2" and 0 < high <= 1:
        return "a fraction"
    if key == "temperature" and low >= 80 and high <= 115:
        return "degrees Fahrenheit"
    if (key == "systolic_bp" and 0 < high < 40) or (key == "diastolic_bp" and 0 < high < 20):
        return "kPa"
    if key == "resp_rate" and low > 0 and high < 3:
        return "intervals between two heart beats in seconds"
    return None
