"""Opens an outbox file, or says in one sentence why not.

A file of another version, or of another program, is left alone. One that is damaged is moved aside whole, what can
still be read of it goes into a new one, and the devices start.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from vitals.errors import PermanentError

APPLICATION = 0x56464F42  # "VFOB" in the file's header: not some other program's database
VERSION = 1

SCHEMA = """
CREATE TABLE device (
    number INTEGER PRIMARY KEY,
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,                -- of its last start
    receipts INTEGER NOT NULL DEFAULT 0,  -- 1: one has been seen
    UNIQUE (ward, device)
) STRICT;
CREATE TABLE reading (                    -- unsent or unconfirmed, as on the wire
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
    """The file, new or as an earlier run left it, for this process alone.

    1. Open it; look at whose it is and of which version, before anything is written to it.
    2. Lock it against a second process and look through it for damage.
    3. If it is damaged: move it aside, begin a new one, and save what can be read.

    Raises PermanentError for a path that cannot be used, a file that is in use, and one that is not ours to read.
    """
    try:
        return _open(path)
    except _DamagedError as error:
        aside = _move_aside(path)
        database = _open(path)
        saved = _save(aside, database)
        emit(f"{path} is damaged ({error}) and is now {aside.name}; {saved} readings saved from it")
        return database
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise PermanentError(
                f"{path} is in use by another process; an outbox file is for one process alone"
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
    ask = database.execute
    ask("PRAGMA locking_mode = EXCLUSIVE")
    application = ask("PRAGMA application_id").fetchone()[0]
    version = ask("PRAGMA user_version").fetchone()[0]
    is_new = not ask("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and application != APPLICATION:
        raise PermanentError(f"{path} is a database of another program, not an outbox file; choose another path")
    if not is_new and version != VERSION:
        raise PermanentError(
            f"{path} is an outbox file of version {version}, and this program reads version {VERSION}; let the"
            " program that wrote it send what is in it, or choose another path"
        )
    ask("PRAGMA journal_mode = WAL")
    # Not forced to the disk with every commit, only with every checkpoint: a killed process loses nothing, a
    # power cut the last moments.
    ask("PRAGMA synchronous = NORMAL")
    ask("BEGIN EXCLUSIVE")
    if is_new:
        for statement in SCHEMA.split(";\n"):
            ask(statement)
        ask(f"PRAGMA application_id = {APPLICATION}")
        ask(f"PRAGMA user_version = {VERSION}")
    ask("COMMIT")
    found = ask("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _DamagedError(found.splitlines()[-1])


def _move_aside(path: Path) -> Path:
    """Rename the file with its write-ahead log, under a name that is not taken."""
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


def _save(aside: Path, database: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged file: from both ends up to the damage. Returns how many readings."""
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
    # The low byte is the kind, the rest a detail; some errors have none.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
