"""`vitalflow import` as a process on a real database: original times, once, with averages, and nothing on the ward."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ingest.store import STATEMENTS
from sql.logins import set_password
from sql.migrate import IMPORT_ROLE
from tests.support.process import Forked, environ_of
from tests.support.servers import Db, eventually, locked_chunk

OLD = datetime(2024, 3, 1, 22, tzinfo=UTC)
DIGEST = "SELECT count(*), sum(hashtextextended(v::text, 0)) FROM imported_vitals AS v"


def recording(path: Path, begin: datetime, rows: int, step: timedelta = timedelta(minutes=1)) -> Path:
    """Write a recording in which each heart rate has its own number of the row in it."""
    lines = [f"{(begin + number * step).isoformat()},{60 + number % 50},{97 - number % 5}" for number in range(rows)]
    path.write_text("\n".join(["time,HR,SpO2", *lines, ""]))
    return path


PASSWORD = "password-of-a-test"


@pytest.fixture
def db(db: Db) -> Iterator[Db]:
    """A database with a login for imports."""
    with psycopg.connect(db.owner_url, autocommit=True) as owner:
        set_password(owner, IMPORT_ROLE, PASSWORD)
        yield db
        owner.execute("ALTER ROLE vitalflow_import NOLOGIN PASSWORD NULL")


def import_url(db: Db) -> str:
    return f"postgresql://{IMPORT_ROLE}:{PASSWORD}@{db.reader_url.rpartition('@')[2]}"


def start_import(db: Db, files: Iterable[Path], *options: str) -> Forked:
    return Forked(["vitalflow", "import", *map(str, files), *options], environ_of(IMPORT_URL=import_url(db)))


def run_import(db: Db, files: Iterable[Path], *options: str, code: int = 0) -> str:
    """Run it to its end, and return what it printed."""
    process = start_import(db, files, *options)
    out, err = process.communicate(timeout=120)
    assert process.wait() == code, f"exit code {process.wait()}\n{out}\n{err}"
    return out + err


def test_a_second_import_of_readings_changes_neither_them_nor_their_averages(db: Db, tmp_path: Path) -> None:
    files = [recording(tmp_path / "Stay_1.csv", OLD, 300), recording(tmp_path / "part.csv", OLD, 200)]
    files[1].write_text(files[1].read_text() + files[1].read_text().partition("\n")[2].splitlines()[-1] + "\n")
    said = run_import(db, files, "--ward", "icu-1", "--patient", "4711")
    assert "300 readings of icu-1/stay-1 from 2024-03-01 22:00Z to 2024-03-02 02:59Z: 300 new, 0 stored before" in said
    assert "201 readings of icu-1/part from 2024-03-01 22:00Z to 2024-03-02 01:19Z: 200 new, 1 stored before" in said
    first = db.rows(DIGEST)
    again = run_import(db, files, "--ward", "icu-1", "--patient", "4711")
    assert "0 new, 300 stored before" in again
    assert db.rows(DIGEST) == first
    assert db.rows(
        "SELECT time, heart_rate, spo2, patient_id, boot, seq < 0, arrival_lag_ms > 0 FROM imported_vitals"
        " WHERE device_id = 'stay-1' ORDER BY time LIMIT 2"
    ) == [
        (OLD, 60.0, 97.0, "4711", 0, True, True),
        (OLD + timedelta(minutes=1), 61.0, 96.0, "4711", 0, True, True),
    ]
    assert db.rows(
        "SELECT ward, patient_id, sum(readings)::int, min(heart_rate_min), max(heart_rate_max) FROM vitals_1h"
        " WHERE device_id = 'stay-1' GROUP BY 1, 2"
    ) == [("icu-1", "4711", 300, 60.0, 109.0)]
    assert db.rows("SELECT count(*), sum(readings)::int FROM vitals_1d WHERE device_id = 'part'") == [(2, 200)]
    assert db.rows(
        "SELECT ward, device_id, detail ->> 'file', detail -> 'stored', detail ->> 'to' FROM audit_event"
        " WHERE action = 'imported' AND actor IS NOT NULL ORDER BY id"
    )[0] == ("icu-1", "stay-1", "Stay_1.csv", 300, "2024-03-02T02:59:00+00:00")


HELD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.time > '{time}' THEN
        PERFORM pg_advisory_xact_lock_shared(42);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON imported_vitals FOR EACH ROW EXECUTE FUNCTION hold();
"""
WAITS = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'vitalflow-import' AND wait_event_type = 'Lock'"
)


def test_an_import_that_is_killed_within_a_batch_continues(db: Db, tmp_path: Path) -> None:
    file = recording(tmp_path / "long.csv", OLD, 60_000)
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute(HELD.format(time=OLD + timedelta(minutes=55_000)).encode())
        connection.execute("SELECT pg_advisory_lock(42)")
        process = start_import(db, [file], "--ward", "icu-1")
        eventually(lambda: db.one(WAITS), 60, "the second batch is being stored")
        process.kill()
        process.communicate()
    assert db.count("imported_vitals") == 50_000
    assert "10,000 new, 50,000 stored before" in run_import(db, [file], "--ward", "icu-1")
    assert db.rows("SELECT count(*), count(DISTINCT time) FROM imported_vitals") == [(60_000, 60_000)]
    assert db.rows("SELECT action FROM audit_event ORDER BY id") == [
        ("import_started",),
        ("import_started",),
        ("imported",),
    ]


