"""Start the servers of a measurement on free ports, and delete them afterwards."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from bench.report import Log
from bench.small_disk import SmallDisk, small_disk
from sql.migrate import INGEST_ROLE, READER_ROLE, connect, migrate
from stack.binaries import ServerBinaries, find
from stack.servers import OWNER, BrokerServer, DatabaseServer, ensure_database, free_port

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
PASSWORD = "bench"  # of servers that live for a minute on 127.0.0.1


@dataclass(frozen=True)
class Environment:
    """A broker, a migrated database, a folder for logs, and a description of the machine."""

    binaries: ServerBinaries
    broker: BrokerServer
    database: DatabaseServer
    folder: Path
    machine: dict[str, str]
    disk: SmallDisk | None = None

    @property
    def ingest_url(self) -> str:
        """The database, as ingest."""
        return self.database.url(OWNER, INGEST_ROLE, PASSWORD)

    def ask(self, query: LiteralString | sql.Composed, *parameters: object) -> tuple[Any, ...]:
        """Return the only row of a query."""
        with psycopg.connect(self.database.url(), autocommit=True) as connection:
            row = connection.execute(query, parameters).fetchone()
        assert row is not None
        return row


@contextmanager
def environment(
    want_disk: Log | None = None, database_settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Environment]:
    """Start the servers, and stop and delete them at the end.

    want_disk           place the database on a small disk of its own; logs the reason if that fails
    database_settings   of PostgreSQL, over those it has
    """
    binaries = find()
    name = f"bench-{os.getpid()}"
    with TemporaryDirectory() as path, ExitStack() as ends:
        folder = Path(path)
        broker = BrokerServer(binaries, name, free_port(), folder / "broker.log")
        ends.callback(binaries.remove, broker.folder.parent)
        broker.start()
        ends.callback(broker.stop)
        disk = ends.enter_context(small_disk(binaries, f"{name}/database", want_disk)) if want_disk else None
        database = DatabaseServer(binaries, name, free_port(), folder / "database.log")
        database.line += [part for key, value in database_settings.items() for part in ("-c", f"{key}={value}")]
        database.start()
        ends.callback(database.stop)
        ensure_database(database.url("postgres"), OWNER)
        logins = {role: database.url(OWNER, role, PASSWORD) for role in (INGEST_ROLE, READER_ROLE)}
        with connect(database.url()) as connection:
            edition = migrate(connection, logins, lambda _: None)
        machine = describe_machine() | {"database": str(edition)}
        yield Environment(binaries, broker, database, folder, machine, disk)


def settle(count: Callable[[], int], expected: int, still_s: float, poll_s: float = 0.2) -> None:
    """Wait until a count is as expected, or has not changed for `still_s` seconds."""
    seen, since = count(), time.monotonic()
    while seen != expected and time.monotonic() - since < still_s:
        time.sleep(poll_s)
        if (now := count()) != seen:
            seen, since = now, time.monotonic()


def describe_machine() -> dict[str, str]:
    """Return what a figure was measured on."""
    return {"cores": str(os.cpu_count()), "processor": _processor(), "python": platform.python_version()}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
