"""Back up a stack, running or stopped, into one encrypted file. Memory does not grow with the data.

The inbox of the edges is copied first, then the broker's store, then the database is dumped: a reading that is in none
of them had no receipt, so its device still keeps it, or no acknowledgement, so its sender repeats it. One that is in
several has the same number in each and is stored once.
"""

import fcntl
import os
import shlex
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
import psutil
import psycopg

from edges.inbox.file import INBOX
from identity.authority import CertificateAuthority, Emit
from identity.broker_bootstrap import USERS_FILE
from stack import processes
from stack.archive import FORMAT, MANIFEST, MAX_PART, Manifest, Member, pack, parts
from stack.binaries import ServerBinaries
from stack.broker_access import MOSQUITTO
from stack.plan import Ports, addresses
from stack.replacement import Replacement
from stack.sealed_file import seal
from stack.servers import OWNER, POSTGRES, STORE_FILE, DatabaseServer, free_port
from stack.stack_dir import INBOX_FILE, SITE_FILE, Secrets, StackDir, State
from stack.supervisor import stop_orphans, temporary_database
from vitals.errors import PermanentError, TransientError
from vitals.settings import PREFIX
from vitals.sqlite_file import open_to_read
from vitals.version import VERSION

SAVE_TIMEOUT_S = 30.0  # the broker writes a quarter of a gigabyte in a second


def back_up(home: StackDir, binaries: ServerBinaries, file: Path, passphrase: bytes, emit: Emit) -> None:
    """Write a backup; `file` appears only once it is complete and on the disk."""
    with (
        _new_file(file) as raw,
        _running(home, binaries, emit) as (secrets, state, database),
        closing(pack(_members(home, binaries, secrets, state, database))) as chunks,
    ):
        seal(chunks, raw, passphrase)
    emit(f"wrote {file}, {file.stat().st_size:,} bytes")


def _members(
    home: StackDir, binaries: ServerBinaries, secrets: Secrets, state: State | None, database: DatabaseServer
) -> Iterator[Member]:
    yield MANIFEST, msgspec.json.encode(_manifest(database))
    yield "secrets.json", msgspec.json.encode(secrets)
    yield "settings.env", _settings(home, secrets, state).encode()
    for path in sorted(home.identity.iterdir()):
        if path.is_file():
            yield f"identity/{path.name}", path.read_bytes()
    if (home.folder / SITE_FILE).exists():
        yield SITE_FILE, (home.folder / SITE_FILE).read_bytes()
    if (home.folder / INBOX_FILE).exists():
        yield from parts(INBOX_FILE, _copy_inbox(home.folder))
    _save_broker(home, binaries, state)
    folder = binaries.folder(home.data) / "broker"
    for name in (USERS_FILE, STORE_FILE):
        yield from parts(f"broker/{name}", _output(binaries.reading(folder / name, MOSQUITTO)))
    with login(binaries, database) as conninfo:
        roles = [f"{binaries.postgresql}/pg_dumpall", "--roles-only", "-d", conninfo]
        yield from parts("roles", _output(binaries.command(POSTGRES, *roles)))
        dump = [f"{binaries.postgresql}/pg_dump", "--format=custom", "--compress=zstd", "-d", conninfo]
        yield from parts("database", _output(binaries.command(POSTGRES, *dump)))


def _copy_inbox(folder: Path) -> Iterator[bytes]:
    """Yield the inbox as of now, in parts, while the edges may write to it."""
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        copy = Path(beside) / INBOX_FILE
        try:
            with (
                closing(open_to_read(INBOX, folder / INBOX_FILE)) as inbox,
                closing(sqlite3.connect(copy)) as target,
            ):
                inbox.backup(target)
        except sqlite3.Error as error:
            raise TransientError(f"{folder / INBOX_FILE} cannot be read: {error}") from None
        with copy.open("rb") as file:
            while part := file.read(MAX_PART):
                yield part


def _manifest(database: DatabaseServer) -> Manifest:
    try:
        with psycopg.connect(database.url()) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version_num')::int / 10000, extversion,"
                " current_setting('timescaledb.license') FROM pg_extension WHERE extname = 'timescaledb'"
            ).fetchone()
            applied = connection.execute("SELECT name FROM vitalflow_migration ORDER BY name").fetchall()
    except psycopg.OperationalError as error:
        raise TransientError(f"the database cannot be read: {' '.join(str(error).split())}") from None
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        raise PermanentError("the database has no schema yet: `vitalflow dev up` creates it")
    names = [str(name) for (name,) in applied]
    return Manifest(FORMAT, VERSION, datetime.now(UTC), int(row[0]), str(row[1]), str(row[2]), names)


