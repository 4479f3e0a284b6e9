"""Ports, URLs, environment and services of a stack. Starts nothing.

To add a service, add an entry in `services`.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devices.simulated_ward import simulated_ward
from devices.source import Source
from edges.hl7.simulate import simulated_beds
from identity.authority import CertificateAuthority, Emit
from identity.broker_bootstrap import builtin_users, simulated_device_users
from identity.policy import OPERATOR, Kind, User
from identity.settings import IdentitySettings
from stack.binaries import STACK
from stack.broker_access import BrokerAccess, Listeners
from stack.lan import LOOPBACK, device_host, reachable_addresses
from stack.servers import OWNER, tls_query
from stack.stack_dir import DEMO_EDGES, EDGES, INBOX_FILE, SITE_FILE, Secrets, StackDir
from vitals.settings import PREFIX

# Below 32768, where Linux begins to assign ports to outgoing connections, and apart from well-known ports.
PORT_BASE = 21883
DEVICES = 20
WARD = "icu-1"
HL7_BEDS = 2


class Port:
    """A port of a stack: an attribute of `Ports` whose value is the base and an offset."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def __get__(self, ports: "Ports", owner: type) -> int:
        return ports.base + self.offset


@dataclass(frozen=True, slots=True)
class Ports:
    """Consecutive ports on 127.0.0.1, so that one number sets all of them.

    listen   where the broker listens too, for other machines; 0.0.0.0: everywhere. Every other server: 127.0.0.1 only
    """

    base: int
    listen: str = LOOPBACK

    broker = Port(0)  # MQTT
    database = Port(1)  # PostgreSQL
    ingest = Port(2)  # /metrics of ingest
    alerts = Port(3)  # /metrics of alerts
    station = Port(4)  # HTTP of the station

    @property
    def page(self) -> str:
        """The URL of the station."""
        return f"http://127.0.0.1:{self.station}"

    edges = Port(5)  # /metrics of edges
    hl7 = Port(6)  # HL7 over MLLP
    certificates = Port(8)  # MQTT, for devices with a certificate
    demo_webhook = Port(9)  # HTTP of the demo's webhook
    demo_broker = Port(10)  # MQTT of the demo's foreign broker

    @property
    def all(self) -> tuple[int, ...]:
        """Every port of the stack, without those of the demo alone."""
        services = (self.ingest, self.alerts, self.station, self.edges, self.hl7)
        return (self.broker, self.database, *services, self.certificates)

    @property
    def on_other_machines(self) -> tuple[int, ...]:
        """The ports that other machines can reach."""
        return () if self.listen == LOOPBACK else (self.broker, self.certificates)


def broker_url(ports: Ports, secrets: Secrets, user: str | None) -> str:
    """Return the broker's URL for a user; None: without one, for a fleet whose devices have passwords of their own."""
    login = "" if user is None else f"{user}:{secrets.broker[user]}@"
    return f"mqtts://{login}127.0.0.1:{ports.broker}"


def addresses(ports: Ports, secrets: Secrets, home: StackDir) -> dict[str, str]:
    """Return the settings for the URLs and files of a stack."""
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
        "VITALFLOW_NAMES_URL": f"postgresql://vitalflow_names:{secrets.names}{database}",
        "VITALFLOW_RESEARCH_URL": f"postgresql://vitalflow_research:{secrets.research}{database}",
    }


