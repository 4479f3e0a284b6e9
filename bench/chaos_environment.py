"""The system that `chaos` injects faults into: programs, devices that keep a record, and a proxy in each link."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.environment import PASSWORD, Environment
from bench.fault_run import WATCHED_WARD, recording_fleets
from bench.faults import Fault, full_disk, kill, link, wipe_broker_store
from bench.proxy import Proxy
from bench.services import counter, service
from sql.migrate import INGEST_ROLE
from stack.servers import OWNER


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
        broken = self._mqtt("devices-broker")
        self.fleets = recording_fleets(
            devices, lambda ward: environment.broker.url if ward == WATCHED_WARD else broken, environment.folder
        )
        for program in (self.ingest, self.alerts, *self.fleets):
            ends.callback(program.kill)

    def start(self) -> None:
        """Start all of it; returns once readings are made."""
        for program in (self.ingest, self.alerts, *self.fleets):
            program.start()

    def evaluated(self) -> Mapping[str, float]:
        """Return the readings that the alert worker has evaluated."""
        return {"alerts": counter(self.alerts, "readings_evaluated_total")}

    def faults(self, victims: Sequence[str], longest: float) -> list[Fault]:
        """What to do to these victims."""
        environment = self.environment
        kills: dict[str, list[Fault]] = {
            "ingest": [kill("ingest", self.ingest)],
            "alerts": [kill("alerts", self.alerts)],
            "broker": [kill("broker", environment.broker), wipe_broker_store(environment.broker)],
            "database": [kill("database", environment.database)],
            "devices": [kill("devices", beds) for beds in self.fleets if not beds.plan.watched],
            "links": [
                link(name, proxy, longest, stops_alerts=name == "alerts-broker") for name, proxy in self.links.items()
            ],
            "disk": [full_disk(environment.database, environment.disk)] if environment.disk else [],
        }
        return [fault for victim in victims for fault in kills[victim]]

    def _mqtt(self, link: str) -> str:
        return f"mqtt://127.0.0.1:{self.links[link].port}"