def test_recent_readings_leave_the_live_table_by_its_retention_and_stay_imported(db: Db, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    file = recording(tmp_path / "monitor.csv", now - timedelta(days=40), 400, timedelta(hours=2))
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, arrival_lag_ms)"
            " VALUES (%s, 'monitor', 1, 1, 'icu-1', 60, 'NORMAL', 0)",
            [now - timedelta(days=10)],  # the device itself sent the reading of this time
        )
    assert "399 new, 1 stored before" in run_import(db, [file], "--ward", "icu-1", "--device", "monitor")
    kept = now - timedelta(days=30)
    assert db.one("SELECT count(*) FROM patient_vitals WHERE seq < 0 AND time < %s", kept - timedelta(days=2)) == 0
    assert db.one("SELECT count(*) > 200 FROM patient_vitals WHERE seq < 0 AND time >= %s", kept) is True
    count = "SELECT count(*), count(DISTINCT time), (SELECT sum(readings)::int FROM vitals_1d) FROM all_vitals"
    assert db.rows(count) == [(400, 400, 400)]
    assert db.rows("SELECT * FROM ward_board WHERE device_id = 'monitor'") == []
    assert db.rows("SELECT * FROM completeness_1h WHERE stored <> expected") == []
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("SELECT drop_chunks('patient_vitals', older_than => %s::timestamptz)", [now])
    assert db.rows(count) == [(399, 399, 399)]  # the reading that the device itself sent is dropped
    assert "1 new, 399 stored before" in run_import(db, [file], "--ward", "icu-1", "--device", "monitor")
    assert db.rows(count) == [(400, 400, 400)]


def test_readings_that_are_not_stored_have_a_reason_and_a_line(db: Db, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    file = tmp_path / "mixed.csv"
    times = [OLD, OLD + timedelta(minutes=1), now - timedelta(hours=3), now + timedelta(days=400)]
    rows = [f"{time.isoformat()},{rate},97" for time, rate in zip(times, (80, 999, 81, 82), strict=True)]
    file.write_text("\n".join(["time,HR,SpO2", *rows, ""]))
    said = run_import(db, [file], "--ward", "icu-1", code=1)
    assert "2 new" in said
    assert "rejected: 1 of the last 24 hours (first: line 4" in said
    assert "rejected: 1 later than now (first: line 5" in said
    assert "left out: 1 implausible value of heart_rate (first: line 3, 999 /min)" in said
    assert db.rows("SELECT heart_rate, spo2 FROM imported_vitals ORDER BY time") == [(80.0, 97.0), (None, 97.0)]
    fahrenheit = tmp_path / "fahrenheit.csv"
    fahrenheit.write_text("seconds,HR,Temp\n0,80,98.6\n60,81,98.8\n")
    assert "looks like degrees Fahrenheit" in run_import(
        db, [fahrenheit], "--ward", "icu-1", "--start", "2024-03-01", code=2
    )
    assert "give the time of its first row with --start" in run_import(db, [fahrenheit], "--ward", "icu-1", code=2)
    assert "is no valid name" in run_import(db, [file], "--ward", "icu/1", code=2)
    assert db.count("imported_vitals") == 2


def test_an_import_waits_for_a_locked_chunk(db: Db, tmp_path: Path) -> None:
    begin = datetime.now(UTC) - timedelta(days=8)
    run_import(db, [recording(tmp_path / "a.csv", begin, 2)], "--ward", "icu-1")
    with locked_chunk(db, begin):
        process = start_import(db, [recording(tmp_path / "b.csv", begin, 2)], "--ward", "icu-1")
        eventually(lambda: db.one(WAITS), 60, "the import waits")
    out, err = process.communicate(timeout=120)
    assert process.wait() == 0, out + err
    assert db.count("imported_vitals") == db.count() == 4


FULL_DISK = """
CREATE FUNCTION fill_the_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.time > '{time}' THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fill_the_disk BEFORE INSERT ON imported_vitals FOR EACH ROW EXECUTE FUNCTION fill_the_disk();
"""


def test_a_full_disk_ends_the_import_with_a_sentence_and_the_next_one_stores_the_rest(db: Db, tmp_path: Path) -> None:
    file = recording(tmp_path / "long.csv", OLD, 60_000)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(FULL_DISK.format(time=OLD + timedelta(minutes=55_000)).encode())
    said = run_import(db, [file], "--ward", "icu-1", code=2).splitlines()[-1]  # behind those of the progress
    assert said.startswith("vitalflow import: the disk of the database is full (53100): free space on it")
    assert said.endswith("; 50,000 readings of long.csv are stored, and a further import of it stores the others")
    assert db.count("imported_vitals") == 50_000
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("DROP FUNCTION fill_the_disk() CASCADE")
    assert "10,000 new, 50,000 stored before" in run_import(db, [file], "--ward", "icu-1")
    assert db.count("imported_vitals") == 60_000


@pytest.mark.parametrize("age", [timedelta(hours=22), -timedelta(days=1)])
def test_the_login_for_imports_stores_no_reading_of_the_present(db: Db, age: timedelta) -> None:
    row = f"{(datetime.now(UTC) - age).isoformat()}\tbed-1\t0\t-1\ticu-1\tNORMAL\n"
    copy_row = "COPY import_stage (time, device_id, boot, seq, ward, status) FROM STDIN"
    with psycopg.connect(import_url(db)) as connection:
        connection.execute(STATEMENTS["begin_import"])
        with connection.cursor().copy(copy_row.encode()) as copy:
            copy.write(row)
        with pytest.raises(psycopg.errors.CheckViolation, match="a reading of the last 23 hours is no history"):
            connection.execute(STATEMENTS["store_import"])
    assert db.count("imported_vitals") == db.count() == 0


def test_the_owner_reads_no_temporary_table_of_another_login(db: Db) -> None:
    with psycopg.connect(import_url(db), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="are those of begin_import"):
            connection.execute(STATEMENTS["store_import"])
        connection.execute(STATEMENTS["begin_import"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TRIGGER mine BEFORE INSERT ON import_stage EXECUTE FUNCTION now()")
