"""The one process that starts a stack, keeps it alive and ends it.

`up` runs it in the foreground or the background, `demo` in a thread beside its screen. It tells what it does through
`say`, and writes the state that `status`, `env` and `down` read.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event

from identity.authority import CertificateAuthority
from stack import processes, shell
from stack.binaries import CHECKOUT, ServerBinaries, need_root
from stack.members import broker_access_of
from stack.plan import MIGRATE, Ports, ServiceSpec, environment, services
from stack.servers import (
    OWNER,
    START_TIMEOUT,
    STOP_TIMEOUT,
    BrokerServer,
    DatabaseServer,
    Server,
    Service,
    describe_exit,
    ensure_database,
    port_in_use,
    raise_file_limit,
)
from stack.stack_dir import Running, Secrets, StackDir, State
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError, VitalFlowError

TICK = 0.1  # seconds between two looks at the processes

Emit = Callable[[str], None]


RESTART_S = (0.5, 10.0)  # first and longest pause before a process that ended is started again
STEADY_S = 30.0  # a process that ran at least this long is restarted after the first pause again


class Stopped(Exception):
    """Somebody asked for the end before the start was over."""


class ManagedProcess:
    """One process of the stack: its server, and how its restarts went."""

    def __init__(self, name: str, server: Server, port: int | None) -> None:
        self.name = name
        self.server = server
        self.port = port
        self.restarts = 0
        self.backoff = Backoff(*RESTART_S, STEADY_S)
        self.since = 0.0  # unix seconds
        self.serves = False
        self.again_at: float | None = None  # monotonic; None while it runs

    def launch(self) -> None:
        """Start it, without waiting."""
        self.server.launch()
        self.since = time.time()
        self.serves = False
        self.again_at = None

    def is_alive(self) -> bool:
        """Whether its process is there."""
        return self.server.process is not None and self.server.process.poll() is None

    def snapshot(self) -> Running:
        """As the state file has it."""
        pid = self.server.pid if self.is_alive() else 0
        return Running(self.name, pid, processes.birth(pid), self.since, self.port, self.restarts, self.serves)


class Supervisor:
    """A stack in one folder. `run` is its whole life; `up` is set once everything serves."""

    def __init__(self, home: StackDir, binaries: ServerBinaries, ports: Ports, devices: int, emit: Emit) -> None:
        self.home = home
        self.binaries = binaries
        self.ports = ports
        self.devices = devices
        self.up = Event()
        self._emit = emit
        self._processes: list[ManagedProcess] = []
        self._kept: State | None = None
        self._guarded: list[BrokerServer | DatabaseServer] = []
        self._me = Running("supervisor", os.getpid(), processes.birth(os.getpid()), time.time(), serves=True)

    def run(self, stop: Event) -> None:
        """Live until `stop` is set.

        1. Be the only one here; end what a killed predecessor left.
        2. Start the broker, what needs only that, database, migrate, then the rest, each once the one before serves.
        3. Start again whatever dies, after a pause that grows.
        4. End everything, last started first, however it came to that.
        """
        if self.binaries.root is not None:
            need_root()
        raise_file_limit()
        with self.home.lock():
            self.home.rotate_logs()
            stop_orphans(self.home, self.emit)
            try:
                began = time.monotonic()
                self._start(stop)
                self.emit(f"everything is up after {time.monotonic() - began:.1f} s")
                self.up.set()
                self._keep()
                while not stop.wait(TICK):
                    self._watch()
            except Stopped:
                pass
            finally:
                self._stop()

    def emit(self, sentence: str) -> None:
        """Into the log, and to whoever listens."""
        with self.home.log("supervisor").open("a") as log:
            log.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {sentence}\n")
        self._emit(sentence)

    def _start(self, stop: Event) -> None:
        for port in self.ports.all:
            if port_in_use(port):
                raise PermanentError(f"port {port} is taken by another program; choose others with --port-base")
        secrets = self.home.make_secrets()
        shell.install(self.home, self.binaries)
        shell.write_options(self.home, self.ports, secrets)
        name = self.home.data
        access = broker_access_of(self.home, self.ports, secrets, self.devices, os.environ, self.emit)
        broker = BrokerServer(self.binaries, name, self.ports.broker, self.home.log("broker"), access)
        self._guarded.append(broker)
        self._bring_up(ManagedProcess("broker", broker, self.ports.broker), stop)
        planned = services(self.ports, self.devices)
        for service in planned:
            if not service.stores:
                self._bring_up(self._managed_process(service, secrets), stop)
        began = time.monotonic()
        log, authority = self.home.log("database"), CertificateAuthority(self.home.identity)
        database = DatabaseServer(self.binaries, name, self.ports.database, log, secrets.owner, authority)
        self._guarded.append(database)
        self._bring_up(ManagedProcess("database", database, self.ports.database), stop, began)
        ensure_database(database.url("postgres"), OWNER)
        self._migrate(environment(os.environ, self.ports, secrets, self.home, MIGRATE), stop)
        for service in planned:
            if service.stores:
                self._bring_up(self._managed_process(service, secrets), stop)

    def _managed_process(self, service: ServiceSpec, secrets: Secrets) -> ManagedProcess:
        environ = environment(os.environ, self.ports, secrets, self.home, service)
        what = f"python -m {service.arguments[0]}"
        server = Service(what, service.line, self.home.log(service.name), environ, service.port, service.ready_metric)
        return ManagedProcess(service.name, server, service.port)

    def _bring_up(self, managed: ManagedProcess, stop: Event, began: float | None = None) -> None:
        began = time.monotonic() if began is None else began
        self._processes.append(managed)
        managed.launch()
        self._keep()
        deadline = time.monotonic() + START_TIMEOUT
        while not managed.server.is_ready():
            if stop.wait(TICK / 2):
                raise Stopped
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{managed.name} does not serve after {START_TIMEOUT:.0f} s:\n{managed.server.tail()}"
                )
        managed.serves = True
        where = "runs" if managed.port is None else f"serves on port {managed.port}"
        self.emit(step(managed.name, where, time.monotonic() - began))

    def _migrate(self, environ: dict[str, str], stop: Event) -> None:
        began = time.monotonic()
        log = self.home.log(MIGRATE.name)
        with log.open("ab") as out:
            migrating = subprocess.Popen(MIGRATE.line, stdout=out, stderr=out, env=environ, cwd=CHECKOUT)
        while migrating.poll() is None:
            if stop.wait(TICK / 2):
                migrating.terminate()
                migrating.wait()
                raise Stopped
        if migrating.returncode != 0:
            raise PermanentError(f"vitalflow db migrate ended with {describe_exit(migrating.returncode)}:\n{tail(log)}")
        self.emit(step(MIGRATE.name, "the schema is in place", time.monotonic() - began))

    def _watch(self) -> None:
        """One look at every process."""
        for managed in self._processes:
            if managed.again_at is not None:
                if time.monotonic() >= managed.again_at:
                    managed.restarts += 1
                    managed.launch()
            elif managed.server.process is not None and (code := managed.server.process.poll()) is not None:
                pause = managed.backoff.next(time.time() - managed.since)
                managed.again_at = time.monotonic() + pause
                managed.serves = False
                self.emit(f"{managed.name} died with {describe_exit(code)}; starting it again in {pause:.1f} s")
            elif not managed.serves:
                with suppress(PermanentError):  # it just died; the next look sees that
                    managed.serves = managed.server.is_ready()
                if managed.serves:
                    self.emit(f"{managed.name} is back")
        self._rotate_certificates()
        self._keep()

    def _rotate_certificates(self) -> None:
        """Now and then, and soon after a certificate was revoked: renew what is due, and tell broker and database."""
        for server in self._guarded:
            if not server.renewal_check_due(time.monotonic()):
                continue
            try:
                if server.rotate_certificates():
                    self.emit(f"{server.name} has new certificates or a new list of the revoked")
            except VitalFlowError as error:
                self.emit(f"{server.name} keeps its old certificates: {error}")

    def _stop(self) -> None:
        self.up.clear()
        if self._processes:
            self.emit("stopping")
        for managed in reversed(self._processes):
            began = time.monotonic()
            if managed.is_alive():
                managed.server.stop()
                self.emit(step(managed.name, "stopped", time.monotonic() - began))
        self.home.write_state(None)

    def _keep(self) -> None:
        running = [managed.snapshot() for managed in self._processes]
        state = State(self._me, self.ports.base, self.devices, self.up.is_set(), running)
        if state != self._kept:
            self.home.write_state(state)
            self._kept = state


def step(name: str, what: str, seconds: float) -> str:
    """One step of starting or stopping, as a line of a column."""
    return f"{name:<10} {what:<32} {seconds:5.1f} s"


def tail(log: Path, lines: int = 8) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def stop_orphans(home: StackDir, emit: Emit) -> bool:
    """End what a supervisor that was killed left running; True where there was something."""
    state = home.state()
    found = False
    for running in reversed(state.processes if state else []):
        # PostgreSQL's own word for "now, but in order" is SIGINT; SIGTERM would wait for its clients.
        number = signal.SIGINT if running.name == "database" else signal.SIGTERM
        if processes.end(running, number, STOP_TIMEOUT):
            emit(f"{running.name} was left running by a supervisor that was killed; stopped it")
            found = True
    home.write_state(None)
    return found
