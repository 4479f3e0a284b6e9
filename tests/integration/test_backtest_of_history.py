"""`vitalflow alerts backtest` over the hypertable: the same engine, the same figures, read as vitalflow_reader."""

import json
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psycopg

from tests.support.process import run_module
from tests.support.rows import START
from tests.support.servers import Db

ROOT = Path(__file__).parents[2]


def store(db: Db, device: str, spo2: Sequence[float | None], off: str = "{}", step_s: float = 1) -> None:
    rows = [(START + timedelta(seconds=i * step_s), device, i + 1, value, off) for i, value in enumerate(spo2)]
    with psycopg.connect(db.owner_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, patient_id, spo2, sensor_off, status,"
            " received_at) VALUES (%s, %s, 1, %s, 'icu-1', 'p-1', %s, %s, 'NORMAL', now())",
            rows,
        )


def backtest(db: Db, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_module("alerts", "backtest", "--json", *arguments, environ={"VITALFLOW_READER_URL": db.reader_url})


def test_the_past_in_the_table_is_replayed_bed_by_bed(db: Db) -> None:
    store(db, "bed-1", [97] * 10 + [85] * 30 + [97] * 20)
    store(db, "bed-2", [97] * 10 + [85] * 5 + [97] * 45)
    store(db, "bed-3", [None] * 60, off="{spo2}")
    done = backtest(db, "--from", START.isoformat(), "--to", (START + timedelta(minutes=5)).isoformat())
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["beds"], found["readings"]) == (3, 180)
    (one,) = found["files"]
    alarms = {(a["rule"], a["priority"]): a["alarms"] for a in one["alarms"]}
    naive = {(a["rule"], a["priority"]): a["alarms"] for a in one["naive"]}
    assert alarms["spo2-low", "high"] == 1
    assert naive["spo2-low", "high"] == 2
    assert alarms["sensor-off-spo2", "low"] == 1
    assert one["sustained"]["spo2-low"] == {"episodes": 2, "missed": 0}  # beyond 92, and beyond 90


def test_no_data_follows_the_interval_that_the_data_shows(db: Db, tmp_path: Path) -> None:
    """A device of one reading every 38 s, silent for an hour once; and one of a reading an hour."""
    store(db, "bed-1", [97] * 500, step_s=38)
    store(db, "bed-2", [97] * 24, step_s=3600)
    store(db, "bed-3", [97] * 60)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "UPDATE patient_vitals SET time = time + interval '1 hour' WHERE device_id <> 'bed-2' AND seq > 30"
        )
    done = backtest(db, "--from", START.isoformat(), "--to", (START + timedelta(days=2)).isoformat())
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["readings"] == 584
    assert {a["rule"]: a["alarms"] for a in found["files"][0]["alarms"]} == {"no-data": 2}

    path = (
        tmp_path / "hourly.csv"
    )  # with a part in seconds, after which the mean interval is no longer that of most rows
    rows = [*range(0, 600, 1), *range(10_000, 200_000, 3600)]
    path.write_text("\n".join(["seconds,SpO2", *(f"{second},97" for second in rows)]) + "\n")
    found = json.loads(backtest(db, str(path)).stdout)
    assert [a["rule"] for a in found["files"][0]["alarms"]] == ["no-data"]


def test_only_what_lies_between_from_and_to_is_read(db: Db) -> None:
    store(db, "bed-1", [97] * 60)
    a, b = (START + timedelta(seconds=second) for second in (10, 20))
    found = json.loads(backtest(db, "--from", a.isoformat(), "--to", b.isoformat()).stdout)
    assert found["readings"] == 10
