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

from identity.authority import Authority
from stack import processes, shell
from stack.home import Home, Running, Secrets, State
from stack.members import doors_of
from stack.plan import MIGRATE, Planned, Ports, environment, services
from stack.programs import CHECKOUT, Programs, need_root
from stack.servers import (
    OWNER,
    START_TIMEOUT,
    STOP_TIMEOUT,
    BrokerServer,
    DatabaseServer,
    Server,
    Service,
    ensure_database,
    raise_file_limit,
    taken,
    told,
)
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError, VitalFlowError

TICK = 0.1  # seconds between two looks at the processes

Say = Callable[[str], None]


RESTART_S = (0.5, 10.0)  # first and longest pause before a process that ended is started again
STEADY_S = 30.0  # a process that ran at least this long is restarted after the first pause again


class Stopped(Exception):
    """Somebody asked for the end before the start was over."""


class Member:
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

    def alive(self) -> bool:
        """Whether its process is there."""
        return self.server.process is not None and self.server.process.poll() is None

    def running(self) -> Running:
        """As the state file has it."""
        pid = self.server.pid if self.alive() else 0
        return Running(self.name, pid, processes.birth(pid), self.since, self.port, self.restarts, self.serves)


class Supervisor:
    """A stack in one folder. `run` is its whole life; `up` is set once everything serves."""

    def __init__(self, home: Home, programs: Programs, ports: Ports, devices: int, say: Say) -> None:
        self.home = home
        self.programs = programs
        self.ports = ports
        self.devices = devices
        self.up = Event()
        self._say = say
        self._members: list[Member] = []
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
        if self.programs.root is not None:
            need_root()
        raise_file_limit()
        with self.home.lock():
            self.home.begin_logs()
            sweep(self.home, self.say)
            try:
                began = time.monotonic()
                self._start(stop)
                self.say(f"everything is up after {time.monotonic() - began:.1f} s")
                self.up.set()
                self._keep()
                while not stop.wait(TICK):
                    self._watch()
            except Stopped:
                pass
            finally:
                self._stop()

    def say(self, sentence: str) -> None:
        """Into the log, and to whoever listens."""
        with self.home.log("supervisor").open("a") as log:
            log.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {sentence}\n")
        self._say(sentence)

    def _start(self, stop: Event) -> None:
        for port in self.ports.all:
            if taken(port):
                raise PermanentError(f"port {port} is taken by another program; choose others with --port-base")
        secrets = self.home.make_secrets()
        shell.install(self.home, self.programs)
        shell.write_options(self.home, self.ports, secrets)
        name = self.home.data
        doors = doors_of(self.home, self.ports, secrets, self.devices, os.environ, self.say)
        broker = BrokerServer(self.programs, name, self.ports.broker, self.home.log("broker"), doors)
        self._guarded.append(broker)
        self._bring_up(Member("broker", broker, self.ports.broker), stop)
        planned = services(self.ports, self.devices)
        for service in planned:
            if not service.stores:
                self._bring_up(self._member(service, secrets), stop)
        began = time.monotonic()
        log, authority = self.home.log("database"), Authority(self.home.identity)
        database = DatabaseServer(self.programs, name, self.ports.database, log, secrets.owner, authority)
        self._guarded.append(database)
        self._bring_up(Member("database", database, self.ports.database), stop, began)
        ensure_database(database.url("postgres"), OWNER)
        self._migrate(environment(os.environ, self.ports, secrets, self.home, MIGRATE), stop)
        for service in planned:
            if service.stores:
                self._bring_up(self._member(service, secrets), stop)

    def _member(self, service: Planned, secrets: Secrets) -> Member:
        environ = environment(os.environ, self.ports, secrets, self.home, service)
        what = f"python -m {service.arguments[0]}"
        server = Service(what, service.line, self.home.log(service.name), environ, service.port, service.sign)
        return Member(service.name, server, service.port)

    def _bring_up(self, member: Member, stop: Event, began: float | None = None) -> None:
        began = time.monotonic() if began is None else began
        self._members.append(member)
        member.launch()
        self._keep()
        deadline = time.monotonic() + START_TIMEOUT
        while not member.server.serves():
            if stop.wait(TICK / 2):
                raise Stopped
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{member.name} does not serve after {START_TIMEOUT:.0f} s:\n{member.server.tail()}"
                )
        member.serves = True
        where = "runs" if member.port is None else f"serves on port {member.port}"
        self.say(step(member.name, where, time.monotonic() - began))

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
            raise PermanentError(f"vitalflow db migrate ended with {told(migrating.returncode)}:\n{tail(log)}")
        self.say(step(MIGRATE.name, "the schema is in place", time.monotonic() - began))

    def _watch(self) -> None:
        """One look at every process."""
        for member in self._members:
            if member.again_at is not None:
                if time.monotonic() >= member.again_at:
                    member.restarts += 1
                    member.launch()
            elif member.server.process is not None and (code := member.server.process.poll()) is not None:
                pause = member.backoff.next(time.time() - member.since)
                member.again_at = time.monotonic() + pause
                member.serves = False
                self.say(f"{member.name} died with {told(code)}; starting it again in {pause:.1f} s")
            elif not member.serves:
                with suppress(PermanentError):  # it just died; the next look sees that
                    member.serves = member.server.serves()
                if member.serves:
                    self.say(f"{member.name} is back")
        self._freshen()
        self._keep()

    def _freshen(self) -> None:
        """Now and then, and soon after a certificate was revoked: renew what is due, and tell broker and database."""
        for server in self._guarded:
            if not server.is_stale(time.monotonic()):
                continue
            try:
                if server.freshen():
                    self.say(f"{server.name} has new certificates or a new list of the revoked")
            except VitalFlowError as error:
                self.say(f"{server.name} keeps its old certificates: {error}")

    def _stop(self) -> None:
        self.up.clear()
        if self._members:
            self.say("stopping")
        for member in reversed(self._members):
            began = time.monotonic()
            if member.alive():
                member.server.stop()
                self.say(step(member.name, "stopped", time.monotonic() - began))
        self.home.keep_state(None)

    def _keep(self) -> None:
        running = [member.running() for member in self._members]
        state = State(self._me, self.ports.base, self.devices, self.up.is_set(), running)
        if state != self._kept:
            self.home.keep_state(state)
            self._kept = state


def step(name: str, what: str, seconds: float) -> str:
    """One step of starting or stopping, as a line of a column."""
    return f"{name:<10} {what:<32} {seconds:5.1f} s"


def tail(log: Path, lines: int = 8) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def sweep(home: Home, say: Say) -> bool:
    """End what a supervisor that was killed left running; True where there was something."""
    state = home.state()
    found = False
    for running in reversed(state.processes if state else []):
        # PostgreSQL's own word for "now, but in order" is SIGINT; SIGTERM would wait for its clients.
        number = signal.SIGINT if running.name == "database" else signal.SIGTERM
        if processes.end(running, number, STOP_TIMEOUT):
            say(f"{running.name} was left running by a supervisor that was killed; stopped it")
            found = True
    home.keep_state(None)
    return found
