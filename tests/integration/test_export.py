"""`vitalflow export` on a real database: equal values, complete or not at all, and no identity on demand."""

import csv
import importlib
import json
import math
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import pytest

from sql.dictionary import RELATIONS, ROLLUPS, reading_entries, rollup_entries
from sql.logins import set_password
from sql.migrate import RESEARCH_ROLE
from sql.wards import grant_ward
from stack.binaries import CHECKOUT
from tests.support.process import Forked, environ_of, run_module
from tests.support.servers import Db, eventually
from vitals.recording import Recording
from vitals.signs import SIGN_KEYS

BEGIN = datetime(2026, 11, 20, 22, tzinfo=UTC)
SECRETS = ("nora", "bed-", "icu-", "2026-11", "1795")
ROWS = """
INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, spo2, temperature, on_oxygen,
                            consciousness, sensor_off, status, arrival_lag_ms)
SELECT %(begin)s::timestamptz + number * interval '1 min', device, 1795000000, number + 1,
       CASE WHEN device = 'bed-2' AND number >= 100 THEN 'nora-2' END, ward,
       60 + number, CASE WHEN number %% 7 > 0 THEN 97 END, 36.1 + number / 100.0, number %% 5 = 0, 'A',
       CASE WHEN number %% 7 = 0 THEN '{spo2,resp_rate}'::text[] ELSE '{}' END, 'NORMAL', 1500
FROM generate_series(0, 239) AS number, (VALUES ('bed-1', 'icu-1'), ('bed-2', 'icu-2')) AS bed (device, ward)
"""
ASSIGNMENTS = """
INSERT INTO assignment (device_id, ward, patient_id, from_time, to_time, patient_since) VALUES
('bed-1', 'icu-1', 'nora-1', %(begin)s, %(begin)s::timestamptz + interval '1 h', %(begin)s),
('bed-1', 'icu-1', NULL, %(begin)s::timestamptz + interval '1 h', %(begin)s::timestamptz + interval '2 h',
 %(begin)s::timestamptz + interval '1 h'),
('bed-1', 'icu-1', 'nora-2', %(begin)s::timestamptz + interval '2 h', NULL, %(begin)s::timestamptz + interval '2 h')
"""


@pytest.fixture
def exported_db(db: Db) -> Db:
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(ROWS, {"begin": BEGIN})
        owner.execute(ASSIGNMENTS, {"begin": BEGIN})
        owner.execute("INSERT INTO device_clock VALUES ('bed-1', '-30 s', now())")
    return db


def command(out: Path, *options: str) -> list[str]:
    return ["vitalflow", "export", "--from", "2026-11-20", "--to", "2026-11-22", "--out", str(out), *options]


def export(
    url: str, out: Path, *options: str, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    if limit is None:
        return run_module(*command(out, *options), environ=environ_of(READER_URL=url))
    # Without the measurement of coverage, whose file is limited in size too.
    environment = {key: value for key, value in environ_of(READER_URL=url).items() if not key.startswith("COVERAGE")}
    line = [sys.executable, "-m", *command(out, *options)]
    return subprocess.run(line, env=environment, preexec_fn=limit, capture_output=True, text=True, check=False)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "readings.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_record(path: Path, **options: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas about the import of wfdb
        wfdb = importlib.import_module("wfdb")
        return wfdb.rdrecord(str(path), **options)


def without_nan(rows: list[list[float]]) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in rows]


def test_parquet_has_each_reading_once_with_its_patient_by_bed_and_time(exported_db: Db, tmp_path: Path) -> None:
    result = export(exported_db.reader_url, tmp_path / "out", "--format", "parquet")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("480 readings, with identities\n")
    table = parquet.read_table(tmp_path / "out" / "readings.parquet")
    signs = ", ".join(SIGN_KEYS)
    expected = exported_db.rows(
        "SELECT time, ward, device_id, patient_of_reading(patient_id, device_id, time,"  # noqa: S608
        f" time + interval '1500 ms'), {signs}, on_oxygen, consciousness, array_to_string(sensor_off, ' '), status,"
        " time + interval '1500 ms', boot, seq FROM patient_vitals ORDER BY device_id, time"
    )
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
    assert {row[3] for row in expected} == {"nora-1", "nora-2", None}
    described = (tmp_path / "out" / "dictionary.csv").read_text(encoding="utf-8").splitlines()
    assert [row["column"] for row in csv.DictReader(described)] == table.column_names


