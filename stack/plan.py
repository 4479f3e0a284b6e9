"""What a stack is made of: its ports, its addresses, and the one list of its services. Starts nothing.

A further service is one line in `services`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from identity.broker_bootstrap import OPERATOR
from stack.servers import OWNER, tls_query
from stack.stack_dir import Secrets, StackDir
from vitals.settings import PREFIX

# Below 32768, where Linux begins to give ports to outgoing connections, and away from what is well known.
PORT_BASE = 21883
DEVICES = 20
WARD = "icu-1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Consecutive ports on 127.0.0.1, so that one number moves the whole stack."""

    base: int

    @property
    def broker(self) -> int:
        """MQTT."""
        return self.base

    @property
    def database(self) -> int:
        """PostgreSQL."""
        return self.base + 1

    @property
    def ingest(self) -> int:
        """/metrics of ingest."""
        return self.base + 2

    @property
    def alerts(self) -> int:
        """/metrics of alerts."""
        return self.base + 3

    @property
    def station(self) -> int:
        """The live ward in a browser."""
        return self.base + 4

    @property
    def page(self) -> str:
        """The address of that."""
        return f"http://127.0.0.1:{self.station}"

    @property
    def certificates(self) -> int:
        """MQTT, for devices that have a certificate."""
        return self.base + 8

    @property
    def all(self) -> tuple[int, ...]:
        """Every port of the stack."""
        return (self.broker, self.database, self.ingest, self.alerts, self.station, self.certificates)


def broker_url(ports: Ports, secrets: Secrets, user: str | None) -> str:
    """The broker as one of its users; as nobody for a fleet, whose devices have passwords of their own."""
    who = "" if user is None else f"{user}:{secrets.broker[user]}@"
    return f"mqtts://{who}127.0.0.1:{ports.broker}"


def addresses(ports: Ports, secrets: Secrets, home: StackDir) -> dict[str, str]:
    """The settings that say where everything is, by the names that every service reads."""
    database = f"@127.0.0.1:{ports.database}/{OWNER}?{tls_query(home.identity / 'ca.crt')}"
    return {
        "VITALFLOW_MQTT_URL": broker_url(ports, secrets, OPERATOR),
        "VITALFLOW_MQTT_CA": str(home.identity / "ca.crt"),
        "VITALFLOW_MQTT_CERTIFICATE_PORT": str(ports.certificates),
        "VITALFLOW_ADMIN_URL": broker_url(ports, secrets, "admin"),
        "VITALFLOW_CA_DIR": str(home.identity),
        "VITALFLOW_DEVICES_CREDENTIALS": str(home.credentials),
        "VITALFLOW_DATABASE_URL": f"postgresql://{OWNER}:{secrets.owner}{database}",
        "VITALFLOW_INGEST_URL": f"postgresql://vitalflow_ingest:{secrets.ingest}{database}",
        "VITALFLOW_READER_URL": f"postgresql://vitalflow_reader:{secrets.reader}{database}",
    }


def environment(
    environ: Mapping[str, str], ports: Ports, secrets: Secrets, home: StackDir, service: "ServiceSpec"
) -> dict[str, str]:
    """What a service is started with: the caller's own settings, and over them where this stack is.

    Of the broker each is told its own password and no other, and of the database only the login that it works with.
    Secrets travel here and not on command lines, which every user of the machine can read.
    """
    ours = addresses(ports, secrets, home)
    withheld = {"VITALFLOW_ADMIN_URL", *DATABASES} - set(service.databases)
    ours = {name: value for name, value in ours.items() if name not in withheld}
    ours["VITALFLOW_MQTT_URL"] = broker_url(ports, secrets, service.user)
    ours |= {f"{PREFIX}INGEST_METRICS_PORT": str(ports.ingest), f"{PREFIX}ALERTS_METRICS_PORT": str(ports.alerts)}
    ours |= {f"{PREFIX}STATION_HOST": "127.0.0.1", f"{PREFIX}STATION_PORT": str(ports.station)}
    own_login = {f"{PREFIX}MQTT_{what}" for what in ("PASSWORD", "CERTIFICATE", "KEY")}
    hidden = withheld | own_login | {f"{name}_FILE" for name in (*ours, *withheld, *own_login)} | {"PGPASSWORD"}
    hidden |= {f"{PREFIX}STATION_CERTIFICATE", f"{PREFIX}STATION_KEY"}  # on this machine's own address, by http
    theirs = {name: value for name, value in environ.items() if name not in hidden}
    return theirs | ours | {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One of our own processes.

    arguments    what follows `python -m`
    port         where it serves, if it does
    sign         the counter on that port's /metrics that leaves 0 once it does its work
    stores       whether it waits for the database; what does not is started before it and lives without it
    user         who it is at the broker; None: nobody, or many
    databases    the addresses of the database that it is told, of DATABASES
    """

    name: str
    arguments: tuple[str, ...]
    port: int | None = None
    ready_metric: str | None = None
    stores: bool = True
    user: str | None = None
    databases: tuple[str, ...] = ()

    @property
    def line(self) -> list[str]:
        """Its command line."""
        return [sys.executable, "-m", *self.arguments]


DATABASES = ("VITALFLOW_DATABASE_URL", "VITALFLOW_INGEST_URL", "VITALFLOW_READER_URL")
"""The database as its owner, as ingest and as a reader."""
MIGRATE = ServiceSpec("migrate", ("sql", "migrate"), databases=DATABASES)


def services(ports: Ports, devices: int) -> list[ServiceSpec]:
    """What runs beside broker and database, in the order of starting; stopped in the opposite order."""
    fleet = ("simulate", "--count", str(devices), "--interval", "1", "--ward", WARD, "--seed", "7")
    listed = [
        ServiceSpec(
            "alerts", ("alerts", "run"), ports.alerts, "vitalflow_alerts_mqtt_connections_total", False, "alerts"
        ),
        ServiceSpec(
            "ingest",
            ("ingest",),
            ports.ingest,
            "vitalflow_ingest_mqtt_connections_total",
            user="ingest",
            databases=("VITALFLOW_INGEST_URL",),
        ),
        ServiceSpec(
            "station",
            ("station",),
            ports.station,
            "vitalflow_station_mqtt_connections_total",
            False,
            "station",
            databases=("VITALFLOW_READER_URL",),
        ),
        ServiceSpec("devices", ("devices", *fleet, "--scenario", "mixed")),
    ]
    return [service for service in listed if devices or service.name != "devices"]


NAMES = ("supervisor", "broker", "database", "migrate", *(service.name for service in services(Ports(PORT_BASE), 1)))
