"""The logins of the database: what the reader reads, settings, passwords, wards.

What each login must not do is in tests/acceptance/database_authorization_cases.py.
"""

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


@pytest.mark.parametrize(("role", "jit"), [("ingest_url", "on"), ("reader_url", "off")])
def test_a_query_ends_after_30_s_and_those_of_the_reader_are_not_compiled(db: Db, role: str, jit: str) -> None:
    with psycopg.connect(getattr(db, role)) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("30s",)
        assert connection.execute("SHOW jit").fetchone() == (jit,)


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
