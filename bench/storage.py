"""Bytes a reading, as rows and in the columnstore."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from bench.queries import DEVICES, PERIODS
from bench.readings import insert_readings
from sql.migrate import connect, migrate

STEP = timedelta(seconds=1)  # what a bedside monitor sends

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stored:
    """Bytes a reading with its indexes. Without a columnstore the last two are None, and `why` says why."""

    server: str
    readings: int
    row_bytes: float
    columnstore_bytes: float | None
    times_smaller: float | None
    why: str | None = None

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def storage(url: str, readings: int, say: Say) -> Stored:
    """Fill an empty database with days of readings at 1 Hz, then move them to the columnstore as the policy would."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        days = max(1, round(readings / DEVICES / 86_400))
        origin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
        numbers = range(min(readings // DEVICES, days * 86_400 - 1))
        stored = insert_readings(connection, origin, numbers, DEVICES, STEP, lambda done: say(f"{done} of {readings}"))
        before = _size(connection)
        if not edition.community:
            why = "the columnstore needs the Community edition"
            return Stored(str(edition), stored, round(before / stored, 1), None, None, why)
        say("moving them to the columnstore")
        row = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_compression' AND hypertable_name = 'patient_vitals'"
        ).fetchone()
        assert row is not None
        connection.execute("CALL run_job(%s)", [row[0]])
        after = _size(connection)
    return Stored(str(edition), stored, round(before / stored, 1), round(after / stored, 2), round(before / after, 1))


def _size(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT hypertable_size('patient_vitals')").fetchone()
    assert row is not None
    return int(str(row[0]))
