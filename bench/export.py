"""Measure `vitalflow export`: readings per second, and processor seconds of the client and of the database."""

import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.environment import PASSWORD, environment
from bench.generated_readings import insert_readings
from bench.report import Figures, Log
from bench.resource_usage import cpu_seconds
from sql.migrate import READER_ROLE, connect

DEVICES = 13
STEP = timedelta(seconds=1)


def export(readings: int, rounds: int, format: str, log: Log) -> Figures:
    """Fill a database of its own with readings at 1 Hz, and export all of them `rounds` times."""
    with environment() as servers, TemporaryDirectory() as folder:
        with connect(servers.database.url()) as connection:
            origin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
            numbers = range(readings // DEVICES)
            stored = insert_readings(connection, origin, numbers, DEVICES, STEP, lambda done: log(f"{done} stored"))
            connection.execute("VACUUM (ANALYZE) patient_vitals")
        reader = servers.database.url(user=READER_ROLE, password=PASSWORD)
        table = [
            _round(reader, Path(folder) / str(number), format, origin, stored, servers.database.pid)
            for number in range(rounds)
        ]
        size = sum(path.stat().st_size for path in (Path(folder) / "0").iterdir())
    best = min(table, key=lambda row: float(row["wall_s"]))
    return {
        "format": format,
        "readings": stored,
        "readings_per_s": best["readings_per_s"],
        "bytes_per_reading": round(size / stored, 1),
        "rounds": table,
    }


def _round(reader: str, out: Path, format: str, origin: datetime, stored: int, process: int) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    database, began = cpu_seconds(process), time.monotonic()
    until = origin + timedelta(days=40)
    subprocess.run(
        [
            *(sys.executable, "-m", "vitalflow", "export", "--from", f"{origin:%Y-%m-%d}", "--to", f"{until:%Y-%m-%d}"),
            *("--format", format, "--out", str(out)),
        ],
        env={**os.environ, "VITALFLOW_RESEARCH_URL": reader},
        check=True,
        capture_output=True,
    )
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": round(wall, 2),
        "readings_per_s": round(stored / wall),
        "client_cpu_s_per_million": round(client / stored * 1e6, 2),
        "database_cpu_s_per_million": round((cpu_seconds(process) - database) / stored * 1e6, 2),
    }
