"""Make lines of COPY's text format of the rows of a recording. Pure: no database, and the time is an argument.

The rules are those of `vitals/codec.py`: an implausible value is left out of its reading, and a reading with a wrong
time is rejected. Both are counted by reason, with the first line of the file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ingest.batch_builder import copy_line
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT, reading
from vitals.recording import Row, other_unit
from vitals.signs import BY_KEY
from vitals.topics import DeviceAddress

BATCH_ROWS = 50_000
MAX_REMEMBERED = 10_000  # plausible values of a sign
MAX_HELD_ROWS = 4 * BATCH_ROWS  # while all values of a sign look like another unit
MIN_AGE = timedelta(hours=24)  # of a reading: the screens of the live ward show younger ones as the state of a bed


@dataclass(slots=True)
class Count:
    """How often something occurred, and where first."""

    number: int = 0
    first: str = ""

    def add(self, first: str) -> None:
        """Count one more."""
        self.number += 1
        self.first = self.first or first


@dataclass(slots=True)
class Counts:
    """What a file holds.

    rows       rows with a value, or whose sensor was off
    rejected   readings that are not stored, by reason
    left_out   implausible values, by sign
    """

    rows: int = 0
    empty_rows: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    rejected: dict[str, Count] = field(default_factory=dict)
    left_out: dict[str, Count] = field(default_factory=dict)


class RowConverter:
    """Converts the rows of one file to batches of lines for the table `import_stage`.

    patient returns the patient of a row that has been read
    start   time of the first row; None: the times of the file
    now     the time of the import
    """

    def __init__(
        self,
        name: str,
        bed: DeviceAddress,
        patient: Callable[[], str | None],
        start: datetime | None,
        now: datetime,
    ) -> None:
        self._name = name
        self._bed = bed
        self._patient = patient
        self._start = start
        self._now = now
        self._known_patient: str | None = None
        self._newest = now - MIN_AGE
        self._ranges: dict[str, tuple[float, float]] = {}
        self._plausible: dict[str, set[float]] = {key: set() for key in BY_KEY}
        self.counts = Counts()

    def batches(self, rows: Iterable[Row]) -> Iterator[list[str]]:
        """Yield the lines, BATCH_ROWS at a time, of the rows that are accepted.

        A batch is held back while all values of a sign so far look like another unit; raises PermanentError if no other
        ones follow. Raises PermanentError for rows without a date if there is no `start`.
        """
        lines: list[str] = []
        for row in rows:
            line = self._line(row)
            if line is None:
                continue
            lines.append(line)
            if len(lines) >= BATCH_ROWS and (len(lines) >= MAX_HELD_ROWS or not self._unit_problem()):
                self._require_units()
                yield lines
                lines = []
        self._require_units()
        if lines:
            yield lines

    def _line(self, row: Row) -> str | None:
        counts, sample = self.counts, row.sample
        if sample is None:
            counts.empty_rows += 1
            return None
        counts.rows += 1
        time = row.time if self._start is None else self._start + timedelta(seconds=row.elapsed_s)
        if time is None:
            raise PermanentError(
                f"{self._name} has times without a date; give the time of its first row with --start TIME"
            )
        if time > self._newest:
            reason = "later than now" if time > self._now else "of the last 24 hours"
            counts.rejected.setdefault(reason, Count()).add(f"line {row.line}, {time.isoformat()}")
            return None
        if counts.first_time is None or time < counts.first_time:
            counts.first_time = time
        if counts.last_time is None or time > counts.last_time:
            counts.last_time = time
        values = sample.values
        for key, value in values.items():
            if value not in self._plausible[key]:
                values = self._without_implausible(values, row.line)
                break
        made = reading(
            time,
            values,
            patient_id=self._checked_patient(),
            on_oxygen=sample.on_oxygen,
            consciousness=sample.consciousness,
            sensor_off=sample.sensor_off,
        )
        return copy_line(made, self._bed, self._now)

    def _without_implausible(self, values: Mapping[str, float], line: int) -> dict[str, float]:
        """Return the plausible values of a row, and remember them: most rows have only values that others had."""
        kept = {}
        for key, value in values.items():
            low, high = self._ranges.get(key, (value, value))
            self._ranges[key] = (value if value < low else low, value if value > high else high)
            sign = BY_KEY[key]
            if sign.low <= value <= sign.high:
                kept[key] = value
                if len(self._plausible[key]) < MAX_REMEMBERED:
                    self._plausible[key].add(value)
            else:
                self.counts.left_out.setdefault(key, Count()).add(f"line {line}, {value:g} {sign.unit}")
        return kept

    def _checked_patient(self) -> str | None:
        """Return the patient of the present row; raises PermanentError for a text that is no number of a patient."""
        patient = self._patient()
        if patient != self._known_patient:
            if patient is not None and not (0 < len(patient) <= MAX_TEXT and patient.isprintable() and patient.strip()):
                raise PermanentError(
                    f"{self._name}: the patient {patient!a} is no valid number; expected 1 to {MAX_TEXT} printable "
                    "characters"
                )
            self._known_patient = patient
        return patient

    def _unit_problem(self) -> str | None:
        for key, (low, high) in self._ranges.items():
            if unit := other_unit(key, low, high):
                return (
                    f"{self._name}: {key} is {low:g} to {high:g} in all rows, which looks like {unit}; expected "
                    f"{BY_KEY[key].unit}: convert it"
                )
        return None

    def _require_units(self) -> None:
        if problem := self._unit_problem():
            raise PermanentError(problem)
