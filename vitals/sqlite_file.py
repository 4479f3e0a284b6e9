"""Open a SQLite file of this project, or raise PermanentError with the reason why it cannot be used.

A file of another version or of another program is not changed. A damaged file is renamed, what can still be read of it
is copied to a new file, and the program starts.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vitals.errors import PermanentError

Emit = Callable[[str], None]

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _DamagedError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Kind:
    """What is kept in a kind of file.

    name          with article, for sentences: "an outbox file"
    content       what it holds, plural, for sentences: "readings"
    application   marks the kind in the file's header
    schema        statements, each ends with ";\\n"
    copies        (SELECT, INSERT) for what is copied of a damaged file. A SELECT has {order} in place of ASC or DESC:
                  it is read from both ends up to the damage
    count         SELECT for the number of what it holds
    synchronous   FULL: a power failure loses no transaction that has committed. NORMAL: it may lose the last moments,
                  and damages nothing; a killed process loses nothing
    readable      whether other processes may read it meanwhile
    upgrades      version of a file -> statements that make it one of the next version
    """

    name: str
    content: str
    application: int
    version: int
    schema: str
    copies: Sequence[tuple[str, str]]
    count: str
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    readable: bool = False
    upgrades: Mapping[int, str] = field(default_factory=dict)


def open_file(kind: Kind, path: Path, emit: Emit) -> sqlite3.Connection:
    """Open or create the file, for this process only.

    1. Lock it against other processes.
    2. Check program and version before anything is written to it, and check it for damage.
    3. If it is damaged: rename it, create a new one, and copy what can be read.

    Raises PermanentError if the path cannot be used, if the file is in use, or if it is another program's.
    """
    if kind.readable:
        _lock(kind, path)
    try:
        return _open_or_recover(kind, path, emit)
    except BaseException:
        _unlock(path)
        raise


def _open_or_recover(kind: Kind, path: Path, emit: Emit) -> sqlite3.Connection:
    try:
        return _open(kind, path)
    except _DamagedError as error:
        aside = _rename_damaged(path)
        database = _open(kind, path)
        recovered = _recover(kind, aside, database)
        emit(f"{path} is damaged ({error}) and is now {aside.name}; {recovered} {kind.content} were recovered")
        return database
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise PermanentError(_in_use(kind, path)) from None
        raise PermanentError(f"{path} cannot be used as {kind.name}: {error}") from None


def open_to_read(kind: Kind, path: Path) -> sqlite3.Connection:
    """Open a file to read it while its process runs; raises PermanentError if it is none of this kind."""
    try:
        # Callers use it under a lock, from any thread: metrics are read in the thread that serves them.
        uri = f"{path.absolute().as_uri()}?mode=ro"
        database = sqlite3.connect(uri, timeout=5.0, uri=True, check_same_thread=False)
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise PermanentError(f"{path} cannot be read as {kind.name}: {error}") from None
    if (application, version) != (kind.application, kind.version):
        database.close()
        raise PermanentError(f"{path} is not {kind.name} of version {kind.version}")
    return database


def _in_use(kind: Kind, path: Path) -> str:
    return f"{path} is in use by another process; each process needs {kind.name} of its own"


def _lock(kind: Kind, path: Path) -> None:
    """Hold a lock until the process ends: SQLite's own exclusive lock would keep out those that only read."""
    try:
        descriptor = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PermanentError(f"{path} cannot be used as {kind.name}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise PermanentError(_in_use(kind, path)) from None
    _locks[path.absolute()] = descriptor


_locks: dict[Path, int] = {}


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end of the block; an error rolls back."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")


def close_file(database: sqlite3.Connection, path: Path) -> None:
    """Close a file that `open_file` opened. What is committed stays intact on a full disk too."""
    with suppress(sqlite3.Error):
        database.close()
    _unlock(path)


def _unlock(path: Path) -> None:
    descriptor = _locks.pop(path.absolute(), None)
    if descriptor is not None:
        os.close(descriptor)


def _open(kind: Kind, path: Path) -> sqlite3.Connection:
    with suppress(OSError):  # it exists, or SQLite states the reason
        # It holds data of patients. SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(kind, database, path)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED:
            raise _DamagedError(str(error)) from None
        raise
    return database


def _prepare(kind: Kind, database: sqlite3.Connection, path: Path) -> None:
    execute = database.execute
    if not kind.readable:
        execute("PRAGMA locking_mode = EXCLUSIVE")
    application = execute("PRAGMA application_id").fetchone()[0]
    version = execute("PRAGMA user_version").fetchone()[0]
    is_new = not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and application != kind.application:
        raise PermanentError(f"{path} is a database of another program, not {kind.name}; choose another path")
    upgrades = [] if is_new else [kind.upgrades.get(number) for number in range(version, kind.version)]
    if not is_new and (version > kind.version or None in upgrades):
        raise PermanentError(
            f"{path} is {kind.name} of version {version}, and this program reads version {kind.version}; let the"
            " program that wrote it send what is in it, or choose another path"
        )
    execute("PRAGMA journal_mode = WAL")
    execute(f"PRAGMA synchronous = {kind.synchronous}")
    execute("BEGIN EXCLUSIVE")
    for statements in [kind.schema] if is_new else upgrades:
        for statement in (statements or "").split(";\n"):
            execute(statement)
    if is_new or upgrades:
        execute(f"PRAGMA application_id = {kind.application}")
        execute(f"PRAGMA user_version = {kind.version}")
    execute("COMMIT")
    result = execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        raise _DamagedError(result.splitlines()[-1])


def _rename_damaged(path: Path) -> Path:
    """Rename the file and its write-ahead log to a name that is free; return it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")  # noqa: PTH104
    return aside


def _recover(kind: Kind, aside: Path, database: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged file, from both ends up to the damage; return how much that is."""
    database.execute("BEGIN")
    with closing(sqlite3.connect(aside)) as damaged:
        for select, insert in kind.copies:
            for order in ("ASC", "DESC"):
                with suppress(sqlite3.Error):
                    for row in damaged.execute(select.format(order=order)):
                        database.execute(insert, row)
    database.execute("COMMIT")
    return int(database.execute(kind.count).fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary result code; some errors have none.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
