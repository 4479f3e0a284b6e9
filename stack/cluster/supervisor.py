"""Start the processes of a cluster, restart those that end, and kill, freeze, thaw and start hosts on command."""

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event
from types import MappingProxyType
from typing import Any

import psutil
import psycopg

from identity.authority import Emit
from identity.bridge import BridgeLogin, mirror_section
from identity.policy import Kind, User
from stack import processes, shell
from stack.binaries import ServerBinaries
from stack.broker_access import Listeners
from stack.cluster import conditions
from stack.cluster.conditions import ACTIVE, CUT, PRESENT, WANTED, Condition
from stack.cluster.networks import Networks
from stack.cluster.plan import (
    FULL_HOSTS,
    HOSTS,
    PROCESSES,
    ClusterPorts,
    bedside,
    host_services,
    mirror_user,
    other_host,
    process_name,
)
from stack.cluster.servers import HAPROXY, PATRONI, EtcdServer, HAProxyServer, PatroniServer, rest
from stack.metrics import counter
from stack.plan import MIGRATE, Ports, ServiceSpec, addresses, broker_access, environment
from stack.servers import OWNER, BrokerServer, Server, Service, ensure_database, port_in_use
from stack.stack_dir import Secrets, StackDir
from stack.supervisor import TICK_S, ManagedProcess, Stopped, Supervisor, step
from vitals.errors import PermanentError, TransientError
from vitals.settings import PREFIX

PRIMARY_TIMEOUT_S = 90.0
"""At a first start: initdb, an election and the start of PostgreSQL."""
ACTIVE_TIMEOUT_S = 60.0
HIDDEN = {f"{PREFIX}{name}" for name in ("BROKER_HOSTNAMES", "MQTT_PLAINTEXT_PORT", "MQTT_WEBSOCKETS_PORT")}
"""Settings of the caller that name one broker's ports and names."""


