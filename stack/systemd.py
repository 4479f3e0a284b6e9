"""Units of systemd for the services, where broker and database are the machine's own or on another machine.

The settings without secrets are in /etc/vitalflow/NAME.env, and each secret is a file below /etc/vitalflow/secrets,
which only root can read. systemd passes a copy to the one service that needs it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from vitals.errors import PermanentError
from vitals.files import write_atomic

SETTINGS = "/etc/vitalflow"
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # from a service with ProtectHome and PrivateTmp

TEMPLATE = """\
[Unit]
Description=VitalFlow {name}: {does}
Wants=network-online.target
After=network-online.target mosquitto.service postgresql.service
# A service that ends is started again however often it has ended.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={program} {arguments}
Restart=always
RestartSec=2
TimeoutStopSec=30
DynamicUser=yes
Environment=PYTHONUNBUFFERED=1
Environment=VITALFLOW_MQTT_URL=mqtts://{name}@localhost:8883
Environment=VITALFLOW_MQTT_CA={settings}/ca.crt
{secrets}{state}
EnvironmentFile=-{settings}/{name}.env
MemoryMax={memory}

# What the service cannot do: write a file, gain a right, see another process, use a device or another kind of socket.
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077{devices}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """A service as a unit.

    arguments     of `vitalflow`
    memory        its limit, as in docker-compose.yml
    secrets       files below /etc/vitalflow/secrets, named as those of `make env`, by the setting that reads them
    client_id     of a service of the edges: the setting of its client id. It keeps files in /var/lib/vitalflow/NAME.
                  Its address and its certificates are further options, in OPTIONS
    metrics_port  which no other unit has
    devices       lines that open devices of the machine; they override those above them
    """

    name: str
    does: str
    arguments: str
    memory: str
    secrets: dict[str, str]
    client_id: str = ""
    metrics_port: int = 0
    devices: str = ""


SERIAL_PORTS = """

# It opens USB serial ports, and no port that is the terminal of another process.
PrivateDevices=no
DevicePolicy=closed
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
SupplementaryGroups=dialout
ProtectProc=default"""

UNITS = (
    UnitSpec(
        "ingest",
        "stores readings from the broker in the database",
        "ingest",
        "640M",
        {"VITALFLOW_MQTT_PASSWORD": "mqtt_ingest_password", "VITALFLOW_INGEST_URL": "ingest_url"},
    ),
    UnitSpec(
        "alerts", "evaluates alarm rules", "alerts run", "256M", {"VITALFLOW_MQTT_PASSWORD": "mqtt_alerts_password"}
    ),
    UnitSpec(
        "accounts",
        "sets the passwords that users choose at the station",
        "identity accounts --mark /tmp/looked",
        "256M",
        {"VITALFLOW_ADMIN_URL": "admin_url"},
    ),
    UnitSpec(
        "station",
        "serves the live ward to browsers",
        "station",
        "256M",
        {"VITALFLOW_MQTT_PASSWORD": "mqtt_station_password", "VITALFLOW_READER_URL": "reader_url"},
    ),
    *(
        UnitSpec(
            f"edges-{kind}",
            does,
            f"edges {kind} {command} --site=/etc/vitalflow/site.toml "
            f"--inbox=/var/lib/vitalflow/edges-{kind}/inbox.db $OPTIONS",
            "256M",
            {
                "VITALFLOW_MQTT_PASSWORD": f"mqtt_edges_{kind}_password",
                "VITALFLOW_EDGES_CREDENTIALS": f"edges_{kind}_beds",
            },
            "VITALFLOW_EDGES_CLIENT_ID",
            port,
            *devices,
        )
        for kind, command, does, port, *devices in (
            ("hl7", "listen", "receives HL7", 9466),
            ("fhir", "listen", "receives FHIR", 9468),
            ("webhook", "listen", "receives webhooks", 9469),
            ("mqtt", "run", "reads other brokers", 9470),
            ("serial", "read", "reads serial ports", 9471, SERIAL_PORTS),
        )
    ),
    *(
        UnitSpec(
            f"edges-{kind}-alerts",
            f"sends alerts {how}",
            f"edges {kind} alerts --site=/etc/vitalflow/site.toml "
            f"--queue=/var/lib/vitalflow/edges-{kind}-alerts/queue.db $OPTIONS",
            "256M",
            {"VITALFLOW_MQTT_PASSWORD": f"mqtt_edges_{kind}_alerts_password"},
            "VITALFLOW_EDGES_OUT_CLIENT_ID",
            port,
        )
        for kind, how, port in (("hl7", "as HL7", 9467), ("webhook", "by HTTP", 9472))
    ),
    UnitSpec(
        "edges-home-assistant",
        "shows beds and alerts in Home Assistant",
        "edges mqtt home-assistant",
        "256M",
        {"VITALFLOW_MQTT_PASSWORD": "mqtt_edges_home_assistant_password"},
    ),
)

PATHS = ("VITALFLOW_EDGES_CREDENTIALS",)
"""Settings that are file names themselves; the others read a file by their _FILE variant."""


def units(program: Path) -> dict[str, str]:
    """Return the text of each unit by its file name; `program` is the command `vitalflow`.

    Raises PermanentError for a path that the sandboxed services cannot see or that a unit would have to quote.
    """
    if not re.fullmatch(r"[\w./+-]+", str(program), re.ASCII):
        raise PermanentError(f"{program} has a character that a unit would have to quote; install VitalFlow elsewhere")
    if any(program.is_relative_to(folder) for folder in HIDDEN):
        raise PermanentError(
            f"{program} is below {', '.join(HIDDEN[:-1])} or {HIDDEN[-1]}, which the services cannot see; install "
            "VitalFlow elsewhere, such as in /opt/vitalflow"
        )
    return {f"vitalflow-{unit.name}.service": _text(unit, program) for unit in UNITS}


def write_units(folder: Path, program: Path) -> list[Path]:
    """Write the units to a folder and return their paths; raises PermanentError if they cannot be written."""
    written = []
    for name, text in units(program).items():
        try:
            write_atomic(folder / name, text.encode(), mode=0o644)
        except OSError as error:
            raise PermanentError(f"{folder / name} cannot be written: {error.strerror}") from None
        written.append(folder / name)
    return written


def _text(unit: UnitSpec, program: Path) -> str:
    secrets = "\n".join(
        f"LoadCredential={file}:{SETTINGS}/secrets/{file}\n"
        f"Environment={setting}{'' if setting in PATHS else '_FILE'}=%d/{file}"
        for setting, file in unit.secrets.items()
    )
    state = ["", f"StateDirectory=vitalflow/{unit.name}", "StateDirectoryMode=0700", "Environment=OPTIONS="]
    state.append(f"Environment={unit.client_id}={unit.name}")
    if unit.metrics_port:
        state.append(f"Environment={unit.client_id.replace('CLIENT_ID', 'METRICS_PORT')}={unit.metrics_port}")
    return TEMPLATE.format(
        name=unit.name,
        does=unit.does,
        program=program,
        arguments=unit.arguments,
        memory=unit.memory,
        settings=SETTINGS,
        secrets=secrets,
        state="\n".join(state) if unit.client_id else "",
        devices=unit.devices,
    )
