"""Recordings of patients, read row by row. `devices` plays them, `alerts` tries rules on them.

Pure but for reading the file; who uses a row gives it a moment and a name. A file is read as a stream, so its size
does not matter. Four formats, told apart by their header:

bidmc      BIDMC PPG and Respiration Dataset (PhysioNet, doi 10.13026/C2208R), the files *_Numerics.csv
mimic      numerics of a MIMIC bedside monitor, as CSV with `elapsed_s` in front
challenge  PhysioNet/CinC Challenge 2019 (Reyna et al. 2020), pipe-separated, a row an hour
csv        anybody's own: columns named as our signs are, beside a `time` or an `elapsed_s`

A value that is missing means different things. A monitor's numerics are continuous: where heart rate, breathing or
saturation read NaN or a literal 0, the sensor is off. A cuff measures now and then, and a chart of hourly values holds
what somebody wrote down: there, missing means not measured.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from vitals.errors import PermanentError
from vitals.sample import Sample
from vitals.signs import BY_KEY, SIGNS


class Format(StrEnum):
    """The formats that can be read."""

    BIDMC = "bidmc"
    MIMIC = "mimic"
    CHALLENGE = "challenge"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """Where a sign stands: the names of its columns, the first that has a value is taken."""

    names: tuple[str, ...]
    continuous: bool  # missing or 0: the sensor is off, and not merely nothing measured


@dataclass(frozen=True, slots=True)
class Layout:
    """How one format is laid out.

    `time` gives the names of the time column; none: a row every `step_s` seconds. `zero_is_missing`: a literal 0 says
    that nothing was measured.
    """

    format: Format
    signs: Mapping[str, Column]
    time: tuple[str, ...] = ()
    step_s: float = 0.0
    delimiter: str = ","
    zero_is_missing: bool = False


# HR comes from the ECG and PULSE from the oximeter: two measurements of one thing.
_MONITOR = {
    "heart_rate": Column(("HR", "PULSE"), continuous=True),
    "resp_rate": Column(("RESP",), continuous=True),
    "spo2": Column(("SpO2",), continuous=True),
}
_BIDMC = Layout(Format.BIDMC, _MONITOR, time=("Time [s]",), zero_is_missing=True)
_MIMIC = Layout(
    Format.MIMIC,
    {
        **_MONITOR,
        "systolic_bp": Column(("NBPSys",), continuous=False),
        "diastolic_bp": Column(("NBPDias",), continuous=False),
    },
    time=("elapsed_s",),
    zero_is_missing=True,
)
_CHALLENGE = Layout(
    Format.CHALLENGE,
    {
        "heart_rate": Column(("HR",), continuous=False),
        "spo2": Column(("O2Sat",), continuous=False),
        "resp_rate": Column(("Resp",), continuous=False),
        "temperature": Column(("Temp",), continuous=False),
        "systolic_bp": Column(("SBP",), continuous=False),
        "diastolic_bp": Column(("DBP",), continuous=False),
    },
    step_s=3600.0,
    delimiter="|",
)
# Any sign of the table, under its key, its label or its short name.
_CSV = Layout(
    Format.CSV,
    {sign.key: Column((sign.key, sign.label, sign.short), continuous=False) for sign in SIGNS},
    time=("time", "elapsed_s", "seconds"),
)
LAYOUTS: dict[Format, Layout] = {layout.format: layout for layout in (_BIDMC, _MIMIC, _CHALLENGE, _CSV)}
KNOWN_FORMATS = (
    "bidmc (Time [s], HR, PULSE, RESP, SpO2), mimic (elapsed_s, HR, PULSE, RESP, SpO2, NBPSys, NBPDias), "
    "challenge (HR|O2Sat|Temp|SBP|MAP|DBP|Resp|...), "
    f"csv (time, elapsed_s or seconds, and any of {', '.join(BY_KEY)})"
)
MAX_DURATION_S = 100 * 365 * 86_400.0  # beyond it somebody's seconds are nanoseconds, and dates run out of range
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: seconds since the first one, and what was measured then; None where the row holds no value."""

    elapsed_s: float
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass over a recording found: that every row can be read, and how much there is."""

    readings: int
    empty_rows: int
    duration_s: float
    step_s: float  # the usual distance of two rows; 1 where there are no two


class Recording:
    """One file, opened anew for each pass. Reads its header at once.

    Raises PermanentError, in one sentence with file, line, value and what was expected, for a file that is missing, is
    not text, or has columns of no known format.
    """

    def __init__(self, path: Path, format: Format | None = None) -> None:
        self.path = path
        header = next(self._lines(",|"), None)
        if header is None:
            raise PermanentError(f"{path} is empty; expected a line of column names: {KNOWN_FORMATS}")
        self.layout = _layout(path, header[1], format)
        columns = next(self._lines(self.layout.delimiter))[1]
        self._width = len(columns)
        self._time, self._absolute = _time_column(self.layout, columns)
        places = {_normalize(name): place for place, name in reversed([*enumerate(columns)])}
        self._signs = [
            (key, [places[_normalize(name)] for name in column.names if _normalize(name) in places], column.continuous)
            for key, column in self.layout.signs.items()
        ]
        used = {place for _, found, _ in self._signs for place in found} | {self._time}
        self.unused_columns = tuple(name for place, name in enumerate(columns) if place not in used)
        """Columns that no sign is read from."""

    def summary(self) -> Summary:
        """Read the whole file once; raises PermanentError at the first row that cannot be read."""
        readings = empty = 0
        last = 0.0
        for row in self.rows():
            if row.sample is None:
                empty += 1
            else:
                readings += 1
            last = row.elapsed_s
        if not readings:
            raise PermanentError(
                f"{self.path} holds no row with a value; expected numbers below {', '.join(self._sign_keys())}"
            )
        return Summary(readings, empty, last, last / (readings + empty - 1) if last else 1.0)

    def rows(self) -> Iterator[Row]:
        """The rows in order. Raises PermanentError for a row that cannot be read, and for a time that goes back."""
        lines = self._lines(self.layout.delimiter)
        next(lines)
        first: float | None = None
        previous = -math.inf
        for number, (line, cells) in enumerate(lines):
            if len(cells) != self._width and (len(cells) < self._width or any(cells[self._width :])):
                raise self._row_error(line, f"has {len(cells)} values", f"{self._width}, as in the line of names")
            time = self._seconds(line, cells) if self._time is not None else number * self.layout.step_s
            if time < previous:
                raise self._row_error(line, f"goes back in time to {cells[self._time or 0]!r}", "rows in order of time")
            previous = time
            first = time if first is None else first
            if time - first > MAX_DURATION_S:
                raise self._row_error(
                    line, f"is {time - first:g} s after the first", "seconds, and at most a hundred years"
                )
            yield Row(time - first, self._sample(line, cells))

    def _sample(self, line: int, cells: Sequence[str]) -> Sample | None:
        values: dict[str, float] = {}
        off = []
        for key, places, continuous in self._signs:
            for place in places:
                value = self._number(line, cells[place], key)
                if value is not None and not (self.layout.zero_is_missing and value == 0):
                    values[key] = value
                    break
            else:
                if continuous and places:
                    off.append(key)
        return Sample(values, sensor_off=tuple(off)) if values or off else None

    def _number(self, line: int, text: str, key: str) -> float | None:
        if text.lower() in _MISSING:
            return None
        sign = BY_KEY[key]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self._row_error(line, f"has {text[:100]!r} for {key}", f"a number in {sign.unit}, or NaN")
        return value

    def _seconds(self, line: int, cells: Sequence[str]) -> float:
        text = cells[self._time or 0]
        if self._absolute:
            return self._instant(line, text)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self._row_error(line, f"has {text[:100]!r} for its time", "a number of seconds")
        return value

    def _instant(self, line: int, text: str) -> float:
        expected = "RFC 3339 with an offset, like 2026-11-22T10:00:00Z"
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise self._row_error(line, f"has {text[:100]!r} for its time", expected) from None
        if instant.tzinfo is None:
            raise self._row_error(line, f"has the time {text!r} without an offset", expected)
        return (instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()

    def _sign_keys(self) -> list[str]:
        return [key for key, places, _ in self._signs if places]

    def _row_error(self, line: int, found: str, expected: str) -> PermanentError:
        return PermanentError(f"{self.path}, line {line} {found}; expected {expected}")

    def _lines(self, delimiters: str) -> Iterator[tuple[int, list[str]]]:
        """(line number, its cells without the blanks around them); blank lines are passed over.

        Of several delimiters the one that the first line holds is taken.
        """
        if self.path.exists() and not self.path.is_file():
            # A pipe cannot be read twice, and it is: once to check it, once to play it.
            raise PermanentError(f"{self.path} is not a file; expected a recording")
        try:
            # utf-8-sig: what spreadsheets save begins with a byte order mark.
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                delimiter = delimiters
                if len(delimiters) > 1:
                    delimiter = "|" if "|" in file.readline() else ","
                    file.seek(0)
                lines = csv.reader(file, delimiter=delimiter, strict=True)
                for cells in lines:
                    if any(cell.strip() for cell in cells):
                        yield lines.line_num, [cell.strip() for cell in cells]
        except OSError as error:
            raise PermanentError(f"{self.path} cannot be read: {error.strerror}; expected a recording") from None
        except UnicodeDecodeError:
            raise PermanentError(f"{self.path} is not a text in UTF-8; expected one of {KNOWN_FORMATS}") from None
        except csv.Error as error:
            raise PermanentError(
                f"{self.path}, line {lines.line_num} is not CSV: {error}; expected one of {KNOWN_FORMATS}"
            ) from None


def _layout(path: Path, header: Sequence[str], wanted: Format | None) -> Layout:
    """The layout that fits the header, or the wanted one where it does."""
    names = {_normalize(name) for name in header}
    fits: dict[Format, Callable[[], bool]] = {
        Format.BIDMC: lambda: {"time [s]", "hr", "resp", "spo2"} <= names,
        Format.MIMIC: lambda: {"elapsed_s", "hr", "resp", "spo2"} <= names,
        Format.CHALLENGE: lambda: {"hr", "o2sat", "resp"} <= names,
        Format.CSV: lambda: (
            bool(names & _names(_CSV.time)) and any(names & _names(c.names) for c in _CSV.signs.values())
        ),
    }
    for format in Format if wanted is None else (wanted,):
        if fits[format]():
            return LAYOUTS[format]
    asked = "in no known format" if wanted is None else f"not in the format {wanted}"
    shown = ", ".join(header)[:200]
    raise PermanentError(
        f"{path} is {asked}: its first line names the columns {shown!r}; expected one of {KNOWN_FORMATS}"
    )


def _time_column(layout: Layout, columns: Sequence[str]) -> tuple[int | None, bool]:
    """The place of the time column, None where rows are evenly spaced; and whether it holds moments, not seconds."""
    plain = [_normalize(name) for name in columns]
    for name in layout.time:
        if _normalize(name) in plain:
            return plain.index(_normalize(name)), name == "time"
    return None, False


def _names(names: Sequence[str]) -> set[str]:
    return {_normalize(name) for name in names}


def _normalize(name: str) -> str:
    """A column's name for comparing: without blanks around it, in small letters."""
    return name.strip().casefold()
