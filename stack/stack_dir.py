"""The folder of a stack: state, secrets, logs and lock. Starts and stops nothing.

A checkout's stack is in .stack; another folder is a second stack. The servers' data lies where the server programs see
it (`binaries`), under a name derived from the folder's path.
"""

import fcntl
import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from identity.broker_bootstrap import BUILTIN_USERS
from stack import log_files
from stack.binaries import STACK, ServerBinaries
from vitals.errors import PermanentError
from vitals.files import write_atomic

SITE_FILE, INBOX_FILE = "site.toml", "inbox.db"
EDGES = "edges"
"""The user of the edges at the broker; not in every installation, so not one of BUILTIN_USERS."""
DEMO_EDGES = ("demo-webhook", "demo-serial", "demo-mqtt")
"""The users of the edges that only the demo has."""

Struct_ = TypeVar("Struct_", bound=Struct)


class Running(Struct, frozen=True):
    """One process as the supervisor last saw it.

    pid, created    together they identify a process, because a pid may be reused; pid 0 until it is restarted
    port            where it listens on 127.0.0.1, if it does
    since           Unix time of its last start
    """

    name: str
    pid: int
    created: float
    since: float
    port: int | None = None
    restarts: int = 0
    serves: bool = False


class State(Struct, frozen=True):
    """The processes, in the order in which they were started. Holds no secrets.

    devices_url   the broker's URL for devices on other machines; None if they cannot reach it
    """

    supervisor: Running
    port_base: int
    devices: int
    up: bool
    processes: list[Running]
    devices_url: str | None = None


class Secrets(Struct, frozen=True):
    """Passwords of the five database roles and of the broker's built-in users; a cluster has two more."""

    owner: str
    ingest: str
    reader: str
    broker: dict[str, str] = {}
    names: str = ""
    research: str = ""
    replication: str = ""
    patroni: str = ""

    @classmethod
    def new(cls) -> Self:
        """Return new passwords that need no quoting in a URL."""
        owner, ingest, reader = (secrets.token_urlsafe(24) for _ in range(3))
        return cls(owner, ingest, reader).complete()

    def complete(self, more: Iterable[str] = ()) -> Self:
        """Return these with the ones added that an older version did not have; `more`: further users of the broker."""
        wanted = (*BUILTIN_USERS, EDGES, *DEMO_EDGES, *more)
        missing = {name: secrets.token_urlsafe(24) for name in wanted if name not in self.broker}
        roles = ("names", "research", "replication", "patroni")
        later = {name: getattr(self, name) or secrets.token_urlsafe(24) for name in roles}
        return replace(self, broker=self.broker | missing, **later)


@dataclass(frozen=True, slots=True)
class StackDir:
    """The folder of one stack, and the name of its data folder."""

    folder: Path
    data: str

    @classmethod
    def at(cls, folder: Path = STACK) -> Self:
        """Return the stack in `folder`."""
        folder = folder.resolve()
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        return cls(folder, "stack" if folder == STACK else f"stack-{mark}")

    @property
    def bin(self) -> Path:
        """Client programs: psql, mosquitto_sub, mosquitto_pub."""
        return self.folder / "bin"

    @property
    def clients(self) -> Path:
        """Option files of mosquitto_sub, mosquitto_pub and curl."""
        return self.folder / "clients"

    @property
    def password(self) -> Path:
        """The password of the user `operator`, for signing in at the station."""
        return self.folder / "operator_password"

    @property
    def identity(self) -> Path:
        """The CA, its certificates, and the passwords of the simulated devices."""
        return self.folder / "identity"

    @property
    def credentials(self) -> Path:
        """The passwords of the simulated devices."""
        return self.identity / "devices.json"

    @property
    def demo(self) -> Path:
        """The files of the demo's edges."""
        return self.folder / "demo"

    @property
    def logs(self) -> Path:
        """The log files of all processes."""
        return self.folder / "log"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"

    def rotate_logs(self) -> None:
        """Rename the logs of the previous run to NAME.log.1."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("*.log"):
            log_files.start_new(log)

    def state(self) -> State | None:
        """Return the state that the supervisor wrote last, if any."""
        return self._read("state.json", State, "; delete it")

    def write_state(self, state: State | None) -> None:
        """Replace the state atomically; None removes it."""
        if state is None:
            (self.folder / "state.json").unlink(missing_ok=True)
        else:
            self._write("state.json", msgspec.json.encode(state))

    def secrets(self) -> Secrets | None:
        """Return the passwords, if they were created."""
        return self._read("secrets.json", Secrets)

    def make_secrets(self, more: Iterable[str] = ()) -> Secrets:
        """Return the passwords, created on the first call; the database keeps the ones it was created with.

        more   further users of the broker
        """
        known = self.secrets()
        complete = (known or Secrets.new()).complete(more)
        if complete != known:
            self._write("secrets.json", msgspec.json.encode(complete))
        return complete

    def wipe(self, binaries: ServerBinaries) -> None:
        """Delete the servers' data with its passwords and certificates."""
        binaries.remove(binaries.folder(self.data))
        inbox = [self.folder / f"{INBOX_FILE}{more}" for more in ("", "-wal", "-shm")]
        for file in (self.folder / "secrets.json", self.password, *inbox):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.identity, ignore_errors=True)
        shutil.rmtree(self.demo, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of the supervisor; raises PermanentError if another process holds it.

        The kernel releases the lock when the process ends, however it ends.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PermanentError(
                    f"a stack or cluster is already running in {self.folder}; `vitalflow dev down` ends a stack, "
                    "Ctrl-C in its terminal a cluster"
                ) from None
            yield

    def is_locked(self) -> bool:
        """Return whether a supervisor is running."""
        try:
            with self.lock():
                return False
        except PermanentError:
            return True

    def _read(self, name: str, type: type[Struct_], hint: str = "") -> Struct_ | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=type)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise PermanentError(f"{self.folder / name} cannot be read: {error}{hint}") from None

    def _write(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / name, msgspec.json.format(content) + b"\n")
