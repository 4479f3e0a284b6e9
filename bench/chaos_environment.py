"""The system that `chaos` injects faults into: programs, devices that keep a record, and a proxy in each link."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.environment import PASSWORD, Environment
from bench.faults import Fault, full_disk, kill, link, wipe_broker_store
from bench.proxy import Proxy
from bench.recording_devices import MESSAGES_PER_SAMPLE, DevicePlan, DeviceProcess
from bench.services import service
from sql.migrate import INGEST_ROLE
from stack.servers import OWNER

READINGS_PER_S = 500
WATCHED = 20  # devices whose alarms are looked at, twice a second each


class ChaosEnvironment:
    """The programs of a run, each link through a proxy."""

    def __init__(self, environment: Environment, devices: int, ends: ExitStack) -> None:
        self.environment = environment
        self.links = {
            "devices-broker": Proxy(environment.broker.port),
            "ingest-broker": Proxy(environment.broker.port),
            "alerts-broker": Proxy(environment.broker.port),
            "ingest-database": Proxy(environment.database.port),
        }
        for proxy in self.links.values():
            ends.callback(proxy.start().stop)
        database = f"postgresql://{INGEST_ROLE}:{PASSWORD}@127.0.0.1:{self.links['ingest-database'].port}/{OWNER}"
        settings = {"VITALFLOW_MQTT_URL": self._mqtt("ingest-broker"), "VITALFLOW_INGEST_URL": database}
        self.ingest = service(environment, "ingest", settings=settings)
        rules = str(Path(__file__).with_name("chaos_rules.toml"))
        settings = {"VITALFLOW_MQTT_URL": self._mqtt("alerts-broker"), "VITALFLOW_ALERTS_RULES": rules}
        self.alerts = service(environment, "alerts", "run", settings=settings)
        interval = MESSAGES_PER_SAMPLE * devices / (READINGS_PER_S - WATCHED / 0.5)
        url = self._mqtt("devices-broker")
        sizes = {"icu-1": (devices + 1) // 2, "icu-2": devices // 2}
        self.fleets = [self._beds(url, ward, size, interval) for ward, size in sizes.items()]
        self.watched = self._beds(environment.broker.url, "icu-9", WATCHED, 0.5, watched=True)
        for program in (self.ingest, self.alerts, *self.fleets, self.watched):
            ends.callback(program.kill)

    @property
    def records(self) -> list[Path]:
        """Where the devices wrote down what they made."""
        return [Path(beds.plan.record) for beds in (*self.fleets, self.watched)]

    @property
    def last_lines(self) -> list[str]:
        """The last line that each killed process of devices wrote."""
        return [line for beds in self.fleets for line in beds.last_lines]

    def start(self) -> None:
        """Start all of it; returns once readings are made."""
        for program in (self.ingest, self.alerts, self.watched, *self.fleets):
            program.start()

    def finish(self) -> None:
        """Let every device deliver what it has."""
        for beds in (*self.fleets, self.watched):
            beds.finish()

    def faults(self, victims: Sequence[str], longest: float) -> list[Fault]:
        """What to do to these victims."""
        environment = self.environment
        kills: dict[str, list[Fault]] = {
            "ingest": [kill("ingest", self.ingest)],
            "alerts": [kill("alerts", self.alerts)],
            "broker": [kill("broker", environment.broker), wipe_broker_store(environment.broker)],
            "database": [kill("database", environment.database)],
            "devices": [kill("devices", beds) for beds in self.fleets],
            "links": [
                link(name, proxy, longest, stops_alerts=name == "alerts-broker") for name, proxy in self.links.items()
            ],
            "disk": [full_disk(environment.database, environment.disk)] if environment.disk else [],
        }
        return [fault for victim in victims for fault in kills[victim]]

    def _mqtt(self, link: str) -> str:
        return f"mqtt://127.0.0.1:{self.links[link].port}"

    def _beds(self, url: str, ward: str, devices: int, interval: float, watched: bool = False) -> DeviceProcess:
        folder = self.environment.folder
        plan = DevicePlan(
            url, ward, devices, interval, str(folder / f"{ward}.record"), str(folder / f"{ward}.outbox"), watched
        )
        return DeviceProcess(plan, folder / f"{ward}.log")
