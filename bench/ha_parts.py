"""What some faults of `ha` need beside the cluster: a ward with a broker of its own, and a second ingest."""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.proxy import Proxy
from bench.recording_devices import DevicePlan, DeviceProcess
from identity.bridge import BridgeLogin, ward_section
from identity.policy import Kind, User, ward_worker
from stack.binaries import CHECKOUT, ServerBinaries
from stack.broker_access import Listeners
from stack.cluster.plan import ClusterPorts
from stack.metrics import counters
from stack.plan import broker_access, environment, services
from stack.servers import BrokerServer, Service, free_port
from stack.stack_dir import Secrets, StackDir
from vitals.settings import PREFIX

BRIDGE, EDGE_WARD, EDGE_BEDS = "edge-1", "icu-8", 10
EDGE_PREFIX = "edge-"
"""In the names of its devices."""
SECOND_INGEST, SHARE_GROUP = "ingest-2", "bench"
READY = "vitalflow_alerts_mqtt_connections_total"


class EdgeWard:
    """A ward with a broker of its own, whose bridge reaches the centre by `link`.

    centre     the port of the centre's broker
    password   of the bridge's user there
    """

    def __init__(
        self, home: StackDir, binaries: ServerBinaries, centre: int, known: Secrets, password: str, rules: Path
    ) -> None:
        self.link = Proxy(centre).start()
        ca, worker, fleet = str(home.identity / "ca.crt"), ward_worker(BRIDGE), f"fleet-{EDGE_WARD}"
        passwords = {name: secrets.token_urlsafe(16) for name in (worker, fleet)}
        users = [
            User(worker, Kind.SERVICE, service="alerts", password=passwords[worker]),
            User(fleet, Kind.FLEET, EDGE_WARD, passwords[fleet]),
        ]
        port, metrics = free_port(), free_port()
        access = broker_access(home, Listeners(port, free_port()), known, 0, {}, lambda _: None)
        login = BridgeLogin(BRIDGE, "127.0.0.1", self.link.port, password)
        self.broker = BrokerServer(
            binaries,
            f"{home.data}/edge",
            port,
            home.log("broker-edge"),
            replace(access, users=[*access.users, *users]),
            bridge=ward_section(login, EDGE_WARD, access.topics),
        )

        def url(user: str) -> str:
            return self.broker.url.replace("//", f"//{user}:{passwords[user]}@")

        environ = os.environ | {
            f"{PREFIX}MQTT_URL": url(worker),
            f"{PREFIX}MQTT_CA": ca,
            f"{PREFIX}ALERTS_CLIENT_ID": worker,
            f"{PREFIX}ALERTS_WARDS": EDGE_WARD,
            f"{PREFIX}ALERTS_METRICS_PORT": str(metrics),
            f"{PREFIX}ALERTS_RULES": str(rules),
        }
        line = [sys.executable, "-m", "alerts", "run"]
        self.worker = Service("alerts-edge", line, home.log("alerts-edge"), environ, metrics, READY)
        record, outbox = (str(home.folder / f"{EDGE_WARD}.{kind}") for kind in ("record", "outbox"))
        plan = DevicePlan(url(fleet), EDGE_WARD, EDGE_BEDS, 0.5, record, outbox, True, ca, EDGE_PREFIX)
        self.fleet = DeviceProcess(plan, home.folder / f"{EDGE_WARD}.log")

    def start(self) -> None:
        """Start the broker and the alert worker; the devices are started with the others."""
        self.broker.start()
        self.worker.start()

    def lose_broker(self) -> None:
        """Kill the broker, with its disk."""
        self.broker.kill()
        self.broker.delete_store()

    def evaluated(self) -> Mapping[str, float]:
        """Return the readings that its alert worker has evaluated; nothing if it does not answer."""
        assert self.worker.port is not None
        try:
            return {"edge": counters(self.worker.port).get("vitalflow_alerts_readings_evaluated_total", 0.0)}
        except OSError:
            return {}

    def stop(self) -> None:
        """Stop all of it but the devices."""
        self.worker.kill()
        self.broker.kill()
        self.link.stop()


class SecondIngest:
    """A second member of the share group of ingests."""

    def __init__(self, home: StackDir, ports: ClusterPorts, known: Secrets, password: str) -> None:
        spec = next(spec for spec in services(ports, 0) if spec.name == "ingest")
        port = free_port()
        environ = environment(os.environ, ports, known, home, spec) | {
            f"{PREFIX}MQTT_URL": f"mqtts://{SECOND_INGEST}:{password}@127.0.0.1:{ports.broker}",
            f"{PREFIX}INGEST_CLIENT_ID": SECOND_INGEST,
            f"{PREFIX}INGEST_METRICS_PORT": str(port),
            f"{PREFIX}INGEST_SHARE_GROUP": SHARE_GROUP,
        }
        self.process = Service(SECOND_INGEST, spec.line, home.log(SECOND_INGEST), environ, port, spec.ready_metric)

    def drain(self) -> None:
        """Store what its session holds and end the session, as an operator does; then start it again."""
        line, log = [*self.process.line, "--drain"], self.process.log
        with log.open("ab") as output:
            subprocess.run(line, env=self.process.environ, stdout=output, stderr=output, cwd=CHECKOUT, check=True)
        self.process.launch()


def second_ingest_user(password: str) -> User:
    """Return the user of the second ingest."""
    return User(SECOND_INGEST, Kind.SERVICE, service="ingest", password=password)


def bridge_user(password: str) -> User:
    """Return the user of the bridge at the centre."""
    return User(BRIDGE, Kind.WARD_BRIDGE, EDGE_WARD, password)
