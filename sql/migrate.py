"""Bring a database to the present schema. Safe to run at every start, and by two at once.

Talks to one connection; knows nothing of readings. `__main__` gives it the settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from sql.files import numbered, text
from vitals.errors import Never, TryAgain
from vitals.settings import without_password

# Any constant, as long as all migrators use the same one: "vita" in ASCII.
LOCK = 0x76697461
INGEST_ROLE = "vitalflow_ingest"
READER_ROLE = "vitalflow_reader"

Say = Callable[[str], None]
Connection = psycopg.Connection[tuple[object, ...]]


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
    """Open the owner's connection; raises TryAgain with the server's words where that fails."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        words = " ".join(str(error).split())
        raise TryAgain(f"cannot connect to {without_password(url)}: {words}") from None


def migrate(connection: Connection, logins: dict[str, str], say: Say) -> Edition:
    """Bring the database up to date. `logins` maps a role to the URL whose password it gets.

    1. The extension is made; a server without it is told what to install.
    2. A lock is taken, so that a second migrator waits and then finds nothing to do.
    3. Applied migrations are compared with their files: an edited one stops everything.
    4. Each new migration runs in one transaction together with its line in the ledger.
    5. Roles, views and grants are applied again, and the roles get their passwords, in one transaction.
    """
    _make_extension(connection)
    edition = find_edition(connection)
    say(str(edition))
    connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        applied = _ledger(connection)
        _compare(applied)
        for path in numbered("migrations"):
            if path.name not in applied:
                _apply(connection, path)
                say(f"applied {path.name}")
        with connection.transaction():
            for path in numbered("always"):
                _execute(connection, path)
            for role, url in logins.items():
                _allow_login(connection, role, url)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    say(f"up to date: {len(numbered('migrations'))} migrations, {len(logins)} logins")
    return edition


def find_edition(connection: Connection) -> Edition:
    """Ask the server which TimescaleDB it runs; the extension must be there."""
    row = connection.execute(
        "SELECT current_setting('timescaledb.license'), extversion, current_setting('server_version')"
        " FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if row is None:
        raise Never("the extension timescaledb is not in this database; run python -m sql migrate")
    return Edition(row[0] == "timescale", str(row[1]), str(row[2]).split()[0])


def _make_extension(connection: Connection) -> None:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int / 10000,"
        " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
    ).fetchone()
    assert row is not None
    major, available = row
    if not available:
        raise Never(
            f"this PostgreSQL {major} has no TimescaleDB: install postgresql-{major}-timescaledb (Debian) or "
            f"timescaledb-2-postgresql-{major} (Timescale's own packages), add timescaledb to "
            "shared_preload_libraries and restart it"
        )
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.Error as error:
        if "preloaded" in str(error):
            raise Never(
                "TimescaleDB is installed but not loaded: set shared_preload_libraries = 'timescaledb' in "
                "postgresql.conf and restart PostgreSQL"
            ) from None
        raise Never(f"CREATE EXTENSION timescaledb: {' '.join(str(error).split())}") from None


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
            raise Never(f"migration {name} was applied but is not here: this checkout is older than the database")
        if files[name].read_text() != body:
            raise Never(
                f"sql/migrations/{name} was edited after it was applied; restore it and put the change into a new file"
            )


def _apply(connection: Connection, path: Path) -> None:
    with connection.transaction():
        _execute(connection, path)
        connection.execute("INSERT INTO vitalflow_migration (name, body) VALUES (%s, %s)", [path.name, text(path)])


def _execute(connection: Connection, path: Path) -> None:
    try:
        connection.execute(text(path))
    except psycopg.OperationalError as error:
        raise TryAgain(f"sql/{path.parent.name}/{path.name}: {' '.join(str(error).split())}") from error
    except psycopg.Error as error:
        raise Never(f"sql/{path.parent.name}/{path.name}: {' '.join(str(error).split())}") from error


def _allow_login(connection: Connection, role: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.username != role:
        raise Never(f"the URL for the role {role} names the user {parts.username!r}")
    if not parts.password:
        raise Never(f"the URL for the role {role} has no password; write postgresql://{role}:PASSWORD@...")
    # Hashed here, so that the password itself is in no server log and no statistics view.
    secret = connection.pgconn.encrypt_password(unquote(parts.password).encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(secret.decode()))
    )
