"""Telling a supervisor in another process what to do: start in the background, end. Beside it, following its logs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from stack.binaries import CHECKOUT
from stack.binaries import find as find_programs
from stack.plan import NAMES
from stack.processes import find, send
from stack.stack_dir import StackDir
from stack.supervisor import Emit, stop_orphans
from vitals.errors import PermanentError, TransientError

LOOK = 0.2  # seconds between two looks
UP_TIMEOUT = 180.0  # seconds; each process has 30, and a first start makes the database besides
DOWN_TIMEOUT = 120.0  # seconds; each process has 20


def up_in_background(home: StackDir, devices: int, port_base: int) -> None:
    """Start a supervisor that outlives us and return once everything serves; raises PermanentError with its own words."""
    with home.lock():
        pass  # raises where one runs
    line = [sys.executable, "-m", "stack", "--home", str(home.folder), "up"]
    line += ["--devices", str(devices), "--port-base", str(port_base)]
    home.log("").parent.mkdir(parents=True, exist_ok=True)
    told = home.folder / "log" / "background.err"
    with told.open("wb") as errors:
        process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=CHECKOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + UP_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PermanentError(told.read_text(errors="replace").strip().removeprefix("vitalflow dev: "))
        state = home.state()
        if state is not None and state.supervisor.pid == process.pid and state.up:
            return
        time.sleep(LOOK)
    raise TransientError(f"the stack is not up after {UP_TIMEOUT:.0f} s; see `vitalflow dev logs supervisor`")


def down(home: StackDir, wipe: bool, emit: Emit) -> None:
    """End the stack, or what is left of one; with `wipe` also delete its data."""
    state = home.state()
    ended = False
    supervisor = find(state.supervisor) if state else None
    if state is not None and supervisor is not None:
        send(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT
        # It gives up the lock a moment before its process is gone, and "stopped" means that nothing runs.
        while home.is_locked() or find(state.supervisor) is not None:
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the stack still runs after {DOWN_TIMEOUT:.0f} s; see `vitalflow dev logs supervisor`"
                )
            time.sleep(LOOK)
        ended = True
    with home.lock():
        ended = stop_orphans(home, emit) or ended
        emit("stopped" if ended else "nothing was running")
        if wipe:
            home.wipe(find_programs())
            emit("deleted the stored readings and the passwords; the private Debian stays for the next start")


def lines(home: StackDir, name: str, follow: bool) -> Iterator[str]:
    """A log, and with `follow` what is still to come, until Ctrl-C."""
    log = home.log(name)
    if name not in NAMES:
        raise PermanentError(f"there is no log called {name!r}; there are {', '.join(NAMES)}")
    if not log.exists():
        raise PermanentError(f"{name} has no log yet; `vitalflow dev up --detach` starts it")
    with suppress(KeyboardInterrupt):
        while True:
            with log.open(errors="replace") as file:
                file_is = os.fstat(file.fileno()).st_ino
                while chunk := file.read(65536):
                    yield chunk
                if not follow:
                    return
                # A new start begins a new file under the same name.
                while not log.exists() or log.stat().st_ino == file_is:
                    time.sleep(LOOK)
                    while chunk := file.read(65536):
                        yield chunk