def _settings(home: StackDir, secrets: Secrets, state: State | None) -> str:
    """Return the settings that are not the stack's own, as lines for a shell."""
    supervisor = processes.find(state.supervisor) if state else None
    environ: Mapping[str, str] = os.environ
    if supervisor is not None:
        try:
            environ = supervisor.environ()
        except psutil.Error as error:
            raise PermanentError(f"the settings of the running stack cannot be read: {error}") from None
    own = addresses(Ports(0), secrets, home)
    chosen = {name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in own}
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(chosen.items()))


@contextmanager
def _new_file(file: Path) -> Iterator[IO[bytes]]:
    """Yield a file beside `file`, which takes its place once it is written; after an error there is none."""
    beside = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as raw:
            try:
                fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PermanentError(f"another backup is writing {file}") from None
            try:
                raw.truncate()
                os.fchmod(raw.fileno(), 0o600)
                yield raw
                raw.flush()
                os.fsync(raw.fileno())
                beside.replace(file)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise TransientError(f"{file} cannot be written: {error.strerror}; nothing of it was kept") from None


@contextmanager
def _running(
    home: StackDir, binaries: ServerBinaries, emit: Emit
) -> Iterator[tuple[Secrets, State | None, DatabaseServer]]:
    """Yield the passwords, the state and the database of a stack; start the database if the stack is down."""
    state = home.state()
    if state is not None and state.up and processes.find(state.supervisor) is not None:
        secrets, authority = _known_secrets(home), CertificateAuthority(home.identity)
        port = Ports(state.port_base).database
        yield secrets, state, DatabaseServer(binaries, home.data, port, home.log("backup"), secrets.owner, authority)
        return
    with home.lock():
        stop_orphans(home, emit)
        Replacement(home, binaries).finish()
        secrets, authority = _known_secrets(home), CertificateAuthority(home.identity)
        home.log("").parent.mkdir(parents=True, exist_ok=True)
        log = home.log("backup")
        database = DatabaseServer(binaries, home.data, free_port(), log, secrets.owner, authority)
        with temporary_database(home, database):
            yield secrets, None, database


def _known_secrets(home: StackDir) -> Secrets:
    secrets = home.secrets()
    if secrets is None:
        raise PermanentError(f"{home.folder} holds no stack: `vitalflow dev up` creates one")
    return secrets


def _save_broker(home: StackDir, binaries: ServerBinaries, state: State | None) -> None:
    """Let a running broker write its sessions, retained messages and queues to its store."""
    broker = next((one for one in state.processes if one.name == "broker"), None) if state else None
    process = processes.find(broker) if broker else None
    if process is None:
        return
    store = binaries.path_inside(binaries.folder(home.data) / "broker" / STORE_FILE)
    line = binaries.command(MOSQUITTO, "sh", "-c", 'stat -c "%Y.%i" "$0" 2>/dev/null || true', store)
    before = subprocess.run(line, capture_output=True, check=True).stdout
    processes.send(process, signal.SIGUSR1)
    deadline = time.monotonic() + SAVE_TIMEOUT_S
    while subprocess.run(line, capture_output=True, check=True).stdout == before:
        if time.monotonic() > deadline:
            raise TransientError(f"the broker did not save its store within {SAVE_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


@contextmanager
def login(binaries: ServerBinaries, database: DatabaseServer) -> Iterator[str]:
    """Yield the owner's connection string for a program, without the password: command lines are visible to all."""
    passwords, authority = (database.folder / f"{os.getpid()}.{name}" for name in ("pgpass", "ca.crt"))
    tls = "sslmode=disable"
    try:
        binaries.write(passwords, f"127.0.0.1:{database.port}:*:{OWNER}:{database.password}\n", POSTGRES)
        if database.authority is not None:
            binaries.write(authority, database.authority.ca_certificate.read_text(), POSTGRES)
            # A certificate of its own would be looked for in the home of root, which the user may not read.
            tls = f"sslmode=verify-full sslrootcert={binaries.path_inside(authority)} sslcertmode=disable"
        host = f"host=127.0.0.1 port={database.port} dbname={OWNER} user={OWNER}"
        yield f"{host} passfile={binaries.path_inside(passwords)} {tls}"
    finally:
        for path in (passwords, authority):
            binaries.remove(path)


def _output(line: list[str]) -> Iterator[bytes]:
    """Yield the output of a program in parts; raises PermanentError with its last words if it fails."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        try:
            while part := process.stdout.read(MAX_PART):
                yield part
        finally:
            process.stdout.close()
        if process.wait() != 0:
            errors.seek(0)
            last = " ".join(errors.read().decode(errors="replace").split())[-600:]
            raise PermanentError(f"the backup failed: {last}")
