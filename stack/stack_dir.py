"""What one stack keeps on disk: its state, its secrets, its logs, its lock. Starts and stops nothing.

The stack of this checkout lives in .stack; tests, and anyone who wants two side by side, give each its own folder.
The servers' data lies where the programs can see it (see `programs`), under a name made from the folder's.
"""

import fcntl
import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from identity.broker_bootstrap import BUILTIN_USERS
from stack.binaries import STACK, ServerBinaries
from vitals.errors import PermanentError
from vitals.files import write_atomic


class Running(Struct, frozen=True):
    """One process as the supervisor last saw it.

    pid, created    together they name a process; a pid alone may have been given to somebody else since;
                    pid 0 while it is dead and not yet started again
    port            where it listens on 127.0.0.1; None where it does not
    since           unix seconds of its last start
    """

    name: str
    pid: int
    created: float
    since: float
    port: int | None = None
    restarts: int = 0
    serves: bool = False


class State(Struct, frozen=True):
    """What runs, in the order in which it was started. No secrets."""

    supervisor: Running
    port_base: int
    devices: int
    up: bool
    processes: list[Running]


class Secrets(Struct, frozen=True):
    """The passwords of the three database roles, and those of the broker's users."""

    owner: str
    ingest: str
    reader: str
    broker: dict[str, str] = {}

    @classmethod
    def new(cls) -> Self:
        """Fresh ones, of letters that need no quoting in a URL."""
        owner, ingest, reader = (secrets.token_urlsafe(24) for _ in range(3))
        return cls(owner, ingest, reader).complete()

    def complete(self) -> Self:
        """With those that an older version did not make."""
        missing = {name: secrets.token_urlsafe(24) for name in BUILTIN_USERS if name not in self.broker}
        return replace(self, broker=self.broker | missing) if missing else self


@dataclass(frozen=True, slots=True)
class StackDir:
    """The folder of one stack, and the name of its data folder."""

    folder: Path
    data: str

    @classmethod
    def at(cls, folder: Path = STACK) -> Self:
        """The stack that lives in `folder`."""
        folder = folder.resolve()
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        return cls(folder, "stack" if folder == STACK else f"stack-{mark}")

    @property
    def bin(self) -> Path:
        """psql and mosquitto_sub for the shell of whoever looks at the stack."""
        return self.folder / "bin"

    @property
    def clients(self) -> Path:
        """The options that mosquitto_sub and mosquitto_pub begin with."""
        return self.folder / "clients"

    @property
    def password(self) -> Path:
        """The password of the person at this stack, for the page that asks for it."""
        return self.folder / "operator_password"

    @property
    def identity(self) -> Path:
        """The CA, its certificates, and the passwords of the simulated monitors."""
        return self.folder / "identity"

    @property
    def credentials(self) -> Path:
        """The passwords of the simulated monitors."""
        return self.identity / "devices.json"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.folder / "log" / f"{name}.log"

    def rotate_logs(self) -> None:
        """Start every log anew; the previous run's is kept as NAME.log.1."""
        self.log("").parent.mkdir(parents=True, exist_ok=True)
        for log in self.log("").parent.glob("*.log"):
            log.replace(log.with_name(log.name + ".1"))

    def state(self) -> State | None:
        """What the supervisor wrote last; None where there is nothing."""
        try:
            return msgspec.json.decode((self.folder / "state.json").read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise PermanentError(f"{self.folder / 'state.json'} cannot be read: {error}; delete it") from None

    def write_state(self, state: State | None) -> None:
        """Replace the state in one step, so that a reader never sees half of it; None removes it."""
        if state is None:
            (self.folder / "state.json").unlink(missing_ok=True)
        else:
            self._write("state.json", msgspec.json.encode(state))

    def secrets(self) -> Secrets | None:
        """The passwords; None where none were made yet."""
        try:
            return msgspec.json.decode((self.folder / "secrets.json").read_bytes(), type=Secrets)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise PermanentError(f"{self.folder / 'secrets.json'} cannot be read: {error}") from None

    def make_secrets(self) -> Secrets:
        """The passwords, made on the first call; the database keeps the ones it was made with."""
        known = self.secrets()
        whole = Secrets.new() if known is None else known.complete()
        if whole != known:
            self._write("secrets.json", msgspec.json.encode(whole))
        return whole

    def wipe(self, binaries: ServerBinaries) -> None:
        """Delete the servers' data, and the passwords and certificates that belong to it."""
        binaries.remove(binaries.folder(self.data))
        for secret in (self.folder / "secrets.json", self.password):
            secret.unlink(missing_ok=True)
        shutil.rmtree(self.identity, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one supervisor of this folder; raises PermanentError where there is one already.

        The kernel frees the lock when the process dies, however it dies.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PermanentError(
                    "a stack is already running here: `vitalflow dev status` shows it, `vitalflow dev down` ends it"
                ) from None
            yield

    def is_locked(self) -> bool:
        """Whether a supervisor is alive."""
        try:
            with self.lock():
                return False
        except PermanentError:
            return True

    def _write(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / name, msgspec.json.format(content) + b"\n")