class ClusterSupervisor(Supervisor):
    """The supervisor of all hosts of a cluster in one folder."""

    def __init__(
        self,
        home: StackDir,
        binaries: ServerBinaries,
        ports: ClusterPorts,
        devices: int,
        emit: Emit,
        environ: Mapping[str, str] = os.environ,
        more_users: Sequence[User] = (),
        *,
        with_networks: bool = False,
        links: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Prepare; nothing is started.

        environ         the caller's settings
        more_users      of both brokers
        with_networks   whether each host has a network of its own, so that it can be cut off; needs root
        links           the port by which a process reaches the broker, if it is not the common address
        """
        super().__init__(home, binaries, ports, devices, emit)
        self._cluster = ports
        self._environ = {name: value for name, value in environ.items() if name not in HIDDEN}
        self._more_users = more_users
        self._links = links
        self._networks = Networks(ports, os.getpid()) if with_networks else None
        running = (process for host in HOSTS for process in PROCESSES[host])
        self._conditions: conditions.Conditions = dict.fromkeys(running, Condition.RUNNING)

    def _start(self, stop: Event) -> None:
        for port in self._cluster.every:
            if port_in_use(port):
                raise PermanentError(f"port {port} is in use by another program; choose others with --port-base")
        for name in (WANTED, PRESENT):
            conditions.write(self.home.folder, name, self._conditions)
        if self._networks is not None:
            self._networks.create()
        secrets = self.home.make_secrets(map(mirror_user, FULL_HOSTS))
        shell.install(self.home, self.binaries)
        shell.write_options(self.home, self._cluster, secrets)
        for host in HOSTS:
            server = EtcdServer(self.home, self.binaries, self._cluster, host)
            self._bring_up(self._managed(host, server.name, server, self._cluster.of(host).etcd), stop)
        for host in FULL_HOSTS:
            self._bring_up(self._broker(host, secrets), stop)
        proxy = HAProxyServer(self.home, self.binaries, self._cluster, secrets)
        self._bring_up(ManagedProcess(HAPROXY, proxy, self._cluster.broker), stop)
        began = time.monotonic()
        patronis = [self._patroni(host, secrets) for host in FULL_HOSTS]
        for managed in patronis:
            managed.launch()
        self._wait_for_primary(patronis, secrets, stop)
        self.emit(step("primary", "ready behind HAProxy", time.monotonic() - began))
        self._migrate(environment(self._environ, self._cluster, secrets, self.home, MIGRATE), stop)
        self._wait_for_standby(stop)
        for managed in patronis:
            if managed.server.is_ready():
                self._wait_until_ready(managed, stop, began)
        for host in FULL_HOSTS:
            ports, began = self._cluster.of(host), time.monotonic()
            more = {
                f"{PREFIX}STATION_CLIENT_ID": process_name("station", host),
                f"{PREFIX}MQTT_STANDBY_URLS": ",".join(
                    f"mqtts://127.0.0.1:{self._cluster.of(one).own_broker}" for one in FULL_HOSTS
                ),
            }
            launched = [self._launch(host, spec, secrets, more) for spec in host_services(ports, host)]
            for managed in launched:
                self._wait_until_ready(managed, stop, began)
            self._wait_for_active(stop)
        for spec in bedside(self._cluster, self.devices):
            self._wait_until_ready(self._launch(None, spec, secrets, {}), stop, time.monotonic())

    def _managed(self, host: str | None, name: str, server: Server, port: int | None) -> ManagedProcess:
        """Return a process that runs in the network of a host; None: of no host."""
        if self._networks is not None and host is not None:
            server.line = [*self._networks.enter(host), *server.line]
        return ManagedProcess(name, server, port)

    def _broker(self, host: str, secrets: Secrets) -> ManagedProcess:
        ports = self._cluster.of(host)
        listeners = Listeners(ports.own_broker, ports.own_certificates)
        mirrors = [User(mirror_user(one), Kind.MIRROR, password=secrets.broker[mirror_user(one)]) for one in FULL_HOSTS]
        user = mirror_user(host)
        login = BridgeLogin(user, "127.0.0.1", self._cluster.mirrored(other_host(host)), secrets.broker[user])
        access = broker_access(self.home, listeners, secrets, self.devices, self._environ, self.emit)
        name = process_name("broker", host)
        server = BrokerServer(
            self.binaries,
            f"{self.home.data}/{host}",
            ports.own_broker,
            self.home.log(name),
            replace(access, users=[*access.users, *mirrors, *self._more_users]),
            bridge=mirror_section(login, access.topics),
        )
        self._with_certificates.append(server)
        return self._managed(host, name, server, ports.own_broker)

    def _patroni(self, host: str, secrets: Secrets) -> ManagedProcess:
        server = PatroniServer(self.home, self.binaries, self._cluster, host, secrets)
        self._with_certificates.append(server)
        managed = self._managed(host, process_name(PATRONI, host), server, self._cluster.of(host).own_database)
        self._processes.append(managed)
        return managed

    def _launch(self, host: str | None, spec: ServiceSpec, secrets: Secrets, more: dict[str, str]) -> ManagedProcess:
        ports: Ports = self._cluster if host is None else self._cluster.of(host)
        environ = environment(self._environ, ports, secrets, self.home, spec) | more
        url = environ[f"{PREFIX}MQTT_URL"]
        environ[f"{PREFIX}MQTT_URL"] = url.replace(f":{ports.broker}", f":{self._links.get(spec.name, ports.broker)}")
        # A standby is ready once its /metrics answers; `_wait_for_active` waits until one of each kind works.
        server = Service(spec.name, spec.line, self.home.log(spec.name), environ, spec.port)
        managed = self._managed(host, spec.name, server, spec.port)
        self._processes.append(managed)
        managed.launch()
        return managed

    def _wait_for_primary(self, patronis: Iterable[ManagedProcess], secrets: Secrets, stop: Event) -> None:
        """Wait until a primary accepts the owner behind HAProxy, and create the database."""
        url = addresses(self._cluster, secrets, self.home)["VITALFLOW_DATABASE_URL"]
        url = (
            url.replace(f"/{OWNER}?", "/postgres?") + "&connect_timeout=2"
        )  # without a primary HAProxy does not answer
        deadline = time.monotonic() + PRIMARY_TIMEOUT_S
        while True:
            try:
                ensure_database(url, OWNER)
                return
            except psycopg.OperationalError as error:
                for managed in patronis:
                    managed.server.is_ready()  # raises if it has ended
                if time.monotonic() > deadline:
                    logs = ", ".join(str(self.home.log(process_name(PATRONI, host))) for host in FULL_HOSTS)
                    raise TransientError(f"no primary after {PRIMARY_TIMEOUT_S:.0f} s ({error}); see {logs}") from None
            if stop.wait(TICK_S):
                raise Stopped

    def _wait_for_standby(self, stop: Event) -> None:
        """Wait until commits wait for the standby, so that the first readings are on both hosts; go on without one."""
        began = time.monotonic()
        while not any(member.get("role") == "sync_standby" for member in self._members()):
            if time.monotonic() - began > PRIMARY_TIMEOUT_S:
                self.emit("no standby is synchronous; `vitalflow cluster status` says what to do")
                return
            if stop.wait(TICK_S):
                raise Stopped
        self.emit(step("standby", "synchronous", time.monotonic() - began))

    def _members(self) -> list[dict[str, Any]]:
        answers = (rest(self._cluster.of(host).patroni, "cluster") for host in FULL_HOSTS)
        return next((answer["members"] for answer in answers if answer), [])

    def _wait_for_active(self, stop: Event) -> None:
        """Wait until an ingest, an alert worker and a station of any host are connected."""
        deadline = time.monotonic() + ACTIVE_TIMEOUT_S
        for service in ("alerts", "ingest", "station"):
            metric = f"vitalflow_{service}_mqtt_connections_total"
            while not any(counter(getattr(self._cluster.of(host), service), metric) for host in FULL_HOSTS):
                if time.monotonic() > deadline:
                    logs = ", ".join(str(self.home.log(process_name(service, host))) for host in FULL_HOSTS)
                    raise TransientError(f"no {service} is connected to the broker; see {logs}")
                if stop.wait(TICK_S):
                    raise Stopped

    def _watched(self) -> Iterable[ManagedProcess]:
        return [
            managed for managed in self._processes if self._conditions.get(managed.name, Condition.RUNNING) in ACTIVE
        ]

    def _watch(self) -> None:
        """Apply the commands that have come, then check the processes that are meant to run."""
        wanted = conditions.read(self.home.folder, WANTED)
        if wanted != self._conditions:
            for condition in Condition:
                self._apply(
                    [name for name in wanted if wanted[name] is condition is not self._conditions[name]], condition
                )
            conditions.write(self.home.folder, PRESENT, self._conditions)
        super()._watch()

    def _apply(self, names: list[str], condition: Condition) -> None:
        """Bring processes into a condition, all of them at once, as when the power of a host fails."""
        managed = [one for one in self._processes if one.name in names]
        if condition is Condition.KILLED:
            for one in managed:
                one.server.signal(signal.SIGKILL)
            for one in managed:
                one.server.kill()
                one.serves = False
        elif condition is Condition.FROZEN:
            _signal_all(managed, signal.SIGSTOP)
        elif condition is Condition.RUNNING:
            _signal_all([one for one in managed if self._conditions[one.name] is Condition.FROZEN], signal.SIGCONT)
            for one in managed:
                if self._conditions[one.name] is Condition.KILLED:
                    one.restarts += 1
                    one.launch()
        self._conditions |= dict.fromkeys(names, condition)
        if names:
            self._cut()
            self.emit(f"{condition}: {', '.join(names)}")

    def _cut(self) -> None:
        """Cut the links of the hosts that are cut off, and join the others."""
        if self._networks is not None:
            cut = {state: {h for h in HOSTS if self._conditions[PROCESSES[h][0]] is state} for state in CUT}
            self._networks.cut(cut[Condition.CUT_OFF], cut[Condition.CUT_FROM_HOSTS])

    def _stop(self) -> None:
        _signal_all(self._processes, signal.SIGCONT)  # a frozen process does not end
        super()._stop()
        if self._networks is not None:
            self._networks.remove()


def _signal_all(managed: Iterable[ManagedProcess], number: signal.Signals) -> None:
    """Send a signal to processes and to all below them, parents first, so that none is started in between."""
    for server in (one.server for one in managed if one.server.is_alive()):
        with suppress(psutil.NoSuchProcess, PermanentError):
            for process in processes.family(server.pid):
                processes.send(process, number)
