"""What is past, bed by bed, for the backtest: recordings on disk, or the hypertable.

`comparison` reads one bed after the other and holds none of them in memory. The database is read as `vitalflow_reader`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from statistics import median
from typing import Any

from vitals.errors import PermanentError, TransientError
from vitals.reading import Reading, reading, sign_values
from vitals.recording import Recording
from vitals.signs import BY_KEY, SIGN_KEYS

# A recording has times relative to its first row, without a date; any date serves.
DAY = datetime(2000, 1, 1, tzinfo=UTC)
FETCH = 5_000  # rows a round trip
LEARNED_FROM = 1_000  # readings at the start of a history that show its interval


@dataclass(frozen=True)
class BedHistory:
    """The readings of one device, in order of time. `interval_s`: usual seconds between two, 0 if unknown."""

    device: str
    ward: str
    interval_s: float
    readings: Iterator[Reading]


def read_recordings(found: Sequence[Recording]) -> Iterator[BedHistory]:
    """A bed for each recording. Raises PermanentError before the first one where any of them cannot be read."""
    for recording in found:
        recording.summary()
    for recording in found:
        yield _history(recording.path.stem, "recordings", _rows(recording))


def _history(device: str, ward: str, readings: Iterable[Reading]) -> BedHistory:
    """Make a history whose interval is learned from its first readings: what the birth announced is not stored."""
    rest = iter(readings)
    first = list(islice(rest, LEARNED_FROM))
    return BedHistory(device, ward, usual_interval_s(first), chain(first, rest))


def usual_interval_s(readings: Iterable[Reading]) -> float:
    """Return the median seconds between two values of the sign that has the most; 0 if none has two.

    Of one sign, because a device may send one sign per message, and a monitor takes a cuff pressure now and then.
    """
    last: dict[str, datetime] = {}
    gaps: dict[str, list[float]] = {}
    for taken in readings:
        measured = (key for key, value in zip(SIGN_KEYS, sign_values(taken), strict=True) if value is not None)
        for key in (*measured, *taken.sensor_off):
            if key in last and taken.time > last[key]:
                gaps.setdefault(key, []).append((taken.time - last[key]).total_seconds())
            last[key] = taken.time
    return median(gaps[max(gaps, key=lambda key: len(gaps[key]))]) if gaps else 0.0


def _rows(recording: Recording) -> Iterator[Reading]:
    for row in recording.rows():
        sample = row.sample
        if sample is None:
            continue
        # As ingest does: a value that no sensor can report is none.
        values = {key: value for key, value in sample.values.items() if BY_KEY[key].low <= value <= BY_KEY[key].high}
        if values or sample.sensor_off:
            time = DAY + timedelta(seconds=row.elapsed_s)
            yield reading(time, values, patient_id=recording.path.stem, sensor_off=sample.sensor_off)


def read_table(url: str, start: datetime, end: datetime) -> Iterator[BedHistory]:
    """A bed for each device that has readings from `start` to before `end`, with the ward of its first one."""
    import psycopg  # only here: recordings need no database driver
    from psycopg.rows import tuple_row

    from sql.connection import describe_connect_error

    span = (start, end)
    columns = ", ".join(SIGN_KEYS)
    try:
        with psycopg.connect(url) as connection, connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(
                "SELECT device_id, min(ward), count(*) FROM patient_vitals "
                "WHERE time >= %s AND time < %s GROUP BY device_id ORDER BY device_id",
                span,
            )
            for device, ward, _ in cursor.fetchall():
                with connection.cursor("backtest_readings", row_factory=tuple_row) as rows:
                    rows.itersize = FETCH
                    rows.execute(
                        "SELECT time, boot, seq, patient_id, on_oxygen, consciousness, sensor_off, "  # noqa: S608
                        f"{columns} FROM patient_vitals "
                        "WHERE device_id = %s AND time >= %s AND time < %s ORDER BY time, boot, seq",
                        (device, *span),
                    )
                    yield _history(device, ward, map(_make_reading, rows))
    except psycopg.OperationalError as error:
        raise TransientError(f"the database cannot be read: {describe_connect_error(error, url)}") from None
    except psycopg.Error as error:
        raise PermanentError(f"the database refuses: {' '.join(str(error).split())}") from None


def _make_reading(row: Any) -> Reading:
    time, boot, seq, patient, oxygen, consciousness, off, *values = row
    return reading(
        time,
        dict(zip(SIGN_KEYS, values, strict=True)),
        boot=boot,
        seq=seq,
        patient_id=patient,
        on_oxygen=oxygen,
        consciousness=consciousness,
        sensor_off=tuple(off),
    )
