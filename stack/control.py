"""Control a supervisor in another process: start it in the background, stop it, follow its logs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from identity.authority import Emit
from stack.binaries import CHECKOUT, STACK
from stack.binaries import find as find_programs
from stack.demo_edges import BROKER, demo_edges
from stack.plan import PORT_BASE, Ports, services
from stack.processes import find, send
from stack.replacement import Replacement
from stack.stack_dir import StackDir, State
from stack.supervisor import stop_orphans
from vitals.errors import PermanentError, TransientError

NAMES = (
    *("supervisor", "broker", "database", "migrate"),
    *(service.name for service in services(Ports(PORT_BASE), 1)),
    *(BROKER, *(service.name for service in demo_edges(Ports(PORT_BASE), STACK))),
)
"""Of all logs."""
POLL_S = 0.2
UP_TIMEOUT_S = 180.0  # each process has 30, and a first start creates the database
DOWN_TIMEOUT_S = 120.0  # each process has 20


def up_in_background(home: StackDir, devices: int, ports: Ports) -> State:
    """Start a supervisor in the background and wait until all is ready; raises PermanentError with its error.

    Returns the state of the stack.
    """
    with home.lock():
        pass  # raises if one is running
    line = [sys.executable, "-m", "stack", "--home", str(home.folder), "up"]
    line += ["--devices", str(devices), "--port-base", str(ports.base), "--listen", ports.listen]
    home.logs.mkdir(parents=True, exist_ok=True)
    error_file = home.logs / "background.err"
    with error_file.open("wb") as errors:
        process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=CHECKOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + UP_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PermanentError(error_file.read_text(errors="replace").strip().removeprefix("vitalflow dev: "))
        state = home.state()
        if state is not None and state.supervisor.pid == process.pid and state.up:
            return state
        time.sleep(POLL_S)
    raise TransientError(f"the stack is not ready after {UP_TIMEOUT_S:.0f} s; see `vitalflow dev logs supervisor`")


def down(home: StackDir, wipe: bool, emit: Emit) -> None:
    """Stop the stack, or what a killed supervisor left of it; with `wipe` also delete its data."""
    state = home.state()
    ended = False
    supervisor = find(state.supervisor) if state else None
    if state is not None and supervisor is not None:
        send(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        # The lock is released a moment before the process ends, and after "stopped" nothing must be running.
        while home.is_locked() or find(state.supervisor) is not None:
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the stack is still running after {DOWN_TIMEOUT_S:.0f} s; see `vitalflow dev logs supervisor`"
                )
            time.sleep(POLL_S)
        ended = True
    with home.lock():
        ended = stop_orphans(home, emit) or ended
        emit("stopped" if ended else "nothing was running")
        if wipe:
            binaries = find_programs()
            Replacement(home, binaries).discard()
            home.wipe(binaries)
            emit("deleted the stored readings and the passwords; the private Debian is kept")


def lines(home: StackDir, name: str, follow: bool) -> Iterator[str]:
    """Yield the content of a log; with `follow` also what is added, until Ctrl-C."""
    log = home.log(name)
    if name not in NAMES:
        raise PermanentError(f"there is no log {name!r}; expected one of {', '.join(NAMES)}")
    if not log.exists():
        raise PermanentError(f"{name} has no log yet; `vitalflow dev up --detach` starts it")
    with suppress(KeyboardInterrupt):
        while True:
            with log.open(errors="replace") as file:
                inode = os.fstat(file.fileno()).st_ino
                while chunk := file.read(65536):
                    yield chunk
                if not follow:
                    return
                # A new start creates a new file with the same name, and a log that is too large is truncated.
                while not log.exists() or (
                    log.stat().st_ino == inode and log.stat().st_size >= os.lseek(file.fileno(), 0, os.SEEK_CUR)
                ):
                    time.sleep(POLL_S)
                    while chunk := file.read(65536):
                        yield chunk
