"""The cluster that `ha` harms: the supervisor in a thread, devices that keep a record, and a recorder of alerts."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.fault_run import WARDS, recording_fleets
from bench.report import Log
from identity.policy import OPERATOR, Kind, User
from mqtt.endpoint import BrokerEndpoint
from stack.binaries import ServerBinaries, set_up_cluster
from stack.cluster import conditions
from stack.cluster.observation import ClusterSeen
from stack.cluster.observer import observe
from stack.cluster.plan import FULL_HOSTS, ClusterPorts
from stack.cluster.servers import switch_over
from stack.cluster.supervisor import ClusterSupervisor
from stack.cluster.verdicts import judge
from stack.metrics import counters
from stack.plan import addresses, broker_url
from stack.servers import FREE_PORTS, port_in_use
from stack.stack_dir import Secrets, StackDir
from vitals.errors import PermanentError, TransientError
from vitals.settings import PREFIX
from vitals.topics import Topics

UP_TIMEOUT_S = 300.0
HEALTHY_TIMEOUT_S = 120.0


class HaEnvironment:
    """A running cluster, and the devices at it."""

    is_kept = False

    def __init__(
        self, home: StackDir, binaries: ServerBinaries, ports: ClusterPorts, devices: int, passwords: dict[str, str]
    ) -> None:
        known = home.secrets()
        assert known is not None
        self.home, self.binaries, self.ports = home, binaries, ports
        self._secrets: Secrets = known

        def url(ward: str) -> str:
            return f"mqtts://{fleet_user(ward)}:{passwords[ward]}@127.0.0.1:{ports.broker}"

        self.fleets = recording_fleets(devices, url, home.folder, str(home.identity / "ca.crt"))

    def keep(self) -> list[str]:
        """Delete nothing at the end; return the folder of records, logs and passwords, and that of the servers."""
        self.is_kept = True
        return [str(self.home.folder), str(self.binaries.folder(self.home.data))]

    @property
    def operator(self) -> BrokerEndpoint:
        """The broker in use, as the operator."""
        url = broker_url(self.ports, self._secrets, OPERATOR)
        return replace(BrokerEndpoint.parse(url), ca=self.home.identity / "ca.crt")

    @property
    def owner_url(self) -> str:
        """The primary, as the owner."""
        return addresses(self.ports, self._secrets, self.home)["VITALFLOW_DATABASE_URL"] + "&connect_timeout=5"

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """Connect to the primary."""
        return psycopg.connect(self.owner_url, autocommit=True)

    def observe(self) -> ClusterSeen:
        """Return what the cluster is now."""
        return observe(self.home, self.binaries, self.ports, self._secrets, Topics())

    def wait_until_healthy(self) -> ClusterSeen:
        """Wait until each host can fail; raises TransientError with what is wrong."""
        deadline = time.monotonic() + HEALTHY_TIMEOUT_S
        while verdicts := judge(seen := self.observe(), datetime.now(UTC)):
            if time.monotonic() > deadline:
                raise TransientError(f"the cluster is not healthy again: {'; '.join(verdicts)}")
        return seen

    def harm(self, targets: list[str], command: str) -> None:
        """Apply a command of `vitalflow cluster`, or switch the primary over."""
        if command == "switchover":
            switch_over(self.ports, self._secrets)
        else:
            conditions.change(self.home.folder, targets, command)

    def evaluated(self) -> dict[str, float]:
        """Return the readings that each alert worker has evaluated, by host; without those that do not answer."""
        found = {}
        for host in FULL_HOSTS:
            try:
                found[host] = counters(self.ports.of(host).alerts).get("vitalflow_alerts_readings_evaluated_total", 0.0)
            except OSError:
                continue
        return found


def fleet_user(ward: str) -> str:
    """Return the user as which the devices of a ward log in."""
    return f"fleet-{ward}"


@contextmanager
def ha_environment(devices: int, log: Log, *, with_networks: bool) -> Iterator[HaEnvironment]:
    """Start a cluster in a folder of its own on free ports; stop it at the end, and delete it unless `keep` said so."""
    binaries = set_up_cluster(log)
    passwords = {ward: secrets.token_urlsafe(16) for ward in WARDS}
    users = [User(fleet_user(ward), Kind.FLEET, ward, password) for ward, password in passwords.items()]
    environ = os.environ | {f"{PREFIX}ALERTS_RULES": str(Path(__file__).with_name("chaos_rules.toml"))}
    home, ports, stop = StackDir.at(Path(tempfile.mkdtemp(prefix="ha-"))), free_ports(), threading.Event()
    supervisor = ClusterSupervisor(
        home, binaries, ports, 0, lambda _: None, environ, users, with_networks=with_networks
    )
    failed: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(supervisor, stop, failed), name="cluster")
    thread.start()
    is_kept = False
    try:
        log("starting the cluster")
        _wait(supervisor.up.is_set, failed)
        environment = HaEnvironment(home, binaries, ports, devices, passwords)
        try:
            for fleet in environment.fleets:
                fleet.start()
            yield environment
            is_kept = environment.is_kept
        finally:
            for fleet in environment.fleets:
                fleet.kill()
    finally:
        stop.set()
        thread.join()
        if not is_kept:
            home.wipe(binaries)
            shutil.rmtree(home.folder)


def _run(supervisor: ClusterSupervisor, stop: threading.Event, failed: list[BaseException]) -> None:
    try:
        supervisor.run(stop)
    except BaseException as error:
        failed.append(error)


def _wait(ready: Callable[[], bool], failed: list[BaseException]) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while not ready():
        if failed:
            raise failed[0]
        if time.monotonic() > deadline:
            raise PermanentError(f"the cluster is not up after {UP_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def free_ports() -> ClusterPorts:
    """Return the ports of a cluster, all of which are free at the moment."""
    for _ in range(100):
        ports = ClusterPorts(secrets.choice(FREE_PORTS[:-100]))
        if not any(map(port_in_use, ports.every)):
            return ports
    raise TransientError("no free range of ports")
