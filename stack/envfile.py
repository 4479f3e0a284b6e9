"""`make env`: create what docker-compose.yml needs before its first start, .env and a folder of secrets.

Needs only the standard library of Python 3.9 or newer, because a machine with Docker should need nothing else.

Each secret is a file, which compose mounts in the services that need it. In .env or in the environment of a container
it would be in the output of `docker compose config` and `docker inspect`, which people paste into reports. The folder
is readable to its owner only; the files are readable to all, because a container reads them as another user.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from vitals.files import write_atomic

Emit = Callable[[str], None]

OWNER = "vitalflow"
CA = "/etc/vitalflow/ca/ca.crt"  # in every container
DATABASE = f"db:5432/{OWNER}?sslmode=verify-full&sslrootcert={CA}"

VARIABLES = {
    "VITALFLOW_SECRETS": ("./.secrets", "Folder of the secrets; `make env` creates missing ones."),
    "VITALFLOW_PUBLISH_ON": (
        "127.0.0.1",
        "Address on which the broker is published: this machine only; 0.0.0.0 for devices elsewhere.",
    ),
    "VITALFLOW_BROKER_NAME": (
        "localhost",
        "Host name or address that devices connect to; it is in the broker's certificate.",
    ),
    "VITALFLOW_PUBLISH_MQTT_PORT": ("8883", "The broker's published port for devices with a password."),
    "VITALFLOW_PUBLISH_CERTIFICATE_PORT": ("8884", "The broker's published port for devices with a certificate."),
    "VITALFLOW_PUBLISH_WEBSOCKETS_PORT": ("8885", "The same for MQTT over WebSockets (docker-compose.websockets.yml)."),
    "VITALFLOW_PUBLISH_PAGES_ON": (
        "127.0.0.1",
        "Address on which station and Grafana are published; both need a password, neither is encrypted.",
    ),
    "VITALFLOW_PUBLISH_STATION_PORT": ("8080", "The station's published port."),
    "VITALFLOW_PUBLISH_GRAFANA_PORT": ("3000", "Grafana's published port."),
    "VITALFLOW_RAW_RETENTION_DAYS": ("30", "Retention; .env.example explains these four."),
    "VITALFLOW_MINUTE_RETENTION_DAYS": ("365", ""),
    "VITALFLOW_COMPRESS_AFTER_DAYS": ("7", ""),
    "VITALFLOW_LATE_AFTER_HOURS": ("6", ""),
    "VITALFLOW_PATIENT_NAMES": ("False", "True: the station stores and shows names of patients (docs/station.md)."),
    "VITALFLOW_ARRIVAL_TIME_DEVICES": (
        "",
        "Devices without a clock, as WARD/DEVICE with commas; + for any, as in icu-1/+.",
    ),
    "VITALFLOW_STATION_SERVICES": (
        "ingest,alerts",
        "Services whose outage the station shows; add those of the profile edges that you start: edges-hl7,edges-fhir.",
    ),
    "VITALFLOW_SITE": ("./site.toml", "Places and senders of the profile edges; `make env` creates a missing file."),
    "VITALFLOW_PUBLISH_HL7_PORT": ("2575", "The published port of HL7, on 127.0.0.1: it is not encrypted."),
    "VITALFLOW_PUBLISH_FHIR_PORT": ("8086", "The published port of FHIR, with TLS, on the address of the broker."),
    "VITALFLOW_PUBLISH_WEBHOOK_PORT": ("8087", "The published port of webhooks, as that of FHIR."),
    "VITALFLOW_SERIAL_GROUP": ("20", "The group of serial ports, by number; `getent group dialout` prints it."),
    "VITALFLOW_HL7_ALERTS_TO": ("", "Where the profile edges-out sends alerts as HL7: HOST:PORT."),
}
"""Variables of docker-compose.yml: name, default, and a comment for .env."""

USERS = (  # as in identity/broker_bootstrap.py, with _ for -
    *("admin", "ingest", "alerts", "station", "operator", "health"),
    *("edges_hl7", "edges_fhir", "edges_webhook", "edges_mqtt", "edges_serial"),
    *("edges_hl7_alerts", "edges_webhook_alerts", "edges_home_assistant"),
)
MADE = (
    *("owner_password", "ingest_password", "reader_password", "names_password", "research_password"),
    *("grafana_admin_password", "grafana_secret_key"),
    *(f"mqtt_{user}_password" for user in USERS),
)
"""Secrets that are generated."""

SITE = """\
# Which beds send by HL7 and FHIR, read by the profile `edges` of docker-compose.yml. docs/edges.md#the-site describes
# every key. After a change: docker compose restart edges-hl7 edges-fhir
zone = "UTC"