def test_the_csv_of_a_bed_is_read_back_with_equal_values(exported_db: Db, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export(
        exported_db.reader_url, out, "--format", "csv", "--bed", "bed-2", "--patient", "NORA-2", "--ward", "icu-2"
    )
    assert result.returncode == 0, result.stderr
    recording = Recording(out / "readings.csv")
    read = [(row.time, row.sample.values) for row in recording.rows() if row.sample is not None]
    stored = exported_db.rows(
        "SELECT time, heart_rate, spo2, temperature FROM patient_vitals"
        " WHERE device_id = 'bed-2' AND patient_id = 'nora-2' ORDER BY time"
    )
    assert [
        (time, values.get("heart_rate"), values.get("spo2"), values.get("temperature")) for time, values in read
    ] == [(time, *map(pytest.approx, values)) if None not in values else (time, *values) for time, *values in stored]
    assert len(read) == 140


def test_records_of_wfdb_have_the_values_of_each_second(exported_db: Db, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with psycopg.connect(exported_db.owner_url) as owner:
        owner.execute(
            "UPDATE patient_vitals SET time = time + interval '2 h' WHERE device_id = 'bed-2' AND time >= %s",
            [BEGIN + timedelta(hours=3)],
        )
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, systolic_bp, status,"
            " arrival_lag_ms) VALUES (%(t)s, 'bed-2', 0, 1, 'icu-2', 200, 121.5, 'NORMAL', 0)",
            {"t": BEGIN + timedelta(milliseconds=400)},
        )
    result = export(exported_db.reader_url, out, "--format", "wfdb", "--bed", "bed-2")
    assert result.returncode == 0, result.stderr
    assert "1 values are not in the records" in result.stderr
    with (out / "records.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(row["device_id"], row["patient_id"]) for row in listed] == [("bed-2", ""), *[("bed-2", "nora-2")] * 2]
    assert (out / "RECORDS").read_text(encoding="ascii").split() == [row["record"] for row in listed]
    found = []
    for row in listed:
        record = read_record(out / row["record"])
        assert record.base_datetime.replace(tzinfo=UTC) == datetime.fromisoformat(row["time"])
        assert (record.fs, record.sig_len, record.sig_name) == (1, int(row["samples"]), list(SIGN_KEYS))
        samples = read_record(out / row["record"], physical=False)
        assert [value % 65536 for value in samples.checksum] == samples.calc_checksum()
        found += [
            (record.base_datetime.replace(tzinfo=UTC) + timedelta(seconds=second), *values)
            for second, values in enumerate(without_nan(record.p_signal.tolist()))
            if any(value is not None for value in values)
        ]
    stored = exported_db.rows(
        f"SELECT time, {', '.join(SIGN_KEYS)} FROM patient_vitals"  # noqa: S608
        " WHERE device_id = 'bed-2' AND seq <> 1 ORDER BY time"
    )
    assert found[1:] == stored
    assert found[0] == (BEGIN, 200.0, None, None, 36.1, 121.5, None)


def test_a_deidentified_export_names_nothing_and_keeps_intervals(exported_db: Db, tmp_path: Path) -> None:
    key = tmp_path / "key"
    plain, out, again = tmp_path / "plain", tmp_path / "out", tmp_path / "again"
    assert export(exported_db.reader_url, plain, "--format", "csv").returncode == 0
    for folder in (out, again):
        result = export(exported_db.reader_url, folder, "--format", "csv", "--deidentify", "--key", str(key))
        assert result.returncode == 0, result.stderr
    content = b"".join(path.read_bytes() for path in sorted(out.iterdir())).decode()
    assert [word for word in SECRETS if word in content] == []
    assert (out / "readings.csv").read_bytes() == (again / "readings.csv").read_bytes()
    rows = rows_of(out)
    assert not {"boot", "seq", "received_at"} & set(rows[0])
    beds = [(row["device_id"], row["patient_id"], row["time"]) for row in rows]
    assert beds == sorted(beds)

    def by_patient(readings: list[dict[str, str]]) -> dict[str, list[tuple[datetime, str, str]]]:
        found: dict[str, list[tuple[datetime, str, str]]] = {}
        for row in readings:
            time = datetime.fromisoformat(row["time"])
            found.setdefault(row["patient_id"], []).append((time, row["heart_rate"], row["temperature"]))
        return {patient: sorted(values) for patient, values in found.items()}

    def relative(readings: list[tuple[datetime, str, str]]) -> list[tuple[timedelta, str, str]]:
        return [(time - readings[0][0], rate, temperature) for time, rate, temperature in readings]

    true = [readings for patient, readings in by_patient(rows_of(plain)).items() if patient]
    shown = [readings for patient, readings in by_patient(rows).items() if patient]
    assert len(true) == len(shown) == 2
    assert sorted(map(relative, true)) == sorted(map(relative, shown))
    assert {readings[0][0].time() for readings in true} == {readings[0][0].time() for readings in shown}
    assert min(readings[0][0] for readings in shown).year > 2100


def test_the_notebook_reads_and_draws_a_deidentified_export(
    exported_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--format", "parquet", "--deidentify", "--key", str(tmp_path / "key"))
    assert export(exported_db.reader_url, tmp_path / "month", *options).returncode == 0
    cells = json.loads((CHECKOUT / "docs/notebooks/month.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    monkeypatch.setenv("MPLBACKEND", "agg")
    program = "\n".join([*code, "print(len(readings), len(stays), measured)", "figure.savefig('month.png')"])
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "480 2 ['heart_rate', 'spo2', 'temperature']\n"
    assert (tmp_path / "month.png").stat().st_size > 10_000


def test_a_key_inside_the_export_is_refused(exported_db: Db, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export(exported_db.reader_url, out, "--format", "csv", "--deidentify", "--key", str(out / "key"))
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "must not lie in the export" in result.stderr


@pytest.mark.parametrize("format", ["csv", "parquet", "wfdb"])
def test_a_full_disk_leaves_nothing_and_is_reported_in_one_sentence(
    exported_db: Db, tmp_path: Path, format: str
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    result = export(exported_db.reader_url, tmp_path / "out", "--format", format, limit=limit)
    assert result.returncode == 2
    assert "File too large" in result.stderr
    assert "nothing is written" in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_nothing_under_its_name_and_the_next_is_complete(
    exported_db: Db, tmp_path: Path
) -> None:
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    with psycopg.connect(exported_db.owner_url) as owner:
        owner.execute("LOCK TABLE assignment IN ACCESS EXCLUSIVE MODE")  # the export waits for it
        process = Forked(command(out, "--format", "csv"), environ_of(READER_URL=exported_db.reader_url))
        try:
            eventually(lambda: (partial / "readings.csv").exists(), 30, "the export has begun")
            assert "another export" in export(exported_db.reader_url, out, "--format", "csv").stderr
        finally:
            process.kill()
            process.wait()
    assert not out.exists()
    assert export(exported_db.reader_url, out, "--format", "csv").returncode == 0
    assert len(rows_of(out)) == 480
    assert list(tmp_path.iterdir()) == [out]
    assert "exists" in export(exported_db.reader_url, out, "--format", "csv").stderr


def test_an_export_without_readings_is_an_error(exported_db: Db, tmp_path: Path) -> None:
    result = export(exported_db.reader_url, tmp_path / "out", "--format", "csv", "--ward", "icu-9")
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "no reading of ward icu-9 from 2026-11-20T00:00:00+00:00" in result.stderr


def test_a_ward_reader_exports_its_ward_only(exported_db: Db, tmp_path: Path) -> None:
    with psycopg.connect(exported_db.owner_url, autocommit=True) as owner:
        grant_ward(owner, "export_desk", ["icu-2"], "password-of-a-test")
        try:
            host = exported_db.reader_url.rpartition("@")[2]
            result = export(f"postgresql://export_desk:password-of-a-test@{host}", tmp_path / "out", "--format", "csv")
        finally:
            owner.execute("DROP OWNED BY export_desk")
            owner.execute("DROP ROLE export_desk")
    assert result.returncode == 0, result.stderr
    assert {row["ward"] for row in rows_of(tmp_path / "out")} == {"icu-2"}
    assert len(rows_of(tmp_path / "out")) == 240


@pytest.mark.parametrize("rollup", ["1m", "1h"])
def test_averages_have_the_patient_of_their_bucket_and_are_deidentified_like_readings(
    exported_db: Db, tmp_path: Path, rollup: str
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    options = ("--rollup", rollup, "--format", "parquet")
    assert export(exported_db.reader_url, plain, *options).returncode == 0
    table = parquet.read_table(plain / "readings.parquet")
    assert table.column_names == list(rollup_entries())
    stored = exported_db.rows(
        "SELECT bucket, ward, device_id, readings, heart_rate_avg, spo2_off FROM "  # noqa: S608
        f"vitals_{rollup} ORDER BY device_id, bucket, patient_id"
    )
    names = ("bucket", "ward", "device_id", "readings", "heart_rate_avg", "spo2_off")
    assert [tuple(row[name] for name in names) for row in table.to_pylist()] == stored
    patients = {(row["device_id"], row["bucket"]): row["patient_id"] for row in table.to_pylist()}
    assert patients["bed-1", BEGIN] is None, "the clock of the bed is 30 s slow"
    assert rollup == "1h" or patients["bed-1", BEGIN + timedelta(minutes=1)] == "nora-1"
    assert patients["bed-1", BEGIN + timedelta(hours=3)] == "nora-2"
    result = export(exported_db.reader_url, out, *options, "--deidentify", "--key", str(tmp_path / "key"))
    assert result.stdout.endswith(" averages, de-identified\n")
    shown = parquet.read_table(out / "readings.parquet").to_pylist()
    assert {row["heart_rate_avg"] for row in shown} == {row[4] for row in stored}
    assert min(row["bucket"] for row in shown).year > 2100
    assert [word for word in SECRETS if word in str(shown)] == []
    refused = export(exported_db.reader_url, tmp_path / "wfdb", "--rollup", rollup, "--format", "wfdb")
    assert (refused.returncode, "--rollup has no format wfdb" in refused.stderr) == (2, True)


def test_the_login_for_research_exports_for_up_to_an_hour(exported_db: Db, tmp_path: Path) -> None:
    with psycopg.connect(exported_db.owner_url, autocommit=True) as owner:
        set_password(owner, RESEARCH_ROLE, "password-of-a-test")
        host = exported_db.reader_url.rpartition("@")[2]
        url = f"postgresql://{RESEARCH_ROLE}:password-of-a-test@{host}"
        try:
            result = export(url, tmp_path / "out", "--format", "csv")
            with psycopg.connect(url, autocommit=True) as research:
                assert research.execute("SHOW statement_timeout").fetchone() == ("1h",)
                assert research.execute("SELECT count(*) > 0 FROM vitals_1h").fetchone() == (True,)
        finally:
            owner.execute("ALTER ROLE vitalflow_research NOLOGIN PASSWORD NULL")
    assert result.returncode == 0, result.stderr
    assert len(rows_of(tmp_path / "out")) == 480


def test_every_column_of_readings_and_averages_has_its_comment(db: Db) -> None:
    found: dict[tuple[str, str], Any] = {
        (str(relation), str(column)): comment
        for relation, column, comment in db.rows(
            "SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a"
            " ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)",
            list(RELATIONS),
        )
    }
    for (relation, column), comment in found.items():
        dictionary = rollup_entries() if relation in ROLLUPS else reading_entries()
        assert comment == dictionary[column].comment, (relation, column)
    assert {column for relation, column in found if relation == "vitals_1h"} == set(rollup_entries())
