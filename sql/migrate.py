"""Bring a database to the present schema. Safe to run at every start, and by two at once.

Talks to one connection; knows nothing of readings. `__main__` gives it the settings.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sql.backfill import continue_backfills
from sql.connection import describe_connect_error
from sql.files import FOLDER, numbered, statements, text
from sql.logins import allow_login
from sql.retention import RetentionSettings
from sql.thresholds import create_functions
from vitals.errors import PermanentError, TransientError, VitalFlowError
from vitals.urls import without_password

# Any constant, as long as all migrators use the same one: "vita" in ASCII.
LOCK = 0x76697461
INGEST_ROLE = "vitalflow_ingest"
READER_ROLE = "vitalflow_reader"

NOT_LOADED = (
    "TimescaleDB is installed but not loaded: set shared_preload_libraries = 'timescaledb' in postgresql.conf "
    "and restart PostgreSQL"
)
ATTEMPTS = 5  # at changing the roles, which all databases of a server share

Say = Callable[[str], None]
Connection = psycopg.Connection[tuple[object, ...]]
# "tuple concurrently updated" has no SQLSTATE of its own, only that of an internal error.
_ROLE_WAS_TAKEN = (psycopg.errors.UniqueViolation, psycopg.errors.InternalError_)


@dataclass(frozen=True, slots=True)
class Edition:
    """What the server is. `community` has continuous aggregates, columnstore and policies; Apache has not."""

    community: bool
    timescaledb: str
    postgresql: str

    def __str__(self) -> str:
        name = "Community" if self.community else "Apache"
        return f"PostgreSQL {self.postgresql}, TimescaleDB {self.timescaledb}, {name} edition"


def connect(url: str) -> Connection:
    """Open the owner's connection; raises TransientError with the server's words where that fails."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise TransientError(
            f"cannot connect to {without_password(url)}: {describe_connect_error(error, url)}"
        ) from None


def migrate(
    connection: Connection, logins: dict[str, str], say: Say, periods: RetentionSettings | None = None
) -> Edition:
    """Bring the database up to date. `logins` maps a role to the URL whose password it gets.

    1. A lock is taken, so that a second migrator waits and then finds nothing to do.
    2. A database that is not UTF-8 is refused. The extension is made; a server without it is told what to install.
    3. Applied migrations are compared with their files: an edited one stops everything.
    4. Each new migration runs in one transaction together with its line in the ledger.
    5. In one transaction the periods are set, what the edition needs is made (rollups, policies), roles, views and
       grants are applied again, and the roles get their passwords.
    6. Readings that new rollups do not hold yet are taken in, a day at a time. That cannot be in a transaction;
       where it stops, it says how far it came, and the next migrate goes on from there.
    """
    with _told("the database"), _lock(connection, say):
        _refuse_another_encoding(connection)
        _make_extension(connection)
        edition = find_edition(connection)
        say(str(edition))
        applied = _ledger(connection)
        _compare(applied)
        _compare_edition(connection, edition, say)
        for path in numbered("migrations"):
            if path.name not in applied:
                _apply(connection, path)
                say(f"applied {path.name}")
        _apply_repeatable(connection, edition, logins, periods or RetentionSettings())
        if edition.community:
            continue_backfills(connection, say)
    say(f"up to date: {len(numbered('migrations'))} migrations, {len(logins)} logins")
    return edition


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the server's errors into ours, each with `what` it was about."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise TransientError(f"{what}: {_words(error)}") from error
    except psycopg.Error as error:
        raise PermanentError(f"{what}: {_words(error)}") from error


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


