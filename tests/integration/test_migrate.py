"""`vitalflow db migrate` on a real server: what it makes, what it refuses, and in which words."""

import dataclasses
import subprocess
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from sql.migrate import LOCK
from stack.binaries import ServerBinaries
from stack.servers import POSTGRES, DatabaseServer, ensure_database, free_port
from tests.support.migrate import copy_packages, migrate, settings_of, start_migrate, wait_for_end
from tests.support.rows import START, write_readings
from tests.support.servers import Db, db_of, eventually

TABLES = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, ordinal_position"
)
LEDGER = "SELECT name FROM vitalflow_migration ORDER BY name"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the rooms that migrate needs, to be edited."""
    return copy_packages(tmp_path / "checkout", "sql", "vitals")


def add_migration(checkout: Path, name: str, text: str) -> Path:
    path = checkout / "sql/migrations" / name
    path.write_text(text)
    return path


# What it makes


def test_an_empty_database_becomes_the_present_schema(empty: Db) -> None:
    output = migrate(empty).expect_success()
    assert "Apache edition" in output
    assert "TimescaleDB 2." in output
    assert "PostgreSQL 1" in output
    assert "applied 0001_readings.sql" in output
    assert empty.one("SELECT count(*) FROM timescaledb_information.hypertables") == 2
    assert empty.rows("SELECT * FROM device_gap") == []
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'patient_vitals'::regclass"
    assert empty.one(f"{key} AND contype = 'p'") == 'PRIMARY KEY (device_id, "time", boot, seq)'


def test_a_second_time_changes_nothing(empty: Db) -> None:
    migrate(empty).expect_success()
    before = empty.rows(TABLES)
    output = migrate(empty).expect_success()
    assert "applied" not in output
    assert "up to date" in output
    assert empty.rows(TABLES) == before
    assert empty.count("vitalflow_migration") == len(list((Path("sql") / "migrations").glob("*.sql")))


def test_a_new_migration_is_applied_to_a_database_that_has_rows(empty: Db, checkout: Path) -> None:
    migrate(empty, checkout).expect_success()
    write_readings(empty, [1])
    add_migration(checkout, "9001_ward_note.sql", "ALTER TABLE patient_vitals ADD COLUMN ward_note text;")
    output = migrate(empty, checkout).expect_success()
    assert output.count("applied") == 1
    assert "applied 9001_ward_note.sql" in output
    assert empty.rows("SELECT device_id, ward_note FROM patient_vitals") == [("bed-1", None)]


def test_chunks_of_before_and_new_ones_are_vacuumed_in_small_steps(empty: Db, checkout: Path) -> None:
    small_steps = checkout / "sql/migrations/0023_vacuum_in_small_steps.sql"
    text = small_steps.read_text()
    small_steps.unlink()
    migrate(empty, checkout).expect_success()
    write_readings(empty, [1])
    small_steps.write_text(text)
    migrate(empty, checkout).expect_success()
    write_readings(empty, [2], start=START + timedelta(days=2))
    options = "SELECT reloptions FROM pg_class WHERE oid::regclass = ANY (SELECT show_chunks('patient_vitals'))"
    assert empty.rows(options) == [(["autovacuum_vacuum_cost_delay=10"],)] * 2


def test_two_at_once_do_not_harm_each_other(empty: Db) -> None:
    with psycopg.connect(empty.owner_url, autocommit=True) as connection:
        # Both are held back at their lock, so that they do meet there.
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        both = [start_migrate(settings_of(empty)) for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        eventually(lambda: empty.one(waiting) == 2, 20, "both wait")
        assert empty.one("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == 0
    ended = sorted(wait_for_end(process).expect_success().count("applied 0001") for process in both)
    assert ended == [0, 1]
    assert empty.count("vitalflow_migration") == len(list((Path("sql") / "migrations").glob("*.sql")))


def test_two_databases_of_one_server_at_once(database: DatabaseServer, empty: Db) -> None:
    # They share the roles, and the lock of one database is not seen from the other.
    with psycopg.connect(database.url("postgres")) as elsewhere:
        elsewhere.execute("ALTER ROLE vitalflow_reader SET statement_timeout = '30s'")
        process = start_migrate(settings_of(empty))
        held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        eventually(lambda: empty.one(held), 20, "it meets the other's change")
    wait_for_end(process).expect_success()


def test_waiting_for_another_migration_is_logged(empty: Db) -> None:
    with psycopg.connect(empty.owner_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        process = start_migrate(settings_of(empty))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        eventually(lambda: empty.one(waiting), 30, "it waits")
    assert "waiting for another migration of this database" in wait_for_end(process).expect_success()


# What it refuses


def test_an_edited_migration_is_named_and_stops_everything(empty: Db, checkout: Path) -> None:
    path = add_migration(checkout, "9001_first.sql", "CREATE TABLE first_table (x int);")
    migrate(empty, checkout).expect_success()
    path.write_text("-- Why there is a first table.\nCREATE TABLE first_table (x int); -- a comment may change\n")
    migrate(empty, checkout).expect_success()
    path.write_text("CREATE TABLE first_table (x bigint);")
    add_migration(checkout, "9002_second.sql", "CREATE TABLE second_table (x int);")
    message = migrate(empty, checkout).expect_sentence()
    assert "sql/migrations/9001_first.sql was edited after it was applied" in message
    assert empty.one("SELECT to_regclass('second_table')") is None
    path.write_text("CREATE TABLE first_table (x int);")
    assert "applied 9002_second.sql" in migrate(empty, checkout).expect_success()


def test_an_unknown_applied_migration_is_named(empty: Db, checkout: Path) -> None:
    path = add_migration(checkout, "9001_first.sql", "CREATE TABLE first_table (x int);")
    migrate(empty, checkout).expect_success()
    path.unlink()
    message = migrate(empty, checkout).expect_sentence()
    assert "9001_first.sql was applied but does not exist here" in message
    assert "older than the database" in message


def test_a_failing_migration_leaves_the_database_as_it_was(empty: Db, checkout: Path) -> None:
    migrate(empty, checkout).expect_success()
    before = empty.rows(TABLES)
    path = add_migration(
        checkout, "9001_bad.sql", "CREATE TABLE extra (x int);\nDROP TABLE device CASCADE;\nSELECT 1 / 0;"
    )
    add_migration(checkout, "9002_after.sql", "CREATE TABLE after_it (x int);")
    message = migrate(empty, checkout).expect_sentence()
    assert "sql/migrations/9001_bad.sql" in message
    assert "division by zero" in message
    assert empty.rows(TABLES) == before
    assert ("9001_bad.sql",) not in empty.rows(LEDGER)
    path.write_text("CREATE TABLE extra (x int);")  # it was never applied, so it may be mended
    output = migrate(empty, checkout).expect_success()
    assert output.index("9001_bad.sql") < output.index("9002_after.sql")


def test_missing_privileges_of_the_owner_are_one_sentence(database: DatabaseServer, empty: Db) -> None:
    name = f"stranger_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(empty.owner_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger'").format(sql.Identifier(name)))
    try:
        database_name = empty.owner_url.rpartition("/")[2]
        stranger = dataclasses.replace(empty, owner_url=database.url(database_name, name, "stranger"))
        assert "permission denied for schema public" in migrate(stranger).expect_sentence()
    finally:
        with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_server_that_stops_during_migrate_is_one_sentence(
    own_database: tuple[DatabaseServer, Db], tmp_path: Path
) -> None:
    server, db = own_database
    checkout = copy_packages(tmp_path / "checkout", "sql", "vitals")
    add_migration(checkout, "9001_slow.sql", "CREATE TABLE slow (x int); SELECT pg_sleep(60);")
    process = start_migrate(settings_of(db), checkout)
    eventually(lambda: db.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 20, "it is busy")
    server.stop_at_once()
    message = wait_for_end(process).expect_sentence()
    assert "9001_slow.sql" in message
    server.start()
    assert db.one("SELECT to_regclass('slow')") is None
    add_migration(checkout, "9001_slow.sql", "CREATE TABLE slow (x int);")
    assert "applied 9001_slow.sql" in migrate(db, checkout).expect_success()


# Servers that will not do


@pytest.fixture
def plain_database(binaries: ServerBinaries, run_name: str, tmp_path: Path) -> Iterator[DatabaseServer]:
    """A real PostgreSQL without TimescaleDB.

    PostgreSQL finds its extensions beside its own program file. So: the same programs in a tree of their own, whose
    extension folder has all but TimescaleDB.
    """
    tree = binaries.new_folder(f"{run_name}-plain/tree", POSTGRES)
    inside = binaries.path_inside(tree)
    version = Path(binaries.postgresql).parent.name
    script = """
        mkdir -p "$1/usr/lib/postgresql/$2" "$1/usr/share/postgresql/$2/extension"
        cp -r "$3" "$1/usr/lib/postgresql/$2/bin"
        ln -s "$(dirname "$3")/lib" "$1/usr/lib/postgresql/$2/lib"
        for entry in /usr/share/postgresql/$2/*; do
            case $entry in */extension) ;; *) ln -s "$entry" "$1/usr/share/postgresql/$2/" ;; esac
        done
        cp /usr/share/postgresql/$2/extension/plpgsql* "$1/usr/share/postgresql/$2/extension/"
    """
    line = binaries.command(POSTGRES, "sh", "-euc", script, "tree", inside, version, binaries.postgresql)
    subprocess.run(line, check=True)
    plain = dataclasses.replace(binaries, postgresql=f"{inside}/usr/lib/postgresql/{version}/bin")
    server = DatabaseServer(plain, f"{run_name}-plain", free_port(), tmp_path / "plain.log")
    without_preload(server)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        binaries.remove(server.folder.parent)  # the tree is in it too


def without_preload(server: DatabaseServer) -> None:
    """What the next start is to be without."""
    setting = "shared_preload_libraries="
    server.line = [setting if part.startswith(setting) else part for part in server.line]


def test_a_database_that_is_not_utf_8_is_refused(database: DatabaseServer) -> None:
    name = f"ascii_{uuid.uuid4().hex[:8]}"
    order = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(order).format(sql.Identifier(name)))
        try:
            output = migrate(db_of(database, name)).expect_sentence()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    assert output.startswith(f"the database '{name}' is not UTF-8; create it again: CREATE DATABASE ")


def test_without_timescaledb_the_error_names_the_package(plain_database: DatabaseServer) -> None:
    db = db_of(plain_database, "postgres")
    assert db.one("SELECT count(*) FROM pg_available_extensions WHERE name = 'plpgsql'") == 1
    message = migrate(db).expect_sentence()
    assert "has no TimescaleDB: install postgresql-17-timescaledb" in message
    assert "shared_preload_libraries" in message
    assert db.rows(TABLES) == []


def test_without_preloading_the_error_names_the_setting(
    binaries: ServerBinaries, run_name: str, tmp_path: Path
) -> None:
    server = DatabaseServer(binaries, f"{run_name}-bare", free_port(), tmp_path / "bare.log")
    try:
        preloading = server.line
        without_preload(server)
        server.start()
        ensure_database(server.url("postgres"), "vitalflow")
        db = db_of(server, "vitalflow")
        wanted = "TimescaleDB is installed but not loaded: set shared_preload_libraries = 'timescaledb'"
        assert wanted in migrate(db).expect_sentence()
        assert db.rows(TABLES) == []
        # And one that was loaded when the database was made, but is not any more.
        server.stop()
        server.line = preloading
        server.start()
        migrate(db).expect_success()
        server.stop()
        without_preload(server)
        server.start()
        assert wanted in migrate(db).expect_sentence()
    finally:
        server.stop()
        binaries.remove(server.folder.parent)


# Addresses that will not do

SECRET = "xyzzy-plugh"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://vitalflow:{secret}@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("postgresql://vitalflow:{secret}@127.0.0.1:1/postgres", "Connection refused"),
        ("postgresql://vitalflow:{secret}@no-such-host.invalid/postgres", "no-such-host.invalid"),
        ("postgresql://vitalflow:{secret}@127.0.0.1:{port}/nothing_here", "nothing_here"),
        ("mysql://vitalflow:{secret}@127.0.0.1/postgres", "expected postgresql://"),
        ("vitalflow:{secret}@127.0.0.1", "expected postgresql://"),
        ("postgresql://vitalflow:{secret}", "VITALFLOW_DATABASE_URL"),
        ("postgresql://vitalflow:{secret}@127.0.0.1:port/postgres", "VITALFLOW_DATABASE_URL"),
        ("postgresql://vitalflow:{secret}@127.0.0.1:{port}/postgres?colour=red", "colour"),
        ("postgresql://127.0.0.1:{port}/postgres?user=vitalflow&password={secret}", "password authentication failed"),
        ("mysql://127.0.0.1:{port}/postgres?user=vitalflow&password={secret}", "expected postgresql://"),
        ("postgresql://vitalflow:{secret}%zz@127.0.0.1:{port}/postgres", "%"),
        ("postgresql://vitalflow:ab@{secret}@127.0.0.1:{port}/postgres", "%40"),
        ("postgresql://vitalflow:{secret}/cd@127.0.0.1:{port}/postgres", "%2F"),
        ("postgresql://vitalflow:{secret}#cd@127.0.0.1:{port}/postgres", "%23"),
    ],
)
def test_a_wrong_url_is_one_sentence_without_the_password(database: DatabaseServer, url: str, wanted: str) -> None:
    given = url.format(secret=SECRET, port=database.port)
    ended = wait_for_end(start_migrate({"VITALFLOW_DATABASE_URL": given}))
    assert wanted in ended.expect_sentence()
    assert SECRET not in ended.out + ended.err


def test_no_database_url() -> None:
    assert "VITALFLOW_DATABASE_URL is not set" in wait_for_end(start_migrate({})).expect_sentence()


@pytest.mark.parametrize(
    ("name", "user", "password", "wanted"),
    [
        ("VITALFLOW_INGEST_URL", "vitalflow_reader", SECRET, "names the user 'vitalflow_reader'"),
        ("VITALFLOW_READER_URL", "vitalflow_reader", "", "has no password"),
    ],
)
def test_an_invalid_login_url(empty: Db, name: str, user: str, password: str, wanted: str) -> None:
    login = f"postgresql://{user}:{password}@127.0.0.1/x"
    ended = wait_for_end(start_migrate({"VITALFLOW_DATABASE_URL": empty.owner_url, name: login}))
    assert wanted in ended.expect_sentence()
    assert SECRET not in ended.out + ended.err
