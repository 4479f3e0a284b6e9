"""`vitalflow db migrate` on the Community edition: the same files, the same result."""

import psycopg
import pytest

from sql.files import named
from tests.support.migrate import migrate
from tests.support.servers import Db

STATEMENTS = named("ingest.sql")


def test_migrate_works_from_empty_and_twice_and_reports_the_edition(community: Db) -> None:
    first = migrate(community).expect_success()
    assert "Community edition" in first
    assert "applied 0001_readings.sql" in first
    second = migrate(community).expect_success()
    assert "Community edition" in second
    assert "applied" not in second
    assert "up to date" in second


def test_migrate_creates_a_hypertable_roles_and_views(migrated: Db) -> None:
    dimensions = migrated.rows(
        "SELECT column_name, time_interval::text FROM timescaledb_information.dimensions"
        " WHERE hypertable_name = 'patient_vitals'"
    )
    assert dimensions == [("time", "1 day")]
    roles = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE 'vitalflow_%' ORDER BY 1"
    assert migrated.rows(roles) == [
        ("vitalflow_import", False),
        ("vitalflow_ingest", True),
        ("vitalflow_names", True),
        ("vitalflow_reader", True),
        ("vitalflow_research", False),
        ("vitalflow_ward_reader", False),
    ]
    settings = "SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'vitalflow_reader' ORDER BY 1"
    assert [setting for (setting,) in migrated.rows(settings)] == [
        "default_transaction_read_only=on",
        "jit=off",
        "statement_timeout=30s",
        "temp_file_limit=4GB",
    ]
    assert migrated.rows("SELECT * FROM device_gap") == []


def test_the_roles_have_the_same_privileges_on_both_editions(migrated: Db) -> None:
    # By SET ROLE, because the WebAssembly build lets everybody in as the superuser.
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        _insert(connection, seq=1)
        connection.execute("SET ROLE vitalflow_ingest")
        _insert(connection, seq=2)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM patient_vitals")
        connection.execute("SET ROLE vitalflow_reader")
        assert connection.execute("SELECT count(*) FROM patient_vitals").fetchone() == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _insert(connection, seq=3)


def test_a_session_leaves_no_state_to_the_next_one(migrated: Db) -> None:
    # Ours to prove: in the WebAssembly build all connections are one backend, and the server script must clean it.
    for _ in range(2):
        connection = psycopg.connect(migrated.owner_url, autocommit=True)
        connection.execute(STATEMENTS["stage"])
        connection.execute("SELECT pg_advisory_lock(7)")
        connection.execute("SET TIME ZONE 'Asia/Jerusalem'")
        connection.execute("BEGIN")
        _insert(connection, seq=1)
        connection.close()
    assert migrated.count() == 0
    assert migrated.one("SHOW TIME ZONE") != "Asia/Jerusalem"
    assert migrated.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def _insert(connection: psycopg.Connection[tuple[object, ...]], seq: int) -> None:
    connection.execute(
        "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, sensor_off, status, received_at)"
        " VALUES ('2026-11-22 10:00Z', 'bed-1', 9, %s, 'icu-1', 82, '{}', 'NORMAL', now())",
        [seq],
    )