@contextmanager
def _lock(connection: Connection, say: Say) -> Iterator[None]:
    """Keep other migrators of this database out."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    if row != (True,):
        say("waiting for another migration of this database to end")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        if not connection.closed:  # a server that went down has let go of it
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def find_edition(connection: Connection) -> Edition:
    """Ask the server which TimescaleDB it runs; the extension must be there."""
    row = connection.execute(
        "SELECT current_setting('timescaledb.license', true), extversion, current_setting('server_version')"
        " FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if row is None:
        raise PermanentError("the extension timescaledb is not in this database; run python -m sql migrate")
    if row[0] is None:
        raise PermanentError(NOT_LOADED)
    return Edition(row[0] == "timescale", str(row[1]), str(row[2]).split()[0])


def _refuse_another_encoding(connection: Connection) -> None:
    """A name may have any letter, and under SQL_ASCII text would even come back as bytes."""
    if connection.execute("SELECT current_setting('server_encoding') = 'UTF8'").fetchone() != (True,):
        raise PermanentError(
            f"the database {connection.info.dbname!r} is not UTF-8; make it again: "
            "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"
        )


def _make_extension(connection: Connection) -> None:
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
        with _told("CREATE EXTENSION timescaledb"):
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except VitalFlowError as error:
        raise (PermanentError(NOT_LOADED) if "preloaded" in str(error) else error) from None


def _ledger(connection: Connection) -> dict[str, str]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS vitalflow_migration ("
        " name text PRIMARY KEY, body text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return {str(name): str(body) for name, body in connection.execute("SELECT name, body FROM vitalflow_migration")}


def _compare(applied: dict[str, str]) -> None:
    files = {path.name: path for path in numbered("migrations")}
    for name, body in applied.items():
        if name not in files:
            raise PermanentError(
                f"migration {name} was applied but is not here: this checkout is older than the database"
            )
        if statements(text(files[name])) != statements(body):
            raise PermanentError(
                f"sql/migrations/{name} was edited after it was applied; restore it and put the change into a new file"
            )


def _compare_edition(connection: Connection, edition: Edition, say: Say) -> None:
    """A database does not change its edition without a word, and not at all where that would lose something."""
    if connection.execute("SELECT to_regclass('public.vitalflow_edition')").fetchone() == (None,):
        return
    if connection.execute("SELECT community FROM vitalflow_edition").fetchone() in (None, (edition.community,)):
        return
    if not edition.community:
        raise PermanentError(
            "this database was made on the Community edition: its rollups are continuous aggregates, which this server "
            "of the Apache edition would leave to grow old; install the Community edition and set timescaledb.license "
            "= 'timescale'"
        )
    say("this database was made on the Apache edition: its rollups become continuous aggregates")


def _apply(connection: Connection, path: Path) -> None:
    with connection.transaction():
        _execute(connection, path)
        connection.execute("INSERT INTO vitalflow_migration (name, body) VALUES (%s, %s)", [path.name, text(path)])


def _apply_repeatable(
    connection: Connection, edition: Edition, logins: dict[str, str], periods: RetentionSettings
) -> None:
    own = "editions/community" if edition.community else "editions/apache"
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            with connection.transaction():
                _tell(connection, edition, periods)
                connection.execute(create_functions())
                for path in (*numbered("editions"), *numbered(own), *numbered("repeatable")):
                    _execute(connection, path)
                for role, url in logins.items():
                    with _told(f"the password of {role}"):
                        allow_login(connection, role, url)
            return
        except PermanentError as error:
            # Roles belong to the server: the migrator of another database, which our lock does not keep out, may make
            # or alter the same ones at this moment.
            if not attempts_left or not isinstance(error.__cause__, _ROLE_WAS_TAKEN):
                raise


def _tell(connection: Connection, edition: Edition, periods: RetentionSettings) -> None:
    """Tell the database the periods and which edition it is on."""
    connection.execute(
        "INSERT INTO vitalflow_edition (community) VALUES (%s)"
        " ON CONFLICT (singleton) DO UPDATE SET community = excluded.community",
        [edition.community],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO retention_setting (name, period) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET period = excluded.period",
            periods.rows(),
        )


def _execute(connection: Connection, path: Path) -> None:
    with _told(f"sql/{path.relative_to(FOLDER)}"):
        connection.execute(text(path))