[[source]]
name = "fhir"
token_file = "/etc/vitalflow/edges/token"

# [[place]]
# unit = "ICU 1"
# bed = "4"
# ward = "icu-1"
# device = "icu-1-bed-04"
"""
"""The site's configuration of a new installation: no bed yet."""

HEAD = """\
# Variables of docker-compose.yml, written by `make env`. Change them as needed: `make env` adds missing variables and
# changes no others. The secrets are files in the folder below.
"""


def urls(passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that contain others: the database URLs of its five users, the broker URL of its admin."""
    return {
        "database_url": f"postgresql://{OWNER}:{passwords['owner_password']}@{DATABASE}",
        "ingest_url": f"postgresql://vitalflow_ingest:{passwords['ingest_password']}@{DATABASE}",
        "reader_url": f"postgresql://vitalflow_reader:{passwords['reader_password']}@{DATABASE}",
        "names_url": f"postgresql://vitalflow_names:{passwords['names_password']}@{DATABASE}",
        "research_url": f"postgresql://vitalflow_research:{passwords['research_password']}@{DATABASE}",
        "admin_url": f"mqtts://admin:{passwords['mqtt_admin_password']}@broker:8883",
    }


NAMES = (*MADE, *urls({name: "" for name in MADE}))
"""File names of all secrets."""


def make(folder: Path, emit: Emit) -> None:
    """Create what is missing in `folder` and report it; existing variables and secrets stay unchanged.

    1. Write .env, or add missing variables to it.
    2. Generate secrets that are missing or empty.
    3. Write URLs whose password does not match.
    4. Write the site's configuration if it is missing.
    """
    chosen = _variables(folder / ".env", emit)
    secrets_dir = folder / chosen["VITALFLOW_SECRETS"]
    secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets_dir.chmod(0o700)
    generated = [name for name in MADE if not _read(secrets_dir / name)]
    for name in generated:
        _write(secrets_dir / name, secrets.token_urlsafe(24))
    derived = urls({name: _read(secrets_dir / name) for name in MADE})
    changed = [name for name, url in derived.items() if _read(secrets_dir / name) != url]
    for name in changed:
        _write(secrets_dir / name, derived[name])
    wrote = ", ".join(generated + changed)
    site = folder / chosen["VITALFLOW_SITE"]
    if not site.exists():
        _write(site, SITE, 0o644)
        emit(f"wrote {site}")
    emit(f"wrote {wrote} in {secrets_dir}" if wrote else f"kept the secrets in {secrets_dir}")


def _variables(path: Path, emit: Emit) -> dict[str, str]:
    """Add missing variables to .env; return the value of each variable."""
    text = path.read_text() if path.exists() else ""
    present = dict(re.findall(r"^(?:export )?(\w+)=(.*)$", text, re.MULTILINE))
    missing = [name for name in VARIABLES if name not in present]
    if missing:
        if not text:
            text = HEAD
        elif not text.endswith("\n"):
            text += "\n"
        for name in missing:
            value, comment = VARIABLES[name]
            text += (f"# {comment}\n" if comment else "") + f"{name}={value}\n"
        new = not path.exists()
        _write(path, text, 0o600)
        emit(f"wrote {path}" if new else f"kept {path}, and added {', '.join(missing)}")
    else:
        emit(f"kept {path}")
    return {name: value.strip().strip("'\"") for name, value in present.items()} | {
        name: VARIABLES[name][0] for name in missing
    }


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, text: str, mode: int = 0o444) -> None:
    write_atomic(path, text.encode(), mode)  # no newline: not every reader of a secret file strips it


def main() -> None:
    """Run in the current folder."""

    def emit(line: str) -> None:
        sys.stdout.write(f"env: {line}\n")

    make(Path(), emit)
    emit("start everything with: docker compose up --wait")


if __name__ == "__main__":
    main()
