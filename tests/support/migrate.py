"""`vitalflow db migrate` as a process, and an empty database for it.

It runs from this checkout, or from a copy of its rooms that a test may edit.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import sql.migrate
from sql.migrate import connect, find_edition
from stack.binaries import CHECKOUT
from tests.support.process import Forked, environ_of
from tests.support.servers import Db

TIMEOUT = 60  # seconds
Process = Forked | subprocess.Popen[str]


@dataclass(frozen=True)
class Ended:
    """How it ended and what it said."""

    code: int
    out: str
    err: str

    def expect_success(self) -> str:
        """Its output; fails where it did not work or complained."""
        assert (self.code, self.err) == (0, ""), f"exit code {self.code}\n{self.out}\n{self.err}"
        return self.out

    def expect_sentence(self) -> str:
        """Its one sentence of complaint; fails where it did not end with exit code 2 and exactly that."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert self.err.startswith("vitalflow db: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("vitalflow db: ").strip()


def settings_of(db: Db) -> dict[str, str]:
    """The settings that name a database and its logins."""
    return {
        "VITALFLOW_DATABASE_URL": db.owner_url,
        "VITALFLOW_INGEST_URL": db.ingest_url,
        "VITALFLOW_READER_URL": db.reader_url,
        "VITALFLOW_NAMES_URL": db.names_url,
    }


def start_migrate(
    settings: Mapping[str, str], checkout: Path = CHECKOUT, command: Sequence[str] = ("migrate",)
) -> Process:
    """Start it, or another command of `vitalflow db`, with exactly these settings and do not wait."""
    environ = {**environ_of(), **settings, "COLUMNS": "500"}  # wide, so that no sentence is broken
    if checkout == CHECKOUT:
        return Forked(["sql", *command], environ)
    line, pipe = [sys.executable, "-m", "sql", *command], subprocess.PIPE
    return subprocess.Popen(line, cwd=checkout, env=environ, stdout=pipe, stderr=pipe, text=True)


def wait_for_end(process: Process) -> Ended:
    """Wait for it."""
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.wait(), out, err)


def migrate(db: Db, checkout: Path = CHECKOUT) -> Ended:
    """Bring a database up to date."""
    return wait_for_end(start_migrate(settings_of(db), checkout))


def copy_packages(folder: Path, *rooms: str) -> Path:
    """Copy rooms of the checkout, to be edited and run from there."""
    for room in rooms:
        shutil.copytree(CHECKOUT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def migrate_as_apache(db: Db) -> None:
    """Bring a database up to date with the SQL of the Apache edition, which a Community server accepts too."""
    with connect(db.owner_url) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql.migrate, "find_edition", lambda found: replace(find_edition(found), community=False))
        sql.migrate.migrate(connection, {}, lambda _: None)
