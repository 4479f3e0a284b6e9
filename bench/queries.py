"""What the questions of a dashboard cost, and that it does not grow with what is stored.

Two promises, each measured where it can break. `vitals_series` over 30 days must cost little more than over 24 hours:
it reads rollups, which only the Community edition keeps. `ward_now` must not grow with history: that is measured on
the Apache edition too, which has nothing but the readings themselves.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta

import psycopg

from bench.generated_readings import insert_readings
from bench.report import Figures, Log
from sql.backfill import backfill
from sql.migrate import connect, migrate
from sql.retention import RetentionSettings

Connection = psycopg.Connection[tuple[object, ...]]

DEVICES = 25
DAYS = 45
POINTS = 1000  # what a screen can show
RANGES = {"5 minutes": timedelta(minutes=5), "24 hours": timedelta(hours=24), "30 days": timedelta(days=30)}
BEDS = 100
BED_STEP = timedelta(seconds=20)  # 100 beds for 46 days are 20 million readings
ROUNDS = 50
# The data is older than the default retention, and a native server runs its jobs during the measurement.
PERIODS = RetentionSettings(raw_retention=timedelta(days=90))


def series(url: str, rows: int, log: Log) -> Figures:
    """Fill an empty database of the Community edition, let its rollups take the readings in, and ask."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        now = datetime.now(UTC)
        step = timedelta(days=DAYS) * DEVICES / rows
        numbers = range(1, rows // DEVICES + 1)
        origin = now - numbers[-1] * step
        stored = insert_readings(connection, origin, numbers, DEVICES, step, lambda done: log(f"{done} of {rows}"))
        connection.execute("ANALYZE patient_vitals")
        log("taking the readings into the rollups")
        if edition.community:
            backfill(connection, origin, now, lambda _: None)
        points, milliseconds = {}, {name: list[float]() for name in RANGES}
        for round_number in range(-2, ROUNDS):  # two to warm up
            for name, span in RANGES.items():
                query = "SELECT * FROM vitals_series('bed-007', %s, %s, %s)"
                took, found = _ask(connection, query, now - span, now, POINTS)
                points[name] = found
                if round_number >= 0:
                    milliseconds[name].append(took)
    medians = {name: round(statistics.median(times), 2) for name, times in milliseconds.items()}
    return {
        "server": str(edition),
        "rows": stored,
        "ranges": [{"range": name, "milliseconds": ms, "points": points[name]} for name, ms in medians.items()],
        "thirty_days_to_24_hours": round(medians["30 days"] / medians["24 hours"], 2),
    }


def ward_now(url: str, few: int, many: int, log: Log) -> Figures:
    """Ask an empty database for its ward with `few` readings, then with `many`: the same beds, a longer history."""
    with connect(url) as connection:
        edition = migrate(connection, {}, lambda _: None, PERIODS)
        connection.execute("SET jit = off")  # as the role of the readers has it
        last = many // BEDS
        first = last - few // BEDS
        origin = datetime.now(UTC) - last * BED_STEP
        insert_readings(connection, origin, range(first + 1, last + 1), BEDS, BED_STEP)
        connection.execute(
            "INSERT INTO device (device_id, ward, state, boot, changed_at)"
            " SELECT device_id, ward, 'online', boot, time FROM last_reading"
        )
        few_ms = _ward_now(connection)
        log(f"{few} readings: {few_ms:.2f} ms")
        insert_readings(
            connection, origin, range(1, first + 1), BEDS, BED_STEP, lambda done: log(f"{done + few} of {many}")
        )
        many_ms = _ward_now(connection)
        log(f"{many} readings: {many_ms:.2f} ms")
    return {
        "server": str(edition),
        "beds": BEDS,
        "histories": [{"rows": few, "milliseconds": few_ms}, {"rows": many, "milliseconds": many_ms}],
        "ratio": round(many_ms / few_ms, 2),
    }


def _ward_now(connection: Connection) -> float:
    """The median, once the server has done with what was inserted."""
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    times = [_ask(connection, "SELECT * FROM ward_now") for _ in range(ROUNDS)][2:]
    assert all(rows == BEDS for _, rows in times)
    return round(statistics.median(took for took, _ in times), 2)


def _ask(connection: Connection, query: str, *parameters: object) -> tuple[float, int]:
    """Milliseconds until all rows of the answer are here, and how many they are."""
    begun = time.perf_counter()
    rows = connection.execute(query.encode(), parameters or None).fetchall()
    return (time.perf_counter() - begun) * 1000, len(rows)
