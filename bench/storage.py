"""Bytes a reading, as rows and in the columnstore."""

from datetime import UTC, datetime, timedelta

import psycopg

from bench.generated_readings import insert_readings
from bench.queries import DEVICES, PERIODS
from bench.report import Figures, Log
from sql.migrate import connect, migrate

STEP = timedelta(seconds=1)  # what a bedside monitor sends


def storage(url: str, readings: int, log: Log) -> Figures:
    """Fill an empty database with days of readings at 1 Hz, then move them to the columnstore as the policy would."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        days = max(1, round(readings / DEVICES / 86_400))
        origin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
        numbers = range(min(readings // DEVICES, days * 86_400 - 1))
        stored = insert_readings(connection, origin, numbers, DEVICES, STEP, lambda done: log(f"{done} of {readings}"))
        before = _size(connection)
        figures: Figures = {"server": str(edition), "readings": stored, "row_bytes": round(before / stored, 1)}
        if not edition.community:
            return figures | {"columnstore": "none: it needs the Community edition"}
        log("moving them to the columnstore")
        row = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_compression' AND hypertable_name = 'patient_vitals'"
        ).fetchone()
        assert row is not None
        connection.execute("CALL run_job(%s)", [row[0]])
        after = _size(connection)
    return figures | {"columnstore_bytes": round(after / stored, 2), "times_smaller": round(before / after, 1)}


def _size(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT hypertable_size('patient_vitals')").fetchone()
    assert row is not None
    return int(str(row[0]))
