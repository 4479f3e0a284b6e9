"""Bring a database up to date. Safe to run at every start, and by two processes at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sql.address import without_password
from sql.backfill import continue_refresh, roll_up_imports
from sql.connection import Connection, Log, describe_connect_error
from sql.dictionary import comment_columns
from sql.files import FOLDER, numbered, statements, text
from sql.logins import allow_login
from sql.retention import RetentionSettings
from sql.thresholds import create_functions
from vitals.errors import PermanentError, TransientError, VitalFlowError

# Any constant, as long as all migrators use the same one: "vita" in ASCII.
LOCK = 0x76697461
INGEST_ROLE = "vitalflow_ingest"
READER_ROLE = "vitalflow_reader"
NAMES_ROLE = "vitalflow_names"
RESEARCH_ROLE = "vitalflow_research"
IMPORT_ROLE = "vitalflow_import"

NOT_LOADED = (
    "TimescaleDB is installed but not loaded: set shared_preload_libraries = 'timescaledb' in postgresql.conf "
    "and restart PostgreSQL"
)
OLDEST_TIMESCALEDB = (2, 18)
ATTEMPTS = 5  # at changing the roles, which all databases of a server share

# "tuple concurrently updated" has no SQLSTATE of its own, only that of an internal error.
_ROLE_CHANGED_CONCURRENTLY = (psycopg.errors.UniqueViolation, psycopg.errors.InternalError_)


@dataclass(frozen=True, slots=True)
class Edition:
    """Edition and versions. Only the Community edition has continuous aggregates, a columnstore and policies."""

    community: bool
    timescaledb: str
    postgresql: str

    def __str__(self) -> str:
        name = "Community" if self.community else "Apache"
        return f"PostgreSQL {self.postgresql}, TimescaleDB {self.timescaledb}, {name} edition"

    def require_supported(self) -> None:
        """Raise PermanentError if this TimescaleDB lacks what the statements use."""
        found = re.match(r"(\d+)\.(\d+)", self.timescaledb)
        if found is not None and (int(found[1]), int(found[2])) < OLDEST_TIMESCALEDB:
            raise PermanentError(
                f"this database has TimescaleDB {self.timescaledb}, and VitalFlow needs "
                f"{'.'.join(map(str, OLDEST_TIMESCALEDB))} or newer: install a newer package, restart PostgreSQL, and "
                "run ALTER EXTENSION timescaledb UPDATE as the first statement of a session"
            )


def connect(url: str) -> Connection:
    """Open the owner's connection; raises TransientError with the server's message if that fails."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise TransientError(
            f"cannot connect to {without_password(url)}: {describe_connect_error(error, url)}"
        ) from None


def migrate(
    connection: Connection, logins: dict[str, str], log: Log, retention: RetentionSettings | None = None
) -> Edition:
    """Bring the database up to date. `logins` maps a role to the URL whose password it gets.

    1. Take a lock, so that a second migrator waits and then finds nothing to do.
    2. Refuse a database that is not UTF-8. Create the extension; if it is missing or too old, the error says what to
       install.
    3. Compare the applied migrations with their files, comments aside; a difference stops everything.
    4. Apply each new migration in one transaction together with its row in `vitalflow_migration`.
    5. In one transaction: set the retention settings, create what the edition needs (rollups, policies), apply roles,
       views, functions, grants and comments again, and set the passwords of the roles.
    6. Add the stored readings to new rollups, one day at a time. That cannot be in a transaction; if it stops, the
       error says where, and the next migrate continues from there.

    Raises PermanentError or TransientError, naming the file or step.
    """
    with _translate_errors("the database"), _lock(connection, log):
        _require_primary(connection)
        _require_utf8(connection)
        _create_extension(connection)
        edition = find_edition(connection)
        log(str(edition))
        edition.require_supported()
        applied = _applied_migrations(connection)
        _check_applied(applied)
        changed = _check_edition(connection, edition, log)
        for path in numbered("migrations"):
            if path.name not in applied:
                _apply(connection, path)
                log(f"applied {path.name}")
        _apply_repeatable(connection, edition, logins, retention or RetentionSettings())
        if edition.community:
            continue_refresh(connection, log)
        if changed:
            roll_up_imports(connection)
    log(f"up to date: {len(numbered('migrations'))} migrations, {len(logins)} logins")
    return edition


