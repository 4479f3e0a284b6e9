"""Who may do what in the database, by logging in as each."""

import uuid

import psycopg
import pytest
from psycopg import sql

from sql.migrate import connect, migrate
from sql.wards import revoke_ward
from stack.servers import DatabaseServer, ensure_database
from tests.support.process import environ_of, run_module
from tests.support.rows import write_readings
from tests.support.servers import Db, logins

INSERT = (
    "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, status, received_at)"
    " VALUES (now(), 'bed-1', 1, 1, 'icu-1', 'NORMAL', now())"
)
CHANGES = [
    "UPDATE patient_vitals SET heart_rate = 60",
    "DELETE FROM patient_vitals",
    "TRUNCATE patient_vitals",
    "DROP TABLE patient_vitals",
    "SELECT drop_chunks('patient_vitals', older_than => now())",
    "UPDATE rejected_message SET reason = 'none'",
    "DELETE FROM rejected_message",
    "DELETE FROM device",
    "DELETE FROM vitalflow_migration",
    "CREATE TABLE mine (x int)",
    "CREATE ROLE friend",
]


def refused(url: str, statement: str, *settings: str) -> str:
    """The SQLSTATE that a statement is refused with."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in settings:
            connection.execute(setting.encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.encode())
    return str(caught.value.sqlstate)


NO_PRIVILEGE, READ_ONLY, CANCELLED = "42501", "25006", "57014"


def test_ingest_inserts_and_cannot_read(db: Db) -> None:
    with psycopg.connect(db.ingest_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("vitalflow_ingest",)
        connection.execute(INSERT.encode())
        connection.execute(
            "INSERT INTO rejected_message (received_at, topic, payload, payload_size, reason, detail)"
            " VALUES (now(), 't', 'p', 1, 'r', 'd')"
        )
    assert refused(db.ingest_url, "SELECT count(*) FROM patient_vitals") == NO_PRIVILEGE
    assert (db.count(), db.count("rejected_message")) == (1, 1)


def test_ingest_moves_late_readings_and_cannot_change_them(db: Db) -> None:
    with psycopg.connect(db.ingest_url) as connection:
        connection.execute("INSERT INTO late_reading (reading) VALUES ('{}')")
        assert connection.execute("DELETE FROM late_reading RETURNING reading").fetchall() == [({},)]
    assert refused(db.ingest_url, "UPDATE late_reading SET reading = '{}'") == NO_PRIVILEGE
    assert refused(db.reader_url, "DELETE FROM late_reading") == READ_ONLY


@pytest.mark.parametrize("statement", CHANGES)
def test_ingest_cannot_change_or_delete(db: Db, statement: str) -> None:
    write_readings(db, [1])
    assert refused(db.ingest_url, statement) == NO_PRIVILEGE
    assert db.count() == 1


def test_the_reader_reads_every_table_and_view(db: Db) -> None:
    write_readings(db, [1, 3])
    relations = db.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')"
    )
    assert {("patient_vitals",), ("rejected_message",), ("device",), ("device_gap",)} <= set(relations)
    with psycopg.connect(db.reader_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("vitalflow_reader",)
        for (name,) in relations:
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(str(name))))
        assert connection.execute("SELECT missing FROM device_gap").fetchall() == [(1,)]


@pytest.mark.parametrize("statement", [INSERT, *CHANGES])
def test_the_reader_cannot_write(db: Db, statement: str) -> None:
    write_readings(db, [1])
    assert refused(db.reader_url, statement) in (READ_ONLY, NO_PRIVILEGE)
    # Read-only is a default that a session may lift; the grants hold all the same.
    assert refused(db.reader_url, statement, "SET default_transaction_read_only = off") == NO_PRIVILEGE
    assert db.count() == 1


def test_the_reader_has_jit_off(db: Db) -> None:
    with psycopg.connect(db.reader_url) as connection:
        assert connection.execute("SHOW jit").fetchone() == ("off",)


def test_the_reader_is_read_only_by_default(db: Db) -> None:
    assert refused(db.reader_url, "CREATE TEMP TABLE mine (x int)") == READ_ONLY


@pytest.mark.parametrize("role", ["ingest_url", "reader_url"])
def test_an_endless_query_is_cancelled(db: Db, role: str) -> None:
    with psycopg.connect(getattr(db, role)) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("30s",)
    assert refused(getattr(db, role), "SELECT pg_sleep(10)", "SET statement_timeout = '0.2s'") == CANCELLED


def test_a_wrong_password_is_rejected(db: Db, database: DatabaseServer) -> None:
    for user in ("vitalflow_ingest", "vitalflow_reader"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(database.url("postgres", user, "wrong"))


def test_migrate_changes_passwords_and_the_server_never_sees_them(
    own_database: tuple[DatabaseServer, Db],
) -> None:
    server, db = own_database
    server.stop()
    settings = ["log_statement=all", "log_min_duration_statement=0", "log_parameter_max_length=-1"]
    server.line += [part for setting in settings for part in ("-c", setting)]
    server.start()
    ensure_database(server.url("postgres"), "second")
    # With every character that has a meaning in a URL, in SQL or in a format string.
    plain = "n3w p'a\"s%s$$\\w:o/r@d#?"
    quoted = "n3w%20p'a%22s%25s$$%5Cw%3Ao%2Fr%40d%23%3F"
    given = {role: server.url("second", role, quoted) for role in logins(server, "second")}
    with connect(server.url("second")) as connection:
        migrate(connection, given, lambda _: None)
    for role in given:
        with psycopg.connect(server.url("second"), user=role, password=plain) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(db.reader_url)  # the old one
    log = server.log.read_text()
    assert 'ALTER ROLE "vitalflow_reader"' in log  # it does log what migrate says
    assert "SCRAM-SHA-256$" in log
    assert "n3w" not in log


def test_a_ward_of_no_device_is_not_granted_and_the_nearest_is_named(db: Db) -> None:
    role = f"desk_{uuid.uuid4().hex[:8]}"

    def grant(ward: str) -> tuple[int, str]:
        environ = environ_of(DATABASE_URL=db.owner_url)
        done = run_module("sql", "grant-ward", role, "--ward", ward, environ=environ)
        return done.returncode, done.stderr

    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO device (device_id, ward, state, boot, changed_at)"
            " VALUES ('bed-1', 'icu-1', 'online', 1, now())"
        )
        owner.execute(
            "INSERT INTO audit_event (time, received_at, action, ward, device_id, detail, topic, payload_sha256)"
            " VALUES (now(), now(), 'enrolled', 'surgery', 'bed-2', '{}', 't', '')"
        )
    try:
        assert grant("icu1") == (2, "vitalflow db: no device is in a ward 'icu1'; the nearest name is 'icu-1'\n")
        assert grant("surgry")[1].endswith("the nearest name is 'surgery'\n")
        with psycopg.connect(db.owner_url) as owner:
            assert owner.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None
        assert (grant("icu-1"), grant("surgery")) == ((0, ""), (0, ""))
    finally:
        with psycopg.connect(db.owner_url) as owner:
            revoke_ward(owner, role, [])
