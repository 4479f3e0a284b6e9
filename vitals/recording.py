"""Read recordings of patients row by row, for `devices replay` and for back-testing of rules.

Files are read as streams of any size. There are four formats, recognized by their header:

bidmc      BIDMC PPG and Respiration Dataset (PhysioNet, doi 10.13026/C2208R), the files *_Numerics.csv
mimic      numerics of a MIMIC bedside monitor, as CSV with `elapsed_s` in front
challenge  PhysioNet/CinC Challenge 2019 (Reyna et al. 2020), a row an hour, or at `Hour` or `ICULOS`
csv        columns named like the signs or as in the other formats, and a column `time`, `elapsed_s` or `seconds`

The line of names shows the separator: `|`, `;`, a tab or a comma. Nothing is guessed: a time without an offset, a unit
that is not ours and a second patient are rejected, because a wrong number looks like a right one.

The meaning of a missing value depends on the source. The numerics of a monitor are continuous: NaN or 0 for heart rate,
respiratory rate or saturation means that the sensor is off, unless another sensor shows that the 0 was measured
(`_measured_zeros`). A cuff measures now and then, and hourly charts are filled in by hand: there a missing value was
not measured.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from vitals.errors import PermanentError
from vitals.sample import Sample
from vitals.signs import BY_KEY, SIGN_KEYS, SIGNS


class Format(StrEnum):
    """Supported formats."""

    BIDMC = "bidmc"
    MIMIC = "mimic"
    CHALLENGE = "challenge"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """The columns of a sign; the first one with a value is used."""

    names: tuple[str, ...]
    continuous: bool  # missing or 0: the sensor is off


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of one format.

    time              names of the time column; none: a row every `step_s` seconds
    time_unit_s       seconds in a unit of the time column
    zero_is_missing   0 means that nothing was measured
    """

    format: Format
    signs: Mapping[str, Column]
    time: tuple[str, ...] = ()
    step_s: float = 0.0
    zero_is_missing: bool = False
    time_unit_s: float = 1.0


# HR is measured by ECG, PULSE by the oximeter.
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
    time=("Hour", "ICULOS"),
    step_s=3600.0,
    time_unit_s=3600.0,
)
_NO_COLUMN = Column((), continuous=False)
# Any sign, by its key, label or short name, or by a name of the other formats.
_CSV = Layout(
    Format.CSV,
    {
        sign.key: Column(
            (
                sign.key,
                sign.label,
                sign.short,
                *(name for layout in (_MIMIC, _CHALLENGE) for name in layout.signs.get(sign.key, _NO_COLUMN).names),
            ),
            continuous=False,
        )
        for sign in SIGNS
    },
    time=("time", "elapsed_s", "seconds"),
)
LAYOUTS: dict[Format, Layout] = {layout.format: layout for layout in (_BIDMC, _MIMIC, _CHALLENGE, _CSV)}
KNOWN_FORMATS = (
    "bidmc (Time [s], HR, PULSE, RESP, SpO2), mimic (elapsed_s, HR, PULSE, RESP, SpO2, NBPSys, NBPDias), "
    "challenge (HR|O2Sat|Temp|SBP|MAP|DBP|Resp|...), "
    f"csv (time, elapsed_s or seconds, and any of {', '.join(BY_KEY)})"
)
MAX_DURATION_S = 100 * 365 * 86_400.0  # longer recordings are probably in milliseconds, and dates would overflow
_MISSING = frozenset(("", "nan", "-nan", "+nan", "na", "n/a", "#n/a", "null", "none", "-", "--"))
# `float` also accepts `1_0`, and digits of any script.
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_TWO_SENSORS = {"hr", "pulse"}  # of one sign, normalized: the ECG's value, else the oximeter's
_PATIENT_COLUMNS = frozenset(
    ("patient_id", "patient", "patientunitstayid", "subject_id", "hadm_id", "stay_id", "caseid")
)
_TIME_UNITS = frozenset(("s", "sec", "second", "seconds"))
_UNITS = {
    "/min": frozenset(("/min", "1/min", "bpm", "brpm", "rpm", "beats/min", "breaths/min", "min-1")),
    "%": frozenset(("%", "percent")),
    "Cel": frozenset(("cel", "c", "°c", "degc", "deg c", "celsius")),
    "mm[Hg]": frozenset(("mmhg", "mm[hg]", "mm hg")),
}
# Column names that identify an export of another system, and its name. Its columns, units or times are not supported.
_FOREIGN = (
    ("vitalsignscapture", "VSCapture"),
    ("nom_", "VSCapture"),
    ("solar8000/", "VitalDB"),
    ("patientunitstayid", "eICU"),
    ("itemid", "MIMIC chartevents"),
)


