"""What `vitalflow import` prints: its progress, and the result of each file."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ingest.importing.rows import Counts
from ingest.importing.store import Stored
from vitals.recording import Recording
from vitals.topics import DeviceAddress

SAMPLE_BYTES = 64 * 1024
INTERVAL_S = 10.0  # between two lines where the output is no terminal
TERMINAL_INTERVAL_S = 0.5


class Progress:
    """Rows, rows per second and the time left, on one line of a terminal, else on a line every INTERVAL_S."""

    def __init__(self, path: Path, now: float, out: TextIO) -> None:
        self._name = path.name
        self._out = out
        self._terminal = out.isatty()
        self._began = self._shown = now
        self._total = estimated_lines(path)
        self._open = False

    def show(self, rows: int, now: float) -> None:
        """Show the progress at `now`, in monotonic seconds, if it is time to."""
        if now - self._shown < (TERMINAL_INTERVAL_S if self._terminal else INTERVAL_S):
            return
        self._shown = now
        speed = rows / (now - self._began)
        text = f"{self._name}: {rows:,} rows, {speed:,.0f} rows/s"
        if self._total is not None and self._total > rows:
            text += f", about {format_seconds((self._total - rows) / speed)} left"
        self._out.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._out.flush()
        self._open = self._terminal

    def end(self) -> None:
        """Remove the line from a terminal."""
        if self._open:
            self._out.write("\r\x1b[K")
            self._out.flush()


def estimated_lines(path: Path) -> int | None:
    """Return the number of lines of a text file, estimated from its first lines; None if they are not text."""
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
        size = path.stat().st_size
    except OSError:
        return None
    lines = sample.count(b"\n")
    return round(size * lines / (sample.rindex(b"\n") + 1)) if lines and b"\0" not in sample else None


def format_seconds(seconds: float) -> str:
    """Return a duration as 45 s, 3 min or 2 h 10 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def describe(recording: Recording, bed: DeviceAddress, counts: Counts, stored: Stored) -> Iterator[str]:
    """Yield the lines of a file's result: what is stored, and whatever is not, with reason and first line."""
    name = recording.path.name
    span = ""
    if counts.first_time is not None and counts.last_time is not None:
        span = f" from {_minute(counts.first_time)} to {_minute(counts.last_time)}"
    yield (
        f"{name}: {_number(counts.rows, 'reading')} of {bed.ward}/{bed.device}{span}: {stored.stored:,} new, "
        f"{stored.duplicates:,} stored before"
    )
    yield f"  read as {recording.layout.format}, because the file {recording.reason}"
    for reason, count in counts.rejected.items():
        advice = (
            "import the file again tomorrow" if "24 hours" in reason else "give the time of the first row with --start"
        )
        yield f"  rejected: {count.number:,} {reason} (first: {count.first}); {advice}"
    if stored.refused and stored.refused_from is not None and stored.refused_to is not None:
        yield (
            f"  rejected: {stored.refused:,} from {_minute(stored.refused_from)} to {_minute(stored.refused_to)}, days "
            f"on which {bed.device} sent readings itself, of which only the averages are kept; import them as another "
            "--device"
        )
    for key, count in counts.left_out.items():
        yield f"  left out: {_number(count.number, 'implausible value')} of {key} (first: {count.first})"
    if counts.empty_rows:
        yield f"  skipped: {_number(counts.empty_rows, 'row')} without a value"
    for what, number in recording.omitted.items():
        yield f"  left out: {number:,} {what}"
    if recording.unused_columns:
        yield f"  not read: the columns {', '.join(recording.unused_columns)}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"