@contextmanager
def _translate_errors(step: str) -> Iterator[None]:
    """Raise psycopg errors as ours, with the name of the step."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise TransientError(f"{step}: {_message(error)}") from error
    except psycopg.Error as error:
        raise PermanentError(f"{step}: {_message(error)}") from error


def _message(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


@contextmanager
def _lock(connection: Connection, log: Log) -> Iterator[None]:
    """Exclude other migrators of this database."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    if row != (True,):
        log("waiting for another migration of this database to end")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        if not connection.closed:  # otherwise the server has released it
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def find_edition(connection: Connection) -> Edition:
    """Return the edition and versions of the server; raises PermanentError if the extension is not installed."""
    row = connection.execute(
        "SELECT current_setting('timescaledb.license', true), extversion, current_setting('server_version')"
        " FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if row is None:
        raise PermanentError("the extension timescaledb is not in this database; run vitalflow db migrate")
    if row[0] is None:
        raise PermanentError(NOT_LOADED)
    return Edition(row[0] == "timescale", str(row[1]), str(row[2]).split()[0])


def _require_primary(connection: Connection) -> None:
    if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        raise PermanentError(
            f"the server at {connection.info.host}:{connection.info.port} is a standby; connect to the primary, or "
            "name all servers in the URL: HOST:PORT,HOST:PORT"
        )


def _require_utf8(connection: Connection) -> None:
    """Names may contain any letter, and under SQL_ASCII psycopg would return text as bytes."""
    if connection.execute("SELECT current_setting('server_encoding') = 'UTF8'").fetchone() != (True,):
        raise PermanentError(
            f"the database {connection.info.dbname!r} is not UTF-8; create it again: "
            "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"
        )


def _create_extension(connection: Connection) -> None:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int / 10000,"
        " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
    ).fetchone()
    assert row is not None
    major, available = row
    if not available:
        raise PermanentError(
            f"this PostgreSQL {major} has no TimescaleDB: install postgresql-{major}-timescaledb (Debian) or "
            f"timescaledb-2-postgresql-{major} (Timescale's own packages), add timescaledb to "
            "shared_preload_libraries and restart it"
        )
    try:
        with _translate_errors("CREATE EXTENSION timescaledb"):
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except VitalFlowError as error:
        raise (PermanentError(NOT_LOADED) if "preloaded" in str(error) else error) from None


def _applied_migrations(connection: Connection) -> dict[str, str]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS vitalflow_migration ("
        " name text PRIMARY KEY, body text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return {str(name): str(body) for name, body in connection.execute("SELECT name, body FROM vitalflow_migration")}


def _check_applied(applied: dict[str, str]) -> None:
    files = {path.name: path for path in numbered("migrations")}
    for name, body in applied.items():
        if name not in files:
            raise PermanentError(
                f"migration {name} was applied but does not exist here: this version is older than the database"
            )
        if statements(text(files[name])) != statements(body):
            raise PermanentError(
                f"sql/migrations/{name} was edited after it was applied; restore it and put the change into a new file"
            )


def _check_edition(connection: Connection, edition: Edition, log: Log) -> bool:
    """Return whether the edition has changed from Apache to Community, and log it.

    Raises PermanentError for the other way, which would lose refreshes.
    """
    if connection.execute("SELECT to_regclass('public.vitalflow_edition')").fetchone() == (None,):
        return False
    if connection.execute("SELECT community FROM vitalflow_edition").fetchone() in (None, (edition.community,)):
        return False
    if not edition.community:
        raise PermanentError(
            "this database was created on the Community edition: its rollups are continuous aggregates, which this "
            "server of the Apache edition would never refresh; install the Community edition and set "
            "timescaledb.license = 'timescale'"
        )
    log("this database was created on the Apache edition: its rollups become continuous aggregates")
    return True


def _apply(connection: Connection, path: Path) -> None:
    with connection.transaction():
        _execute(connection, path)
        connection.execute("INSERT INTO vitalflow_migration (name, body) VALUES (%s, %s)", [path.name, text(path)])


def _apply_repeatable(
    connection: Connection, edition: Edition, logins: dict[str, str], retention: RetentionSettings
) -> None:
    folder = "editions/community" if edition.community else "editions/apache"
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            with connection.transaction():
                _write_settings(connection, edition, retention)
                connection.execute(create_functions())
                for path in (*numbered("editions"), *numbered(folder), *numbered("repeatable")):
                    _execute(connection, path)
                comment_columns(connection)
                for role, url in logins.items():
                    with _translate_errors(f"setting the password of {role}"):
                        allow_login(connection, role, url)
            return
        except PermanentError as error:
            # Roles belong to the server: the migrator of another database, which the lock does not exclude, may change
            # the same roles at this moment.
            if not attempts_left or not isinstance(error.__cause__, _ROLE_CHANGED_CONCURRENTLY):
                raise


def _write_settings(connection: Connection, edition: Edition, retention: RetentionSettings) -> None:
    """Store the retention settings and the edition."""
    connection.execute(
        "INSERT INTO vitalflow_edition (community) VALUES (%s)"
        " ON CONFLICT (singleton) DO UPDATE SET community = excluded.community",
        [edition.community],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO retention_setting (name, period) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET period = excluded.period",
            retention.rows(),
        )


def _execute(connection: Connection, path: Path) -> None:
    with _translate_errors(f"sql/{path.relative_to(FOLDER)}"):
        connection.execute(text(path))
