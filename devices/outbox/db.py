"""Open an outbox file, or raise PermanentError with the reason why it cannot be used.

A file of another version or of another program is not changed. A damaged file is renamed, the readings that can still
be read are copied to a new file, and the devices start.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from vitals.errors import PermanentError

APPLICATION = 0x56464F42  # "VFOB" in the file's header, which marks it as an outbox file
VERSION = 1

SCHEMA = """
CREATE TABLE device (
    number INTEGER PRIMARY KEY,
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,                -- of the last start
    receipts INTEGER NOT NULL DEFAULT 0,  -- 1: in use
    UNIQUE (ward, device)
) STRICT;
CREATE TABLE reading (                    -- unsent or unconfirmed, as published
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (device, boot, seq)
) STRICT, WITHOUT ROWID;
"""

Emit = Callable[[str], None]

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _DamagedError(Exception):
    pass


def open_database(path: Path, emit: Emit) -> sqlite3.Connection:
    """Open or create the file, for this process only.

    1. Open it, and check program and version before anything is written to it.
    2. Lock it against other processes and check it for damage.
    3. If it is damaged: rename it, create a new one, and copy what can be read.

    Raises PermanentError if the path cannot be used, if the file is in use, or if it is another program's.
    """
    try:
        return _open(path)
    except _DamagedError as error:
        aside = _rename_damaged(path)
        database = _open(path)
        recovered = _recover(aside, database)
        emit(f"{path} is damaged ({error}) and is now {aside.name}; {recovered} readings were recovered")
        return database
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise PermanentError(
                f"{path} is in use by another process; each process needs an outbox file of its own"
            ) from None
        raise PermanentError(f"{path} cannot be used as an outbox file: {error}") from None


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, path)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED:
            raise _DamagedError(str(error)) from None
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    execute = database.execute
    execute("PRAGMA locking_mode = EXCLUSIVE")
    application = execute("PRAGMA application_id").fetchone()[0]
    version = execute("PRAGMA user_version").fetchone()[0]
    is_new = not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and application != APPLICATION:
        raise PermanentError(f"{path} is a database of another program, not an outbox file; choose another path")
    if not is_new and version != VERSION:
        raise PermanentError(
            f"{path} is an outbox file of version {version}, and this program reads version {VERSION}; let the"
            " program that wrote it send what is in it, or choose another path"
        )
    execute("PRAGMA journal_mode = WAL")
    # Synced at checkpoints and not at each commit: a killed process loses nothing, a power failure the last moments.
    execute("PRAGMA synchronous = NORMAL")
    execute("BEGIN EXCLUSIVE")
    if is_new:
        for statement in SCHEMA.split(";\n"):
            execute(statement)
        execute(f"PRAGMA application_id = {APPLICATION}")
        execute(f"PRAGMA user_version = {VERSION}")
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


def _recover(aside: Path, database: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged file, from both ends up to the damage; return the number of readings."""
    database.execute("BEGIN")
    with closing(sqlite3.connect(aside)) as damaged:
        for every_reading in (
            "SELECT device, boot, seq, payload FROM reading ORDER BY device, boot, seq",
            "SELECT device, boot, seq, payload FROM reading ORDER BY device DESC, boot DESC, seq DESC",
        ):
            with suppress(sqlite3.Error):
                for device in damaged.execute("SELECT number, ward, device, boot, receipts FROM device"):
                    database.execute("INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?)", device)
                for reading in damaged.execute(every_reading):
                    database.execute("INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?)", reading)
    database.execute("COMMIT")
    return int(database.execute("SELECT count(*) FROM reading").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary result code; some errors have none.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
