"""Bytes a reading, as rows and in the columnstore."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from bench.generated_readings import insert_readings
from bench.queries import DEVICES, PERIODS
from bench.report import Log, Result
from sql.migrate import connect, migrate

STEP = timedelta(seconds=1)  # what a bedside monitor sends


@dataclass(frozen=True)
class StorageResult(Result):
    """Bytes a reading with its indexes. Without a columnstore the last two are None, and `why` says why."""

    server: str
    readings: int
    row_bytes: float
    columnstore_bytes: float | None
    times_smaller: float | None
    why: str | None = None

    def text(self) -> str:
        """Format the figures for a terminal."""
        columnstore = (
            f"none: {self.why}"
            if self.columnstore_bytes is None
            else f"{self.columnstore_bytes:>8.1f} bytes per reading, {self.times_smaller}x smaller"
        )
        return "\n".join(
            [
                f"{self.readings} readings, {self.server}",
                f"  as rows             {self.row_bytes:>8.1f} bytes per reading",
                f"  in the columnstore  {columnstore}",
            ]
        )


def storage(url: str, readings: int, log: Log) -> StorageResult:
    """Fill an empty database with days of readings at 1 Hz, then move them to the columnstore as the policy would."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        days = max(1, round(readings / DEVICES / 86_400))
        origin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
        numbers = range(min(readings // DEVICES, days * 86_400 - 1))
        stored = insert_readings(connection, origin, numbers, DEVICES, STEP, lambda done: log(f"{done} of {readings}"))
        before = _size(connection)
        if not edition.community:
            why = "the columnstore needs the Community edition"
            return StorageResult(str(edition), stored, round(before / stored, 1), None, None, why)
        log("moving them to the columnstore")
        row = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_compression' AND hypertable_name = 'patient_vitals'"
        ).fetchone()
        assert row is not None
        connection.execute("CALL run_job(%s)", [row[0]])
        after = _size(connection)
    return StorageResult(
        str(edition), stored, round(before / stored, 1), round(after / stored, 2), round(before / after, 1)
    )


def _size(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT hypertable_size('patient_vitals')").fetchone()
    assert row is not None
    return int(str(row[0]))
