"""The cluster that `ha` harms: the supervisor in a thread, devices that keep a record, and a recorder of alerts."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.fault_run import WARDS, recording_fleets
from bench.ha_faults import Fault
from bench.ha_parts import SHARE_GROUP, EdgeWard, SecondIngest, bridge_user, second_ingest_user
from bench.proxy import Proxy
from bench.report import Log
from identity.policy import OPERATOR, Kind, User
from mqtt.endpoint import BrokerEndpoint
from stack.binaries import ServerBinaries, set_up_cluster
from stack.cluster import conditions
from stack.cluster.observation import ClusterSeen
from stack.cluster.observer import observe
from stack.cluster.plan import FULL_HOSTS, ClusterPorts, process_name
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
RULES = Path(__file__).with_name("chaos_rules.toml")
LINK_PORT = 15  # of the ports that a host reaches at this machine; a cluster uses those before


class HaEnvironment:
    """A running cluster, and the devices at it."""

    is_kept = False

    def __init__(
        self,
        home: StackDir,
        binaries: ServerBinaries,
        ports: ClusterPorts,
        devices: int,
        passwords: dict[str, str],
        links: Mapping[str, Proxy],
        bridge_password: str | None,
        ingest_password: str | None,
    ) -> None:
        """Prepare the devices, and what has a password: the ward with a broker of its own, and a second ingest.

        links   what a process reaches the broker by, for those that have one
        """
        known = home.secrets()
        assert known is not None
        self.home, self.binaries, self.ports = home, binaries, ports
        self._secrets: Secrets = known

        def url(ward: str) -> str:
            return f"mqtts://{fleet_user(ward)}:{passwords[ward]}@127.0.0.1:{ports.broker}"

        self.fleets = recording_fleets(devices, url, home.folder, str(home.identity / "ca.crt"))
        self.edge: EdgeWard | None = None
        if bridge_password is not None:
            self.edge = EdgeWard(home, binaries, ports.broker, known, bridge_password, RULES)
            self.fleets.append(self.edge.fleet)
        self.second = None if ingest_password is None else SecondIngest(home, ports, known, ingest_password)
        self._links = links

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

    @property
    def ingest_ports(self) -> list[int]:
        """The ports of the metrics of all ingests."""
        second = [] if self.second is None else [self.second.process.port or 0]
        return [*(self.ports.of(host).ingest for host in FULL_HOSTS), *second]

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
        """Apply a command of `vitalflow cluster`, or what a fault alone does."""
        own: dict[str, Callable[[], None]] = {"switchover": lambda: switch_over(self.ports, self._secrets)}
        if link := self._links.get(targets[0]):
            own |= {"stall": link.stall, "flow": link.heal}
        if edge := self.edge:
            own |= {"leave-centre": edge.link.cut, "reach-centre": edge.link.heal}
            own |= {"kill-edge": edge.broker.kill, "wipe-edge": edge.lose_broker, "start-edge": edge.broker.start}
        if second := self.second:
            own |= {"kill-second": second.process.kill, "drain": second.drain}
        own.get(command, lambda: conditions.change(self.home.folder, targets, command))()

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
def ha_environment(devices: int, log: Log, faults: Collection[Fault]) -> Iterator[HaEnvironment]:
    """Start a cluster with what these faults need, in a folder of its own on free ports.

    It is stopped at the end, and deleted unless `keep` said so.
    """
    binaries = set_up_cluster(log)
    passwords = {ward: secrets.token_urlsafe(16) for ward in WARDS}
    users = [User(fleet_user(ward), Kind.FLEET, ward, password) for ward, password in passwords.items()]
    environ = os.environ | {f"{PREFIX}ALERTS_RULES": str(RULES)}
    bridge_password = ingest_password = None
    if any(fault.needs_group for fault in faults):
        ingest_password = secrets.token_urlsafe(16)
        users.append(second_ingest_user(ingest_password))
        environ[f"{PREFIX}INGEST_SHARE_GROUP"] = SHARE_GROUP
    if any(fault.at_edge for fault in faults):
        bridge_password = secrets.token_urlsafe(16)
        users.append(bridge_user(bridge_password))
        environ[f"{PREFIX}ALERTS_WARDS"] = ",".join(WARDS)
    home, ports, stop = StackDir.at(Path(tempfile.mkdtemp(prefix="ha-"))), free_ports(), threading.Event()
    links = worker_links(ports) if any(fault.strike == "stall" for fault in faults) else {}
    supervisor = ClusterSupervisor(
        home,
        binaries,
        ports,
        0,
        lambda _: None,
        environ,
        users,
        with_networks=any(fault.needs_networks for fault in faults),
        links={name: link.port for name, link in links.items()},
    )
    failed: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(supervisor, stop, failed), name="cluster")
    for link in links.values():
        link.start()
    thread.start()
    is_kept = False
    try:
        log("starting the cluster")
        _wait(supervisor.up.is_set, failed)
        environment = HaEnvironment(home, binaries, ports, devices, passwords, links, bridge_password, ingest_password)
        try:
            if environment.edge is not None:
                environment.edge.start()
            if environment.second is not None:
                environment.second.process.start()
            for fleet in environment.fleets:
                fleet.start()
            yield environment
            is_kept = environment.is_kept
        finally:
            for fleet in environment.fleets:
                fleet.kill()
            if environment.edge is not None:
                environment.edge.stop()
            if environment.second is not None:
                environment.second.process.kill()
    finally:
        stop.set()
        thread.join()
        for link in links.values():
            link.stop()
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


def worker_links(ports: ClusterPorts) -> dict[str, Proxy]:
    """Return a link to the broker for each alert worker, not started."""
    hosts = enumerate(FULL_HOSTS, ports.base + LINK_PORT)
    return {process_name("alerts", host): Proxy(ports.broker, port) for port, host in hosts}


def free_ports() -> ClusterPorts:
    """Return the ports of a cluster, all of which are free at the moment."""
    for _ in range(100):
        ports = ClusterPorts(secrets.choice(FREE_PORTS[:-100]))
        if not any(map(port_in_use, (*ports.every, *(link.port for link in worker_links(ports).values())))):
            return ports
    raise TransientError("no free range of ports")