def _measured_zeros(cells: Mapping[str, Sequence[float | None]]) -> Sequence[str]:
    """Return the signs of which a 0 is a measurement, because another sensor shows that the sensor is on the patient.

    1. The respiratory rate, while the ECG gives a heart rate: impedance pneumography uses the electrodes of the ECG, so
       they are on the patient, and the 0 is an apnoea.
    2. The heart rate, where ECG and oximeter both say 0 while the oximeter still gives a saturation: it is on the
       finger and detects no pulse. It counts as an asystole until a person has checked.
    All at 0 at once, or the ECG alone, indicates lost leads or a disconnected monitor: the sensors are off, and
    `all-sensors-off` says so. Sources: Folke et al., Med Biol Eng Comput 2003;41:377 (impedance pneumography by the
    electrodes of the ECG); Jubran, Crit Care 2015;19:272 (a saturation is computed from the pulse).
    """
    ecg, pulse = (*cells["heart_rate"], None, None)[:2]
    measured = []
    if ecg:
        measured.append("resp_rate")
    if ecg == 0 == pulse and any(cells["spo2"]):
        measured.append("heart_rate")
    return measured


@dataclass(frozen=True, slots=True)
class Row:
    """One row: seconds since the first row, and its values; None if it has no value."""

    elapsed_s: float
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of one pass over a recording in which every row could be read."""

    readings: int
    empty_rows: int
    duration_s: float
    step_s: float  # mean time between two rows; 1 for a single row


class Recording:
    """One file, opened again for each pass; the header is read at once.

    Raises PermanentError with file, line, value and what was expected if the file is missing, is not text, or has
    columns of no supported format.
    """

    def __init__(self, path: Path, format: Format | None = None) -> None:
        self.path = path
        self._delimiter = ","
        self._decimal_mark = ""
        _, names = next(self._lines(csv.QUOTE_NONE), (0, []))
        self._delimiter = next((mark for mark in "|;\t" if any(mark in name for name in names)), ",")
        header = next(self._lines(), None)
        if header is None:
            raise PermanentError(f"{path} is empty; expected a line of column names: {KNOWN_FORMATS}")
        self.layout = _layout(path, header[1], format)
        self._columns = columns = header[1]
        self._width = len(columns)
        self._time, self._absolute = _time_column(self.layout, columns)
        indexes = {_normalize(name): index for index, name in reversed([*enumerate(columns)])}
        self._signs = [
            (
                key,
                [indexes[_normalize(name)] for name in column.names if _normalize(name) in indexes],
                column.continuous,
            )
            for key, column in self.layout.signs.items()
        ]
        used = {index for _, found, _ in self._signs for index in found} | {self._time}
        for index in used:
            if index is not None and sum(_normalize(name) == _normalize(columns[index]) for name in columns) > 1:
                raise PermanentError(
                    f"{path}, line {header[0]} names the column {columns[index]!r} twice; expected each once: rename "
                    "the one that is not to be read"
                )
        for key, found, _ in self._signs:
            names = [columns[index] for index in dict.fromkeys(found)]
            if len(names) > 1 and {_normalize(name) for name in names} != _TWO_SENSORS:
                raise PermanentError(
                    f"{path}, line {header[0]} has {len(names)} columns of {key}: {', '.join(map(repr, names))}; "
                    "expected one: rename those that are not to be read"
                )
        self._patient = [index for index, name in enumerate(columns) if _normalize(name) in _PATIENT_COLUMNS]
        self.unused_columns = tuple(name for index, name in enumerate(columns) if index not in used)
        """Columns that are not read."""

    def summary(self) -> Summary:
        """Read the whole file; raises PermanentError at the first row that cannot be read."""
        readings = empty = 0
        last = 0.0
        ranges: dict[str, tuple[float, float]] = {}
        for row in self.rows():
            if row.sample is None:
                empty += 1
            else:
                readings += 1
                for key, value in row.sample.values.items():
                    low, high = ranges.get(key, (value, value))
                    ranges[key] = (min(low, value), max(high, value))
            last = row.elapsed_s
        if not readings:
            raise PermanentError(
                f"{self.path} holds no row with a value; expected numbers below {', '.join(self._sign_keys())}"
            )
        for key, (low, high) in ranges.items():
            if unit := _other_unit(key, low, high):
                raise PermanentError(
                    f"{self.path}: {key} is {low:g} to {high:g} in all rows, which looks like {unit}; expected "
                    f"{BY_KEY[key].unit}: convert the column {self._names_of(key)}"
                )
        return Summary(readings, empty, last, last / (readings + empty - 1) if last else 1.0)

    def rows(self) -> Iterator[Row]:
        """Yield the rows; raises PermanentError for a row that cannot be read or whose time goes back."""
        lines = self._lines()
        next(lines)
        first: float | None = None
        previous = -math.inf
        self._decimal_mark = ""
        patient: list[str] | None = None
        number = -1
        for line, cells in lines:
            if number < 0 and self._is_units_row(line, cells):
                continue
            number += 1
            if len(cells) != self._width and (len(cells) < self._width or any(cells[self._width :])):
                raise self._row_error(line, f"has {len(cells)} values", f"{self._width}, as in the line of names")
            owner = [cells[index] for index in self._patient]
            patient = owner if patient is None else patient
            if owner != patient:
                raise self._row_error(
                    line,
                    f"belongs to {', '.join(owner)!r} and the first row to {', '.join(patient)!r} in "
                    f"{', '.join(repr(self._columns[index]) for index in self._patient)}",
                    "one patient per file: split the file",
                )
            time = self._seconds(line, cells) if self._time is not None else number * self.layout.step_s
            if time < previous:
                raise self._row_error(
                    line, f"goes back in time to {cells[self._time or 0]!r}", "rows of one patient in order of time"
                )
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
        cells_of = {
            key: [self._number(line, cells, index, key) for index in indexes] for key, indexes, _ in self._signs
        }
        measured_zeros = _measured_zeros(cells_of) if self.layout.zero_is_missing else SIGN_KEYS
        for key, indexes, continuous in self._signs:
            for value in cells_of[key]:
                if value is not None and (value or key in measured_zeros):
                    values[key] = value
                    break
            else:
                if continuous and indexes:
                    off.append(key)
        return Sample(values, sensor_off=tuple(off)) if values or off else None

    def _is_units_row(self, line: int, cells: Sequence[str]) -> bool:
        """Return whether the row below the names holds units; raises PermanentError for another unit."""
        if len(cells) != self._width:
            return False
        units = [cell.strip("()[]'\" ").casefold() for cell in cells]
        known = _TIME_UNITS.union(*_UNITS.values())
        signs = [(key, index) for key, indexes, _ in self._signs for index in indexes]
        if not any(units[index] in known for _, index in signs) or any(_NUMBER.fullmatch(unit) for unit in units):
            return False
        for key, index in signs:
            unit = BY_KEY[key].unit
            if units[index] and units[index] not in _UNITS[unit]:
                raise self._row_error(line, f"has the unit {self._cell(cells, index, key)}", f"{unit}: convert it")
        if self._time is not None and not self._absolute and units[self._time]:
            expected = _TIME_UNITS if self.layout.time_unit_s == 1 else frozenset(("h", "hour", "hours"))
            if units[self._time] not in expected:
                raise self._row_error(
                    line, f"has the unit {self._cell(cells, self._time, 'its time')}", "seconds: convert it"
                )
        return True

    def _number(self, line: int, cells: Sequence[str], index: int, key: str) -> float | None:
        if cells[index].lower() in _MISSING:
            return None
        value = self._parse_decimal(line, cells[index])
        if value is None:
            raise self._row_error(
                line,
                f"has {self._cell(cells, index, key)}",
                f"a number in {BY_KEY[key].unit} without unit, or NaN",
            )
        return value

    def _parse_decimal(self, line: int, text: str) -> float | None:
        """Return the number, or None; a decimal comma is read where commas do not separate the columns."""
        if not _NUMBER.fullmatch(text) or ("," in text and self._delimiter == ","):
            return None
        mark = "," if "," in text else "." if "." in text else ""
        if mark and self._decimal_mark not in ("", mark):
            raise self._row_error(
                line, f"has {text[:100]!r}, and rows above have {self._decimal_mark!r}", "one decimal mark in a file"
            )
        self._decimal_mark = self._decimal_mark or mark
        value = float(text.replace(",", "."))
        return value if math.isfinite(value) else None

    def _cell(self, cells: Sequence[str], index: int, meaning: str) -> str:
        return f"{cells[index][:100]!r} for {meaning} in column {self._columns[index]!r}"

    def _seconds(self, line: int, cells: Sequence[str]) -> float:
        index = self._time or 0
        if self._absolute:
            return self._instant(line, cells[index])
        value = self._parse_decimal(line, cells[index])
        if value is None:
            unit = "seconds" if self.layout.time_unit_s == 1 else "hours"
            raise self._row_error(line, f"has {self._cell(cells, index, 'its time')}", f"a number of {unit}")
        if 1e11 <= abs(value) < 1e14:  # about 1973 to 5138 as milliseconds since 1970
            raise self._row_error(
                line,
                f"has {self._cell(cells, index, 'its time')}, which looks like milliseconds",
                "seconds: divide by 1000",
            )
        return value * self.layout.time_unit_s

    def _instant(self, line: int, text: str) -> float:
        expected = "RFC 3339 with an offset, like 2026-11-22T10:00:00Z"
        if _NUMBER.fullmatch(text):
            expected += "; for a number of seconds, name the column 'seconds'"
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise self._row_error(line, f"has {text[:100]!r} for its time", expected) from None
        if instant.tzinfo is None:
            raise self._row_error(line, f"has the time {text!r} without an offset", expected)
        return (instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()

    def _sign_keys(self) -> list[str]:
        return [key for key, indexes, _ in self._signs if indexes]

    def _names_of(self, key: str) -> str:
        return ", ".join(
            repr(self._columns[index]) for name, indexes, _ in self._signs for index in indexes if name == key
        )

    def _row_error(self, line: int, found: str, expected: str) -> PermanentError:
        return PermanentError(f"{self.path}, line {line} {found}; expected {expected}")

    def _lines(self, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL) -> Iterator[tuple[int, list[str]]]:
        """Yield line numbers and stripped cells, without blank lines."""
        if self.path.exists() and not self.path.is_file():
            # A pipe cannot be read twice: once to check, once to replay.
            raise PermanentError(f"{self.path} is not a file; expected a recording")
        try:
            # utf-8-sig: spreadsheets write a byte order mark.
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, delimiter=self._delimiter, quoting=quoting, strict=True)
                for cells in lines:
                    if any(cell.strip() for cell in cells):
                        yield lines.line_num, [cell.strip() for cell in cells]
        except OSError as error:
            raise PermanentError(f"{self.path} cannot be read: {error.strerror}; expected a recording") from None
        except UnicodeDecodeError:
            raise PermanentError(f"{self.path} is not UTF-8 text; expected one of {KNOWN_FORMATS}") from None
        except csv.Error as error:
            raise PermanentError(
                f"{self.path}, line {lines.line_num} is not CSV: {error}; expected one of {KNOWN_FORMATS}"
            ) from None


def _layout(path: Path, header: Sequence[str], wanted: Format | None) -> Layout:
    """Return the layout that fits the header; only `wanted` is tried, if given."""
    names = {_normalize(name) for name in header}
    has_time = bool(names & _names(_CSV.time))
    fits: dict[Format, Callable[[], bool]] = {
        Format.BIDMC: lambda: {"time [s]", "hr", "resp", "spo2"} <= names,
        Format.MIMIC: lambda: {"elapsed_s", "hr", "resp", "spo2"} <= names,
        Format.CHALLENGE: lambda: {"hr", "o2sat", "resp"} <= names and (wanted is not None or not has_time),
        Format.CSV: lambda: has_time and any(names & _names(c.names) for c in _CSV.signs.values()),
    }
    for format in Format if wanted is None else (wanted,):
        if fits[format]():
            return LAYOUTS[format]
    mismatch = "in no supported format" if wanted is None else f"not in the format {wanted}"
    shown = ", ".join(header)[:200]
    for mark, system in _FOREIGN:
        if mark in shown.casefold():
            mismatch += f" and looks like an export of {system}, which is not read as it is"
            break
    raise PermanentError(
        f"{path} is {mismatch}: its first line names the columns {shown!r}; expected one of {KNOWN_FORMATS}. "
        "Rename the columns, convert their units and add a column of times"
    )


def _other_unit(key: str, low: float, high: float) -> str | None:
    """Return the unit that all values of a sign, from `low` to `high`, look like if it is not the unit of the sign.

    Only what no patient has in a whole recording: a saturation of at most 1 %, a systolic pressure below 40 mmHg.
    """
    if key == "spo2" and 0 < high <= 1:
        return "a fraction"
    if key == "temperature" and low >= 80 and high <= 115:
        return "degrees Fahrenheit"
    if (key == "systolic_bp" and 0 < high < 40) or (key == "diastolic_bp" and 0 < high < 20):
        return "kPa"
    return None


def _time_column(layout: Layout, columns: Sequence[str]) -> tuple[int | None, bool]:
    """Return the index of the time column, None for evenly spaced rows, and whether it holds timestamps."""
    plain = [_normalize(name) for name in columns]
    for name in layout.time:
        if _normalize(name) in plain:
            return plain.index(_normalize(name)), name == "time"
    return None, False


def _names(names: Sequence[str]) -> set[str]:
    return {_normalize(name) for name in names}


def _normalize(name: str) -> str:
    """Return a column name for comparison: stripped, without quotes of either kind, and case-folded."""
    return name.strip(" \t'\"").casefold()
