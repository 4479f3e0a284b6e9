"""A test's database and its logins, what it is copied from, and waiting for a condition."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from sql.migrate import INGEST_ROLE, NAMES_ROLE, READER_ROLE, connect, migrate
from stack.binaries import ServerBinaries
from stack.servers import (
    OWNER,
    POSTGRES,
    BrokerServer,
    DatabaseServer,
    Server,
    describe_exit,
    ensure_database,
    free_port,
)

TEMPLATE = "vitalflow_template"
S = TypeVar("S", BrokerServer, DatabaseServer)
INGEST_PASSWORD = "ingest-in-a-test"
READER_PASSWORD = "reader-in-a-test"
NAMES_PASSWORD = "names-in-a-test"


@dataclass(frozen=True)
class Db:
    """A database of one test, with its four logins."""

    owner_url: str
    ingest_url: str
    reader_url: str
    names_url: str

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Ask as the owner."""
        with psycopg.connect(self.owner_url) as connection:
            return connection.execute(query.encode(), parameters or None).fetchall()

    def one(self, query: str, *parameters: object) -> object:
        """The single value of a query."""
        return self.rows(query, *parameters)[0][0]

    def count(self, table: str = "patient_vitals") -> int:
        """How many rows a table has."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        assert row is not None
        return int(row[0])


def stop_running(server: Server) -> None:
    """Stop a server, unless the test has; fail if it has ended by itself, which no test may overlook."""
    ended = None if server.process is None else server.process.poll()
    server.stop()
    assert ended is None, f"{server.name} ended with {describe_exit(ended)}:\n{server.tail()}"


@contextmanager
def serving(binaries: ServerBinaries, server: S) -> Iterator[S]:
    """Start a server; stop it afterwards, unless the test has, and delete its folder."""
    try:
        server.start()
        yield server
    finally:
        stop_running(server)
        binaries.remove(server.folder.parent)


def eventually(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until `condition` holds; fail with `what` and its last value."""
    deadline, pause = time.monotonic() + timeout, 0.01
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout:g} s: {what} (last: {value!r})")
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)


def forget_retained(port: int) -> None:
    """Delete every retained message. A marker that we send ourselves comes behind the last of them."""
    marker = f"marker/{time.time_ns()}"
    there: SimpleQueue[str] = SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe("#") and None
    client.on_subscribe = lambda client, *_: client.publish(marker) and None
    client.on_message = lambda _client, _userdata, message: there.put(message.topic)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent = [client.publish(topic, b"", qos=1, retain=True) for topic in iter(lambda: there.get(timeout=60), marker)]
    for info in sent:
        info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def make_template(server: DatabaseServer) -> None:
    """Migrate once; every test's database is a copy."""
    ensure_database(server.url("postgres"), TEMPLATE)
    with connect(server.url(TEMPLATE)) as connection:
        migrate(connection, logins(server, TEMPLATE), lambda _: None)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        # As for the role of the readers: compiling a query of `ward_board` takes a second of processor each time.
        connection.execute("ALTER ROLE vitalflow SET jit = off")
        # TimescaleDB's scheduler connects to every database; one that is connected to cannot be copied.
        connection.execute("ALTER DATABASE vitalflow_template ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [TEMPLATE])


def new_database(server: DatabaseServer) -> Db:
    """Create and migrate the database of a server that has none."""
    ensure_database(server.url("postgres"), OWNER)
    with connect(server.url()) as connection:
        migrate(connection, logins(server, OWNER), lambda _: None)
    return db_of(server, OWNER)


def copy_of_server(
    binaries: ServerBinaries, server: DatabaseServer, name: str, log: Path, *options: str
) -> DatabaseServer:
    """Copy the data of a running server for another one, not started yet. `options`: of pg_basebackup."""
    folder = binaries.new_folder(f"{name}/database", POSTGRES)
    line = [f"{binaries.postgresql}/pg_basebackup", "-D", binaries.path_inside(folder / "cluster"), "--no-sync"]
    line += ["--checkpoint=fast", "-d", server.url("postgres"), *options]
    subprocess.run(binaries.command(POSTGRES, *line), check=True, capture_output=True)
    return DatabaseServer(binaries, name, free_port(), log, server.password, fsync="off")


def use_template(server: DatabaseServer) -> Db:
    """Make the template of a copied server its database."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE vitalflow_template RENAME TO vitalflow")
        connection.execute("ALTER DATABASE vitalflow ALLOW_CONNECTIONS true")
    return db_of(server, OWNER)


def logins(server: DatabaseServer, name: str) -> dict[str, str]:
    return {
        INGEST_ROLE: server.url(name, INGEST_ROLE, INGEST_PASSWORD),
        READER_ROLE: server.url(name, READER_ROLE, READER_PASSWORD),
        NAMES_ROLE: server.url(name, NAMES_ROLE, NAMES_PASSWORD),
    }


def copy_of_template(server: DatabaseServer, name: str) -> Db:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        order = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(order.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
    return db_of(server, name)


def db_of(server: DatabaseServer, name: str) -> Db:
    urls = logins(server, name)
    return Db(server.url(name), urls[INGEST_ROLE], urls[READER_ROLE], urls[NAMES_ROLE])


def community_db(owner_url: str) -> Db:
    return Db(
        owner_url,
        _as_user(owner_url, INGEST_ROLE, INGEST_PASSWORD),
        _as_user(owner_url, READER_ROLE, READER_PASSWORD),
        _as_user(owner_url, NAMES_ROLE, NAMES_PASSWORD),
    )


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def locked_chunk(db: Db, at: datetime) -> Iterator[None]:
    """Hold the lock on the chunk of a moment that its conversion to the columnstore holds, and that stops writers."""
    query = (
        "SELECT chunk_schema, chunk_name FROM timescaledb_information.chunks "
        "WHERE hypertable_name = 'patient_vitals' AND %s >= range_start AND %s < range_end"
    )
    with psycopg.connect(db.owner_url) as connection:
        row = connection.execute(query, [at, at]).fetchone()
        assert row is not None
        connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(*map(str, row))))
        yield


def wal_receiver(binaries: ServerBinaries, server: DatabaseServer, log: Path) -> Server:
    """pg_receivewal: to PostgreSQL a standby that replays nothing, so that its lag is that of what it has flushed."""
    folder = binaries.new_folder(f"{server.folder.parent.name}/wal", POSTGRES)
    line = [f"{binaries.postgresql}/pg_receivewal", "--synchronous", "-D", binaries.path_inside(folder)]
    line += ["-d", server.url("postgres")]
    return Server("pg_receivewal", binaries.command(POSTGRES, *line), log, lambda: True)
