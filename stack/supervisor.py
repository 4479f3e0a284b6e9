"""Start the processes of a stack, restart those that end, and stop all of them.

`up` runs the supervisor in the foreground or the background, `demo` in a thread. It reports its steps through `emit`
and writes the state that `status`, `env` and `down` read.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Event
from typing import Protocol

from edges.hl7.simulate import site_file
from identity.authority import CertificateAuthority, Emit
from stack import log_files, processes, shell
from stack.binaries import CHECKOUT, ServerBinaries, need_root
from stack.demo_edges import BEDS, demo_edges, write_files
from stack.demo_edges import BROKER as FOREIGN_BROKER
from stack.lan import LOOPBACK, check_listen_address
from stack.plan import (
    MIGRATE,
    PORT_BASE,
    Ports,
    ServiceSpec,
    broker_access,
    broker_listeners,
    devices_url,
    environment,
    hl7_beds,
    services,
)
from stack.replacement import Replacement
from stack.servers import (
    OWNER,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    BrokerServer,
    DatabaseServer,
    Server,
    Service,
    describe_exit,
    ensure_database,
    port_in_use,
    tail,
)
from stack.stack_dir import SITE_FILE, Running, Secrets, StackDir, State
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError, VitalFlowError
from vitals.files import write_atomic
from vitals.program import raise_open_files_limit

TICK_S = 0.1  # between two checks of the processes

RESTART_S = (0.5, 10.0)  # shortest and longest pause before a process is restarted
STEADY_S = 30.0  # a process that ran at least this long is restarted after the shortest pause


class HasCertificate(Protocol):
    """A server whose certificate is renewed while it runs."""

    name: str

    def renewal_check_due(self, now: float) -> bool:
        """Return whether to call `rotate_certificates`; `now` is monotonic."""

    def rotate_certificates(self) -> bool:
        """Rotate due certificates. Returns True if anything changed."""


class Stopped(Exception):
    """The stop was requested during the start."""


class ManagedProcess:
    """A process of the stack with the state of its restarts."""

    def __init__(self, name: str, server: Server, port: int | None) -> None:
        self.name = name
        self.server = server
        self.port = port
        self.restarts = 0
        self.backoff = Backoff(*RESTART_S, STEADY_S)
        self.since = 0.0  # unix seconds
        self.serves = False
        self.restart_at: float | None = None  # monotonic; None while it runs

    def launch(self) -> None:
        """Start it without waiting."""
        self.server.launch()
        self.since = time.time()
        self.serves = False
        self.restart_at = None

    @property
    def where(self) -> str:
        """What it does once it is ready."""
        return "running" if self.port is None else f"ready on port {self.port}"

    def snapshot(self) -> Running:
        """Return its entry for the state file."""
        pid = self.server.pid if self.server.is_alive() else 0
        return Running(self.name, pid, processes.creation_time(pid), self.since, self.port, self.restarts, self.serves)


class Supervisor:
    """The supervisor of the stack in one folder.

    up           is set once every process is ready, except those of the demo's edges, which start then
    with_edges   whether to run the edges of the demo
    """

    def __init__(
        self,
        home: StackDir,
        binaries: ServerBinaries,
        ports: Ports,
        devices: int,
        emit: Emit,
        *,
        with_edges: bool = False,
    ) -> None:
        self.home = home
        self.binaries = binaries
        self.ports = ports
        self.devices = devices
        self.up = Event()
        self._with_edges = with_edges
        self._emit = emit
        self._processes: list[ManagedProcess] = []
        self._written: State | None = None
        self._devices_url: str | None = None
        self._with_certificates: list[HasCertificate] = []
        self._self = Running("supervisor", os.getpid(), processes.creation_time(os.getpid()), time.time(), serves=True)

    def run(self, stop: Event) -> None:
        """Run the stack until `stop` is set.

        1. Take the lock of the folder; stop processes that a killed supervisor left running.
        2. Start the broker, the services that need no database, the database, migrate, then the other services; each
           once the one before is ready.
        3. Restart each process that ends, after a pause that grows.
        4. Stop all processes in reverse order, also after an error.
        """
        if self.binaries.root is not None:
            need_root()
        raise_open_files_limit()
        with self.home.lock():
            self.home.rotate_logs()
            stop_orphans(self.home, self.emit)
            if Replacement(self.home, self.binaries).finish():
                self.emit("completed a restore that was interrupted")
            try:
                began = time.monotonic()
                self._start(stop)
                self.emit(f"everything is up after {time.monotonic() - began:.1f} s")
                if self._devices_url is not None:
                    self.emit(shell.devices_hint(self._devices_url, self.ports))
                self.up.set()
                if self._with_edges:
                    self._launch_edges()
                self._write_state()
                while not stop.wait(TICK_S):
                    self._watch()
            except Stopped:
                pass
            finally:
                self._stop()

    def emit(self, sentence: str) -> None:
        """Write a line to the log and to the caller."""
        with self.home.log("supervisor").open("a") as log:
            log.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {sentence}\n")
        self._emit(sentence)

    def _start(self, stop: Event) -> None:
        check_listen_address(self.ports.listen)
        edges = (self.ports.demo_webhook, self.ports.demo_broker) if self._with_edges else ()
        bound = [(port, LOOPBACK) for port in (*self.ports.all, *edges)]
        bound += [(port, self.ports.listen) for port in self.ports.on_other_machines]
        for port, address in bound:
            if port_in_use(port, address):
                raise PermanentError(
                    f"port {port} is in use by another program; choose others: --port-base, "
                    f"or make demo PORT_BASE={PORT_BASE + 10_000}"
                )
        secrets = self.home.make_secrets()
        shell.install(self.home, self.binaries)
        shell.write_options(self.home, self.ports, secrets)
        name = self.home.data
        beds = BEDS.values() if self._with_edges else ()
        listeners = broker_listeners(self.ports, os.environ)
        access = broker_access(self.home, listeners, secrets, self.devices, os.environ, self.emit, beds)
        self._devices_url = devices_url(self.ports, os.environ)
        broker = BrokerServer(self.binaries, name, self.ports.broker, self.home.log("broker"), access)
        self._with_certificates.append(broker)
        self._bring_up(ManagedProcess("broker", broker, self.ports.broker), stop)
        site = self.home.folder / SITE_FILE
        if not site.exists():
            write_atomic(site, site_file(hl7_beds()).encode(), mode=0o644)
        planned = services(self.ports, self.devices, self.home.folder)
        for service in planned:
            if not service.needs_database:
                self._bring_up(self._managed_process(service, secrets), stop)
        began = time.monotonic()
        log, authority = self.home.log("database"), CertificateAuthority(self.home.identity)
        database = DatabaseServer(self.binaries, name, self.ports.database, log, secrets.owner, authority)
        self._with_certificates.append(database)
        self._bring_up(ManagedProcess("database", database, self.ports.database), stop, began)
        ensure_database(database.url("postgres"), OWNER)
        self._migrate(environment(os.environ, self.ports, secrets, self.home, MIGRATE), stop)
        for service in planned:
            if service.needs_database:
                self._bring_up(self._managed_process(service, secrets), stop)

    def _launch_edges(self) -> None:
        """Start the edges of the demo and their senders without waiting; each waits for the others by itself."""
        secrets, port = self.home.make_secrets(), self.ports.demo_broker
        write_files(self.ports, self.home.demo)
        broker = BrokerServer(self.binaries, f"{self.home.data}/{FOREIGN_BROKER}", port, self.home.log(FOREIGN_BROKER))
        managed = [ManagedProcess(FOREIGN_BROKER, broker, port)]
        managed += [self._managed_process(one, secrets) for one in demo_edges(self.ports, self.home.demo)]
        for one in managed:
            self._processes.append(one)
            one.launch()

    def _managed_process(self, service: ServiceSpec, secrets: Secrets) -> ManagedProcess:
        environ = environment(os.environ, self.ports, secrets, self.home, service)
        server = Service(
            f"vitalflow {service.arguments[0]}",
            service.line,
            self.home.log(service.name),
            environ,
            service.port,
            service.ready_metric,
        )
        return ManagedProcess(service.name, server, service.port)

    def _bring_up(self, managed: ManagedProcess, stop: Event, began: float | None = None) -> None:
        began = time.monotonic() if began is None else began
        self._processes.append(managed)
        managed.launch()
        self._wait_until_ready(managed, stop, began)

    def _wait_until_ready(self, managed: ManagedProcess, stop: Event, began: float) -> None:
        self._write_state()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not managed.server.is_ready():
            if stop.wait(TICK_S / 2):
                raise Stopped
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{managed.name} is not ready after {START_TIMEOUT_S:.0f} s:\n{managed.server.tail()}"
                )
        managed.serves = True
        self.emit(step(managed.name, managed.where, time.monotonic() - began))

    def _migrate(self, environ: dict[str, str], stop: Event) -> None:
        began = time.monotonic()
        log = self.home.log(MIGRATE.name)
        with log.open("ab") as out:
            migrating = subprocess.Popen(MIGRATE.line, stdout=out, stderr=out, env=environ, cwd=CHECKOUT)
        while migrating.poll() is None:
            if stop.wait(TICK_S / 2):
                migrating.terminate()
                migrating.wait()
                raise Stopped
        if migrating.returncode != 0:
            raise PermanentError(f"vitalflow db migrate ended with {describe_exit(migrating.returncode)}:\n{tail(log)}")
        self.emit(step(MIGRATE.name, "the schema is up to date", time.monotonic() - began))

    def _watched(self) -> Iterable[ManagedProcess]:
        """Return the processes that are restarted when they end."""
        return self._processes

    def _watch(self) -> None:
        """Check every process once; restart what has ended and is due."""
        for managed in self._watched():
            if managed.restart_at is not None:
                if time.monotonic() >= managed.restart_at:
                    managed.restarts += 1
                    managed.launch()
            elif managed.server.process is not None and (code := managed.server.process.poll()) is not None:
                pause = managed.backoff.next(time.time() - managed.since)
                managed.restart_at = time.monotonic() + pause
                managed.serves = False
                self.emit(f"{managed.name} ended with {describe_exit(code)}; restarting it in {pause:.1f} s")
            elif not managed.serves:
                with suppress(PermanentError):  # it has just ended; the next check restarts it
                    managed.serves = managed.server.is_ready()
                if managed.serves and managed.restarts:
                    self.emit(f"{managed.name} is back")
                elif managed.serves:
                    self.emit(step(managed.name, managed.where, time.time() - managed.since))
        self._rotate_certificates()
        log_files.limit(self.home.logs)
        self._write_state()

    def _rotate_certificates(self) -> None:
        """Rotate due certificates of broker and database, every few minutes and after a revocation."""
        for server in self._with_certificates:
            if not server.renewal_check_due(time.monotonic()):
                continue
            try:
                if server.rotate_certificates():
                    self.emit(f"{server.name} reloaded certificates or the revocation list")
            except VitalFlowError as error:
                self.emit(f"{server.name} keeps its old certificates: {error}")

    def _stop(self) -> None:
        self.up.clear()
        if self._processes:
            self.emit("stopping")
        for managed in reversed(self._processes):
            began = time.monotonic()
            if managed.server.is_alive():
                managed.server.stop()
                self.emit(step(managed.name, "stopped", time.monotonic() - began))
        self.home.write_state(None)

    def _write_state(self) -> None:
        running = [managed.snapshot() for managed in self._processes]
        state = State(self._self, self.ports.base, self.devices, self.up.is_set(), running, self._devices_url)
        if state != self._written:
            self.home.write_state(state)
            self._written = state


def step(name: str, what: str, seconds: float) -> str:
    """Return a line for one step of starting or stopping."""
    return f"{name:<10} {what:<32} {seconds:5.1f} s"


def stop_orphans(home: StackDir, emit: Emit) -> bool:
    """Stop processes that a killed supervisor left running; return whether there were any."""
    state = home.state()
    found = False
    for running in reversed(state.processes if state else []):
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for its clients.
        number = signal.SIGINT if running.name == "database" else signal.SIGTERM
        if processes.end(running, number, STOP_TIMEOUT_S):
            emit(f"stopped {running.name}, which a killed supervisor had left running")
            found = True
    home.write_state(None)
    return found


@contextmanager
def temporary_database(home: StackDir, database: DatabaseServer) -> Iterator[None]:
    """Run a database for a backup or restore. If this process is killed, `stop_orphans` stops the database."""
    this = Running("supervisor", os.getpid(), processes.creation_time(os.getpid()), time.time())
    database.launch()
    try:
        pid = database.pid
        running = Running("database", pid, processes.creation_time(pid), time.time(), database.port)
        home.write_state(State(this, PORT_BASE, 0, False, [running]))
        database.wait_until_ready()
        yield
    finally:
        database.stop()
        home.write_state(None)
