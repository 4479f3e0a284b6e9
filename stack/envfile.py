"""`make env`: what docker-compose.yml needs before its first start: .env and a folder of secrets.

No reading comes by here. It needs the standard library only, and runs on any Python from 3.9 on: a machine that has
Docker should need nothing else.

A secret is a file of its own, which compose shows to those services that need it. In .env, or in the environment of a
container, it would be in the output of `docker compose config` and `docker inspect`, which people paste into reports.
The folder is for its owner only; the files in it are readable to all, because inside a container another user reads
them, whose number nobody here knows.
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
    "VITALFLOW_SECRETS": ("./.secrets", "The folder of the secrets; `make env` makes what is missing there."),
    "VITALFLOW_PUBLISH_ON": (
        "127.0.0.1",
        "Where devices reach the broker: this machine only; 0.0.0.0 for devices elsewhere.",
    ),
    "VITALFLOW_BROKER_NAME": (
        "localhost",
        "The name or address by which devices know this machine; the broker's certificate is for it.",
    ),
    "VITALFLOW_PUBLISH_MQTT_PORT": ("8883", "The broker's port there, for devices with a password."),
    "VITALFLOW_PUBLISH_CERTIFICATE_PORT": ("8884", "The broker's port there, for devices with a certificate."),
    "VITALFLOW_PUBLISH_PAGES_ON": (
        "127.0.0.1",
        "Where browsers reach station and Grafana; both ask for a password, and neither is encrypted.",
    ),
    "VITALFLOW_PUBLISH_STATION_PORT": ("8080", "The station's port there."),
    "VITALFLOW_PUBLISH_GRAFANA_PORT": ("3000", "Grafana's port there."),
    "VITALFLOW_RAW_RETENTION_DAYS": ("30", "How long things are kept; .env.example says more of these four."),
    "VITALFLOW_MINUTE_RETENTION_DAYS": ("365", ""),
    "VITALFLOW_COMPRESS_AFTER_DAYS": ("7", ""),
    "VITALFLOW_LATE_AFTER_HOURS": ("6", ""),
}
"""What docker-compose.yml takes from .env: the name, its first value, and a line for whoever reads the file."""

USERS = ("admin", "ingest", "alerts", "station", "operator", "health")  # of the broker: identity/broker_bootstrap.py
MADE = (
    *("owner_password", "ingest_password", "reader_password", "grafana_admin_password", "grafana_secret_key"),
    *(f"mqtt_{user}_password" for user in USERS),
)
"""Secrets that are drawn once."""

HEAD = """\
# What docker-compose.yml needs, written by `make env`. Yours to change; `make env` adds what is missing and changes
# nothing that is here. The secrets are files in the folder below.
"""


def urls(passwords: Mapping[str, str]) -> dict[str, str]:
    """The secrets that follow from others: the database as each of its three users, and the broker as its admin."""
    return {
        "database_url": f"postgresql://{OWNER}:{passwords['owner_password']}@{DATABASE}",
        "ingest_url": f"postgresql://vitalflow_ingest:{passwords['ingest_password']}@{DATABASE}",
        "reader_url": f"postgresql://vitalflow_reader:{passwords['reader_password']}@{DATABASE}",
        "admin_url": f"mqtts://admin:{passwords['mqtt_admin_password']}@broker:8883",
    }


NAMES = (*MADE, *urls({name: "" for name in MADE}))
"""Every secret, by the name of its file."""


def make(folder: Path, emit: Emit) -> None:
    """Make what is missing in `folder`, and say what that was. What is there stays as it is.

    1. .env is written, or gets the variables that it does not have yet.
    2. The secrets that are missing or empty are drawn.
    3. The addresses that hold a password are written where they do not fit the passwords.
    """
    chosen = _variables(folder / ".env", emit)
    place = folder / chosen["VITALFLOW_SECRETS"]
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(0o700)
    drawn = [name for name in MADE if not _read(place / name)]
    for name in drawn:
        _write(place / name, secrets.token_urlsafe(24))
    derived = urls({name: _read(place / name) for name in MADE})
    changed = [name for name, url in derived.items() if _read(place / name) != url]
    for name in changed:
        _write(place / name, derived[name])
    wrote = ", ".join(drawn + changed)
    emit(f"wrote {wrote} in {place}" if wrote else f"kept the secrets in {place}")


def _variables(path: Path, emit: Emit) -> dict[str, str]:
    """See to it that .env names every variable; what each stands at now."""
    text = path.read_text() if path.exists() else ""
    there = dict(re.findall(r"^(?:export )?(\w+)=(.*)$", text, re.MULTILINE))
    missing = [name for name in VARIABLES if name not in there]
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
    return {name: value.strip().strip("'\"") for name, value in there.items()} | {
        name: VARIABLES[name][0] for name in missing
    }


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, text: str, mode: int = 0o444) -> None:
    write_atomic(path, text.encode(), mode)  # no line end: not every reader of a secret file strips it


def main() -> None:
    """In the present folder."""

    def emit(line: str) -> None:
        sys.stdout.write(f"env: {line}\n")

    make(Path(), emit)
    emit("start everything with: docker compose up --wait")


if __name__ == "__main__":
    main()
