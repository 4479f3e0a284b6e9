"""The ground that a measurement stands on: servers of its own on free ports, gone afterwards."""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sql.migrate import INGEST_ROLE, READER_ROLE, connect, migrate
from stack.programs import Programs, find
from stack.servers import OWNER, Broker, Database, ensure_database, free_port

PASSWORD = "bench"  # of servers that live for a minute on 127.0.0.1


@dataclass(frozen=True)
class Ground:
    """A broker, a migrated database, a folder for logs, and what to write beside a figure."""

    programs: Programs
    broker: Broker
    database: Database
    folder: Path
    machine: dict[str, str]

    @property
    def ingest_url(self) -> str:
        """The database, as ingest."""
        return self.database.url(OWNER, INGEST_ROLE, PASSWORD)


@contextmanager
def ground() -> Iterator[Ground]:
    """Start the servers, and stop and delete them at the end."""
    programs = find()
    name = f"bench-{os.getpid()}"
    with TemporaryDirectory() as path, ExitStack() as ends:
        folder = Path(path)
        broker = Broker(programs, name, free_port(), folder / "broker.log")
        ends.callback(programs.remove, broker.folder.parent)
        broker.start()
        ends.callback(broker.stop)
        database = Database(programs, name, free_port(), folder / "database.log")
        database.start()
        ends.callback(database.stop)
        ensure_database(database.url("postgres"), OWNER)
        logins = {role: database.url(OWNER, role, PASSWORD) for role in (INGEST_ROLE, READER_ROLE)}
        with connect(database.url()) as connection:
            edition = migrate(connection, logins, lambda _: None)
        machine = {
            "cores": str(os.cpu_count()),
            "processor": processor(),
            "python": platform.python_version(),
            "database": str(edition),
        }
        yield Ground(programs, broker, database, folder, machine)


def processor() -> str:
    """What a figure was measured on."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
