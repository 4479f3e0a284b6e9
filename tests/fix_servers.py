"""Real servers for tests: one broker and one database a session, on free ports, and a database a test.

Nothing here touches a server that it did not start.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from sql.migrate import INGEST_ROLE, READER_ROLE, connect, migrate
from stack.programs import Programs, find
from stack.servers import OWNER, BrokerServer, DatabaseServer, ensure_database, free_port, raise_file_limit

TEMPLATE = "vitalflow_template"
INGEST_PASSWORD = "ingest-in-a-test"
READER_PASSWORD = "reader-in-a-test"


@dataclass(frozen=True)
class Db:
    """A database of one test, with its three logins."""

    owner_url: str
    ingest_url: str
    reader_url: str

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


def eventually(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until `condition` holds; fail with `what` and its last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout:g} s: {what} (last: {value!r})")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Where Mosquitto and PostgreSQL are; `make test` has set them up."""
    return find()


@pytest.fixture(scope="session")
def run_name() -> str:
    """Names this session's data folders, so that two sessions never meet."""
    return f"test-{os.getpid()}"


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def shared_broker(programs: Programs, run_name: str, logs: Path) -> Iterator[BrokerServer]:
    """One broker for all tests that do not harm it."""
    raise_file_limit()
    server = BrokerServer(programs, f"{run_name}-broker", free_port(), logs / "broker.log")
    server.start()
    yield server
    server.stop()
    programs.remove(server.folder.parent)


@pytest.fixture
def broker(shared_broker: BrokerServer) -> Iterator[BrokerServer]:
    """A broker that is never harmed, and that remembers nothing of the test before; to kill one, take `own_broker`."""
    yield shared_broker
    forget_retained(shared_broker.port)


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
    sent = [client.publish(topic, b"", qos=1, retain=True) for topic in iter(lambda: there.get(timeout=10), marker)]
    for info in sent:
        info.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


@pytest.fixture(scope="session")
def database(programs: Programs, run_name: str, logs: Path) -> Iterator[DatabaseServer]:
    """A PostgreSQL that is never harmed, with a migrated template database."""
    server = DatabaseServer(programs, f"{run_name}-database", free_port(), logs / "database.log")
    server.start()
    make_template(server)
    yield server
    server.stop()
    programs.remove(server.folder.parent)


def make_template(server: DatabaseServer) -> None:
    """Migrate once; every test's database is a copy."""
    ensure_database(server.url("postgres"), TEMPLATE)
    with connect(server.url(TEMPLATE)) as connection:
        migrate(connection, logins(server, TEMPLATE), lambda _: None)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        # TimescaleDB's scheduler connects to every database; one that is connected to cannot be copied.
        connection.execute("ALTER DATABASE vitalflow_template ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [TEMPLATE])


def logins(server: DatabaseServer, name: str) -> dict[str, str]:
    return {
        INGEST_ROLE: server.url(name, INGEST_ROLE, INGEST_PASSWORD),
        READER_ROLE: server.url(name, READER_ROLE, READER_PASSWORD),
    }


def copy_of_template(server: DatabaseServer, name: str) -> Db:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        order = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        connection.execute(order)
    return db_of(server, name)


def db_of(server: DatabaseServer, name: str) -> Db:
    urls = logins(server, name)
    return Db(server.url(name), urls[INGEST_ROLE], urls[READER_ROLE])


@pytest.fixture
def db(database: DatabaseServer, request: pytest.FixtureRequest) -> Iterator[Db]:
    """A fresh, migrated database for one test."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    yield copy_of_template(database, name)
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def own_broker(programs: Programs, run_name: str, tmp_path: Path) -> Iterator[BrokerServer]:
    """A broker for one test to kill."""
    server = BrokerServer(programs, f"{run_name}-own-broker", free_port(), tmp_path / "broker.log")
    server.start()
    yield server
    server.stop()
    programs.remove(server.folder.parent)


@pytest.fixture
def own_database(programs: Programs, run_name: str, tmp_path: Path) -> Iterator[tuple[DatabaseServer, Db]]:
    """A PostgreSQL for one test to stop, with a migrated database in it."""
    server = DatabaseServer(programs, f"{run_name}-own-database", free_port(), tmp_path / "database.log")
    server.start()
    ensure_database(server.url("postgres"), OWNER)
    with connect(server.url()) as connection:
        migrate(connection, logins(server, OWNER), lambda _: None)
    yield server, db_of(server, OWNER)
    server.stop()
    programs.remove(server.folder.parent)