def environment(
    environ: Mapping[str, str], ports: Ports, secrets: Secrets, home: StackDir, service: "ServiceSpec"
) -> dict[str, str]:
    """Return the environment of a service: the caller's settings, overridden by this stack's.

    A service gets its own password for the broker and its own database login, no others. Secrets are passed in the
    environment, because every local user can read command lines.
    """
    ours = addresses(ports, secrets, home)
    withheld = {"VITALFLOW_ADMIN_URL", *DATABASES} - {*service.databases, *(["VITALFLOW_ADMIN_URL"] * service.is_admin)}
    ours = {name: value for name, value in ours.items() if name not in withheld}
    ours["VITALFLOW_MQTT_URL"] = broker_url(ports, secrets, service.user)
    ours |= {f"{PREFIX}INGEST_METRICS_PORT": str(ports.ingest), f"{PREFIX}ALERTS_METRICS_PORT": str(ports.alerts)}
    metrics_port = ports.edges if service.user == EDGES else 0  # the demo's have none
    ours |= {f"{PREFIX}EDGES_METRICS_PORT": str(metrics_port), f"{PREFIX}EDGES_CREDENTIALS": str(home.credentials)}
    if service.user in (EDGES, *DEMO_EDGES):
        ours[f"{PREFIX}EDGES_CLIENT_ID"] = service.user
    ours |= {f"{PREFIX}STATION_HOST": "127.0.0.1", f"{PREFIX}STATION_PORT": str(ports.station)}
    own_login = {f"{PREFIX}MQTT_{what}" for what in ("PASSWORD", "CERTIFICATE", "KEY")}
    hidden = withheld | own_login | {f"{name}_FILE" for name in (*ours, *withheld, *own_login)} | {"PGPASSWORD"}
    hidden |= {f"{PREFIX}STATION_CERTIFICATE", f"{PREFIX}STATION_KEY"}  # plain HTTP on 127.0.0.1
    hidden.add(f"{PREFIX}MQTT_STANDBY_URLS")  # of another installation
    theirs = {name: value for name, value in environ.items() if name not in hidden}
    return theirs | ours | {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service of the stack.

    arguments      of `python -m`
    port           where it listens, if it does
    ready_metric   the counter on that port's /metrics that is above 0 once the service works
    needs_database if False, it is started before the database and works without it
    user           its user at the broker; None: none, or many
    databases      the database URLs that it gets, of DATABASES
    is_admin       whether it gets the address of the broker's admin
    """

    name: str
    arguments: tuple[str, ...]
    port: int | None = None
    ready_metric: str | None = None
    needs_database: bool = True
    user: str | None = None
    databases: tuple[str, ...] = ()
    is_admin: bool = False

    @property
    def line(self) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", *self.arguments]


DATABASES = tuple(f"{PREFIX}{name}_URL" for name in ("DATABASE", "INGEST", "READER", "NAMES", "RESEARCH"))
"""The database URLs: as owner, as ingest, as reader, for the names of patients, and for long queries."""
MIGRATE = ServiceSpec("migrate", ("sql", "migrate"), databases=DATABASES)


def services(ports: Ports, devices: int, folder: Path = STACK) -> list[ServiceSpec]:
    """Return the services in the order in which they start; they stop in the opposite order.

    folder   of the stack, with the site's configuration and the inbox of edges
    """
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
            databases=("VITALFLOW_READER_URL", "VITALFLOW_NAMES_URL"),
        ),
        ServiceSpec("edges", _listen(ports, folder), ports.hl7, needs_database=False, user=EDGES),
        ServiceSpec("accounts", ("identity", "accounts"), needs_database=False, is_admin=True),
        ServiceSpec("devices", ("devices", *fleet, "--scenario", "mixed")),
    ]
    return [service for service in listed if devices or service.name != "devices"]


def _listen(ports: Ports, folder: Path) -> tuple[str, ...]:
    files = ("--site", str(folder / SITE_FILE), "--inbox", str(folder / INBOX_FILE))
    return ("edges", "hl7", "listen", *files, "--listen", f"127.0.0.1:{ports.hl7}")


def hl7_beds() -> list[Source]:
    """Return the beds in the site's configuration of a new stack; nothing sends for them until a user starts it."""
    return simulated_beds(HL7_BEDS, WARD)


def broker_listeners(ports: Ports, environ: Mapping[str, str]) -> Listeners:
    """Return the listeners of the stack's broker."""
    settings = _identity_settings(environ)
    return Listeners(
        ports.broker,
        ports.certificates,
        settings.mqtt_plaintext_port,
        websockets=settings.mqtt_websockets_port,
        address=ports.listen,
    )


def broker_access(
    home: StackDir,
    listeners: Listeners,
    secrets: Secrets,
    devices: int,
    environ: Mapping[str, str],
    emit: Emit,
    more_beds: Iterable[str] = (),
) -> BrokerAccess:
    """Return listeners, certificates and users of the stack's broker.

    more_beds   devices of the demo's edges; without any these edges have no users
    """
    settings = _identity_settings(environ)
    demo = list(more_beds)
    simulated = [source.device for source in (*simulated_ward(devices, ward=WARD, boot=0), *hl7_beds())] + demo
    users = [*builtin_users(secrets.broker), *simulated_device_users(home.credentials, simulated, WARD)]
    edges = (EDGES, *(DEMO_EDGES if demo else ()))
    users += [User(name, Kind.SERVICE, service=EDGES, password=secrets.broker[name]) for name in edges]
    authority = CertificateAuthority(home.identity)
    names = list(dict.fromkeys([*settings.broker_names, *reachable_addresses(listeners.address)]))
    return BrokerAccess(listeners, authority, names, users, settings.topics, emit)


def devices_url(ports: Ports, environ: Mapping[str, str]) -> str | None:
    """Return the broker's URL for devices on other machines; None if they cannot reach it."""
    if not ports.on_other_machines:
        return None
    host = device_host(ports.listen, _identity_settings(environ).further_broker_names)
    return f"mqtts://{host}:{ports.broker}"


def _identity_settings(environ: Mapping[str, str]) -> IdentitySettings:
    # Other settings in the caller's environment may belong to another stack's broker.
    own = ("TOPIC_ROOT", "BROKER_HOSTNAMES", "MQTT_PLAINTEXT_PORT", "MQTT_WEBSOCKETS_PORT")
    names = tuple(f"{PREFIX}{name}" for name in own)
    return IdentitySettings.read({name: value for name, value in environ.items() if name.startswith(names)})
