"""Restore a stopped stack from a backup.

The whole file is read before anything is changed. Its content goes into a second data folder, on a database server of
its own, which takes the place of the old one at the end (`replacement`).
"""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from identity.authority import Emit, make_writable, write_public, write_secret
from sql.files import numbered
from stack.archive import Manifest, Member, members, read_manifest
from stack.backup import login
from stack.binaries import ServerBinaries
from stack.broker_access import MOSQUITTO
from stack.replacement import FILES, Replacement
from stack.servers import OWNER, POSTGRES, DatabaseServer, free_port
from stack.stack_dir import Secrets, StackDir
from stack.supervisor import stop_orphans, temporary_database
from vitals.errors import PermanentError
from vitals.version import VERSION

# For the time of the restore. A crash then leaves data that is deleted, and Replacement.commit writes it to the disk.
FAST = {"fsync": "off", "max_wal_size": "4GB", "maintenance_work_mem": "256MB", "autovacuum": "off"}


def restore(home: StackDir, binaries: ServerBinaries, file: Path, passphrase: bytes, replace: bool, emit: Emit) -> None:
    """Restore a backup into `home`; raises PermanentError, and changes nothing, if it cannot.

    replace   delete the data that the stack holds; otherwise such a stack is refused
    """
    with home.lock():
        stop_orphans(home, emit)
        replacement = Replacement(home, binaries)
        replacement.finish()
        if not replace and (home.secrets() is not None or binaries.folder(home.data).exists()):
            raise PermanentError(f"{home.folder} holds a stack with data: --replace deletes it after the restore")
        for _ in members(file, passphrase):  # the whole file is intact
            pass
        try:
            with closing(members(file, passphrase)) as content:
                _fill(home, binaries, replacement, content, file)
        except BaseException:
            replacement.discard()
            raise
        replacement.commit()
        emit(f"restored {file}; `vitalflow dev up` starts the stack")
        emit("then check the patient and the limits of every bed: they are those at the time of the backup")
        settings = home.folder / "settings.env"
        if settings.exists() and settings.stat().st_size:
            emit(f"the settings of the backup are in {settings}; before `up`: set -a; . {settings}; set +a")


def _fill(
    home: StackDir, binaries: ServerBinaries, replacement: Replacement, content: Iterator[Member], file: Path
) -> None:
    """Write a backup's content into the replacement."""
    manifest = read_manifest(next(content), file)
    known = {path.name for path in numbered("migrations")}
    if not known.issuperset(manifest.migrations):
        raise PermanentError(
            f"{file} was written by VitalFlow {manifest.vitalflow}, which is newer than this one, {VERSION}"
        )
    make_writable(replacement.identity)
    secrets: Secrets | None = None
    for name, body in content:
        if name in FILES:
            write_secret(replacement.files / name, body)
        if name == "secrets.json":
            secrets = msgspec.json.decode(body, type=Secrets)
            break
    if secrets is None:
        raise PermanentError(f"{file} holds no passwords")
    home.log("").parent.mkdir(parents=True, exist_ok=True)
    log = home.log("restore")
    database = DatabaseServer(binaries, replacement.data, free_port(), log, secrets.owner, None, **FAST)
    broker = binaries.new_folder(f"{replacement.data}/broker", MOSQUITTO)
    with temporary_database(home, database):
        _create_database(database, manifest)
        with login(binaries, database) as conninfo:
            found = set()
            for name, group in groupby(content, key=_group):
                bodies = (body for _, body in group)
                found.add(name)
                if name == "roles":
                    _feed(binaries.command(POSTGRES, *_psql(binaries, conninfo)), map(_without_owner, bodies))
                elif name == "database":
                    line = [f"{binaries.postgresql}/pg_restore", "--exit-on-error", "-d", conninfo]
                    _feed(binaries.command(POSTGRES, *line), bodies)
                elif name.startswith("broker/"):
                    path = binaries.path_inside(broker / Path(name).name)
                    _feed(binaries.command(MOSQUITTO, "sh", "-c", 'umask 077; cat > "$0"', path), bodies)
                elif name.startswith("identity/"):
                    public = name.endswith((".crt", ".crl", ".txt"))
                    (write_public if public else write_secret)(replacement.files / name, b"".join(bodies))
                elif name in FILES:
                    _write_parts(replacement.files / name, bodies)
        if not found >= {"roles", "database"}:
            raise PermanentError(f"{file} holds no database")
        with psycopg.connect(database.url(), autocommit=True) as connection:
            connection.execute("SELECT timescaledb_post_restore()")
            connection.execute("ANALYZE")


def _write_parts(path: Path, bodies: Iterable[bytes]) -> None:
    write_secret(path, b"")  # readable to its owner only from the start
    with path.open("ab") as file:
        for body in bodies:
            file.write(body)


def _group(member: Member) -> str:
    """Return what a member is a part of."""
    folder, _, last = member[0].rpartition("/")
    return folder if last.isdecimal() else member[0]


def _psql(binaries: ServerBinaries, conninfo: str) -> list[str]:
    return [f"{binaries.postgresql}/psql", "-Xqv", "ON_ERROR_STOP=1", "-d", conninfo]


def _without_owner(roles: bytes) -> bytes:
    """Leave out the creation of the owner, whom the new server has from the start."""
    return roles.replace(f"CREATE ROLE {OWNER};\n".encode(), b"")


def _create_database(database: DatabaseServer, manifest: Manifest) -> None:
    """Create the empty database; raises PermanentError if these servers cannot hold the backup's."""
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('timescaledb.license', true),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'),"
            " EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s)",
            [manifest.timescaledb],
        ).fetchone()
        assert row is not None
        if row[0] < manifest.postgresql or not row[3]:
            raise PermanentError(
                f"the backup needs PostgreSQL {manifest.postgresql} or newer with TimescaleDB {manifest.timescaledb}; "
                f"here is PostgreSQL {row[0]} with TimescaleDB {row[2]}"
            )
        if manifest.license == "timescale" != row[1]:
            raise PermanentError("the backup is of the Community edition of TimescaleDB; here is the Apache edition")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(OWNER)))
    with psycopg.connect(database.url(), autocommit=True) as connection:
        version = sql.Literal(manifest.timescaledb)
        connection.execute(sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(version))
        connection.execute("SELECT timescaledb_pre_restore()")


def _feed(line: list[str], bodies: Iterator[bytes]) -> None:
    """Give a program its input; raises PermanentError with its last words if it fails."""
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for body in bodies:
                process.stdin.write(body)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why
        errors = process.stderr.read()
    if process.returncode != 0:
        last = " ".join(errors.decode(errors="replace").split())[-600:]
        raise PermanentError(f"the backup cannot be restored: {last}")
