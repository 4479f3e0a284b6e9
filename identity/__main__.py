"""Command line `vitalflow identity` and `vitalflow user`: options and output."""

import logging
import os
import re
import secrets
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from identity import check as checking
from identity.accounts import serve
from identity.authority import make_writable, write_secret
from identity.bridge import BRIDGE_FILE, BridgeLogin, mirror_section
from identity.bridge_commands import RotatePassword, add_commands, host_and_port
from identity.broker_bootstrap import (
    BUILTIN_USERS,
    EDGE_USERS,
    HEALTH_USER,
    MIRROR_USER,
    USERS_FILE,
    builtin_users,
    edge_users,
    health_check_options,
    health_check_user,
    password_file,
    update_users_file,
)
from identity.deploy import CertTargets, install_files
from identity.dynsec import connect_dynsec
from identity.enrolment import enroll_user, list_users, revoke
from identity.policy import OFFLINE_SESSIONS_TOPIC, ROLES, Kind, User
from identity.settings import IdentitySettings
from mqtt.broker_check import check_broker
from mqtt.broker_log import LOG_TOPICS
from mqtt.session import SESSION_EXPIRY_S
from vitals import log as vitals_log
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError, TransientError
from vitals.stop_signals import set_on_signals

PROGRAM = "vitalflow identity"
OPTION_FILES = ("mosquitto_sub", "mosquitto_pub")
SERVICE_ADVICE: dict[str, tuple[str, ...]] = {
    "ingest": ("VITALFLOW_INGEST_SHARE_GROUP=NAME: the same at every ingest, so that they divide the readings",),
    "alerts": ("VITALFLOW_ALERTS_WARDS=WARD,...: no ward at two workers; set it at the other worker too",),
    "station": (),
    "edges": ("an inbox of its own (--inbox), and other beds than another process",),
    "edges-home-assistant": (),
    "edges-out": ("a queue of its own (--queue), and VITALFLOW_EDGES_OUT_METRICS_PORT if 9467 is in use",),
}
"""Further settings of a second process, by service."""


ServiceName = Literal["ingest", "alerts", "station", "edges", "edges-out", "edges-home-assistant", "home-assistant"]
"""Services of which several processes can run."""
Role = Literal["nurse", "read-only", "administrator"]
"""Role of a user of the station; the keys of `identity.policy.ROLES`."""

app = command_group(PROGRAM)
users = command_group()
app.add_typer(users, name="user")


@app.callback()
def about() -> None:
    """Access control: the local CA, broker users, enrolment and revocation.

    `vitalflow devices enroll` enrols devices. `vitalflow dev` does what `init` does by itself.
    """


@users.callback()
def about_users() -> None:
    """Users of the broker and the station: add, list, revoke. Also available as `vitalflow user`."""


Broker = Annotated[
    Path | None, typer.Option(help="The folder from which the broker reads its certificates.", file_okay=False)
]
Database = Annotated[Path | None, typer.Option(help="The folder for the database's certificate.", file_okay=False)]
Ca = Annotated[
    Path | None, typer.Option(help="The folder in which clients find the CA's certificate.", file_okay=False)
]
Edges = Annotated[
    Path | None, typer.Option(help="The folder for certificate and token of the edges' listeners.", file_okay=False)
]

Mark = Annotated[
    Path | None, typer.Option(help="Touch this file after each check, for a health check.", dir_okay=False)
]


@app.command(
    epilog=examples(
        "vitalflow identity init --broker /mosquitto/identity --users /mosquitto/data --passwords /run/secrets",
        heading="Example, for a broker in a container",
    ),
)
def init(
    passwords: Annotated[
        Path | None, typer.Option(help="The folder of mqtt_USER_password for each user; missing ones are created.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="The folder in which the broker keeps its users.", file_okay=False)
    ] = None,
    broker: Broker = None,
    database: Database = None,
    ca: Ca = None,
    edges: Edges = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT to which the mirror of this broker connects; bridge.conf is written beside the users."
        ),
    ] = None,
) -> None:
    """Create or renew the CA, the servers' certificates and the broker's users; install them in the given folders.

    Safe to repeat: valid files stay unchanged, and enrolled users stay enrolled and get the rights of this version. A
    running broker or database reloads certificates at SIGHUP. VITALFLOW_BROKER_HOSTNAMES names the broker's hosts.
    """
    settings, now = IdentitySettings.read(os.environ), datetime.now(UTC)
    authority = settings.authority
    CertTargets(broker, database, ca, edges).renew(authority, settings.broker_names, now, emit)
    if users is not None:
        if passwords is None:
            raise PermanentError("--users needs --passwords, the folder of the passwords that the services log in with")
        words, known = read_passwords(passwords, *([MIRROR_USER] if mirror else [])), users / USERS_FILE
        builtin = [*builtin_users(words), *edge_users(words), health_check_user(words[HEALTH_USER])]
        if mirror is not None:
            builtin.append(User(MIRROR_USER, Kind.MIRROR, password=words[MIRROR_USER]))
            login = BridgeLogin(MIRROR_USER, *host_and_port(mirror), words[MIRROR_USER])
            install_files(users, {BRIDGE_FILE: mirror_section(login, settings.topics).encode()}, write_secret, emit)
        wanted = update_users_file(known.read_bytes() if known.exists() else b"", builtin, settings.topics)
        if wanted is not None:
            install_files(users, {USERS_FILE: wanted}, write_secret, emit)
        if broker is not None:
            options = health_check_options(words[HEALTH_USER], broker / "ca.crt", settings.topics)
            install_files(broker, options, write_secret, emit)
    emit(f"ready: {authority.folder}")


@app.command()
def renew(
    broker: Broker = None,
    database: Database = None,
    ca: Ca = None,
    edges: Edges = None,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two checks.")] = 60,
    mark: Mark = None,
) -> None:
    """Every minute until SIGTERM, renew and install the certificates that are due for renewal or revoked."""
    settings, stop = IdentitySettings.read(os.environ), threading.Event()
    authority, targets = settings.authority, CertTargets(broker, database, ca, edges)
    set_on_signals(stop)
    while True:
        targets.renew(authority, settings.broker_names, datetime.now(UTC), emit)
        if mark is not None:
            mark.touch()
        if stop.wait(every):
            return


@app.command()
def accounts(mark: Mark = None, verbose: Verbose = False) -> None:
    """Until SIGTERM, set the passwords that users choose at the station. Needs VITALFLOW_ADMIN_URL."""
    vitals_log.configure("accounts", verbose, os.environ)
    settings, stop = IdentitySettings.read(os.environ), threading.Event()
    set_on_signals(stop)
    alive = (lambda: None) if mark is None else mark.touch
    serve(settings.admin, settings.pair, settings.topics, stop, logging.getLogger("accounts").info, alive)


@app.command()
def check() -> None:
    """Check every certificate and secret file, and show until when each certificate is valid.

    Prints each problem in one sentence; then the exit code is 2.
    """
    settings, now = IdentitySettings.read(os.environ), datetime.now(UTC)
    folder = settings.authority.folder
    for line in checking.list_certificates(folder, now):
        emit(line)
    found = list(checking.find_problems(folder, settings.broker_names, now))
    for sentence in found:
        emit(sentence)
    if found:
        raise typer.Exit(2)
    emit("no problems found")


@app.command("check-broker")
def check_broker_features() -> None:
    """Try what the services need of the broker in VITALFLOW_MQTT_URL, or of each of several.

    Prints what is missing and what follows from it, a sentence each; then the exit code is 1.
    """
    settings = IdentitySettings.read(os.environ)
    topic, filters = settings.topics.service(settings.broker.username or "check"), (OFFLINE_SESSIONS_TOPIC, *LOG_TOPICS)
    is_whole = True
    for broker in settings.broker.candidates:
        try:
            found = check_broker(broker, topic, SESSION_EXPIRY_S, sys_filters=filters, shared=True)
        except TransientError as error:
            is_whole = False
            emit(f"{broker.address}: not checked: {error}")
            continue
        lacks = [sentence for _, sentence in found if sentence is not None]
        is_whole = is_whole and not lacks
        for sentence in lacks or [f"nothing is missing of {', '.join(feature for feature, _ in found)}"]:
            emit(f"{broker.address}: {sentence}")
    if not is_whole:
        raise typer.Exit(1)


@app.command(
    "add-service",
    epilog=examples(
        "vitalflow identity add-service alerts-icu-2 --service alerts --wards icu-2,icu-3",
        heading="Example, for a second alert worker",
    ),
)
def add_service(
    name: Annotated[str, typer.Argument(help="The user name at the broker and the service's client id.")],
    service: Annotated[ServiceName, typer.Option(help="The service whose rights it gets.")],
    wards: Annotated[
        str, typer.Option(help="Wards, with commas, that an alert worker may read and write. Default: all.")
    ] = "",
    rotate_password: RotatePassword = False,
) -> None:
    """Add a user for a further process of a service, and print the process's settings. Takes effect at once.

    The password is shown once and cannot be shown again. `vitalflow user revoke NAME` removes the user.
    """
    settings, password = IdentitySettings.read(os.environ), secrets.token_urlsafe(24)
    admin = settings.admin
    if name in BUILTIN_USERS or not re.fullmatch(r"[\w.-]{1,64}", name):
        raise PermanentError(f"the name {name[:60]!r} cannot be used; expected a new client id, like {service}-2")
    if wards and service != "alerts":
        advice = "; ingests divide the readings with VITALFLOW_INGEST_SHARE_GROUP" if service == "ingest" else ""
        raise PermanentError(f"--wards is for alert workers: {service} serves all wards{advice}")
    only = tuple(dict.fromkeys(wards.split(","))) if wards else ()
    user = User(name, Kind.SERVICE, service=service, password=password, wards=only)
    enroll_user(settings, user, datetime.now(UTC), rotate_password=rotate_password)
    emit(f"{name} may connect as a further {service} service, with these settings:")
    print(f"  VITALFLOW_MQTT_URL=mqtt{'s' * admin.tls}://{name}:{password}@{admin.host}:{admin.port}")
    print(f"  VITALFLOW_MQTT_CA={settings.mqtt_ca or ''}  (the broker's CA; copy this file)")
    if service == "home-assistant":
        return  # a program of others, without settings of ours
    print(f"  VITALFLOW_{service.upper().replace('-', '_')}_CLIENT_ID={name}")
    for line in [f"VITALFLOW_ALERTS_WARDS={wards}"] if wards else SERVICE_ADVICE[service]:
        print(f"  {line}")
    if service != "station":
        print(f"  VITALFLOW_STATION_SERVICES: add {name} at the station, so that its pages show an outage")


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="The user name. It signs the user's acknowledgements.")],
    ward: Annotated[str | None, typer.Option(help="The only ward that the user sees.")] = None,
    all_wards: Annotated[bool, typer.Option("--all-wards", help="The user sees every ward.")] = False,
    role: Annotated[
        Role, typer.Option(help="What the user does: a read-only user sees, an administrator enrols and revokes.")
    ] = "nurse",
    rotate_password: RotatePassword = False,
    folder: Annotated[
        Path | None, typer.Option(help="Write options for mosquitto_sub and mosquitto_pub here.", file_okay=False)
    ] = None,
) -> None:
    """Add a user of the station, of `vitalflow alerts watch` and of any MQTT client. Takes effect at once.

    A nurse sees the ward, acknowledges and sets limits; a read-only user sees the ward. An administrator sees no
    patient and enrols and revokes with `vitalflow`, at the address that this command prints.
    """
    settings, password = IdentitySettings.read(os.environ), secrets.token_urlsafe(24)
    if role != "administrator":
        ward = chosen_ward(name, ward, all_wards=all_wards)
    elif all_wards or ward is not None:
        raise PermanentError("an administrator sees no ward; leave out --ward and --all-wards")
    if folder is not None:
        require_free_options(folder, name)
        make_writable(folder)  # first: a password that cannot be written would be lost
    user = User(name, ROLES[role], ward, password)
    enroll_user(settings, user, datetime.now(UTC), rotate_password=rotate_password)
    sees = "no ward" if role == "administrator" else "all wards" if ward is None else f"ward {ward}"
    emit(f"{name} is enrolled as {role}, and sees {sees}")
    host, port = settings.device_endpoint(certificate=False)
    if folder is None:
        if role != "administrator":
            print(f"  station: sign in as {name} with the password {password}")
        setting = "ADMIN" if role == "administrator" else "MQTT"
        print(f"  VITALFLOW_{setting}_URL=mqtts://{name}:{password}@{host}:{port}")
        print(f"  VITALFLOW_MQTT_CA={settings.mqtt_ca or ''}  (copy this file)")
        return
    options = [f"-h {host}", f"-p {port}", f"-u {name}", f"-P {password}"]
    if settings.mqtt_ca is not None:
        options.append(f"--cafile {settings.mqtt_ca}")
    for program in OPTION_FILES:
        write_secret(folder / program, "\n".join([*options, ""]).encode())
    print(f"  for mosquitto_sub and mosquitto_pub: copy the files in {folder} to ~/.config")


@users.command("list")
def print_users() -> None:
    """List every user of the broker: role or kind, name, and its ward or service."""
    with connect_dynsec(IdentitySettings.read(os.environ).admin) as dynsec:
        found = list_users(dynsec)
    width, names = max((len(user.name) for user in found), default=0), {kind: role for role, kind in ROLES.items()}
    for user in found:
        print(f"{names.get(user.kind, user.kind):<13} {user.name:<{width}}  {_detail(user)}")


def _detail(user: User) -> str:
    return " ".join(filter(None, (user.ward or user.service, ",".join(user.wards)))) or "-"


@users.command("revoke")
def revoke_user(name: Annotated[str, typer.Argument(help="A user or a device.")]) -> None:
    """Revoke a user or device and disconnect it immediately."""
    settings, now = IdentitySettings.read(os.environ), datetime.now(UTC)
    with connect_dynsec(settings.admin, settings.pair) as dynsec:
        revoke(dynsec, name, settings.topics, by=settings.administrator, now=now)
    if settings.ca_dir is not None:
        settings.authority.revoke(name, now)
    emit(f"{name} is revoked and disconnected")


def chosen_ward(name: str, ward: str | None, *, all_wards: bool) -> str | None:
    """Return the only ward of a new user, None for all; asks on a terminal if neither is chosen."""
    if all_wards and ward is not None:
        raise PermanentError("--ward and --all-wards exclude each other; give one of them")
    if all_wards or ward is not None:
        return ward
    if not sys.stdin.isatty():
        raise PermanentError(f"no ward is given for {name[:60]!r}; give --ward WARD, or --all-wards for every ward")
    if answer := typer.prompt(f"The only ward that {name} sees (empty: every ward)", default="", show_default=False):
        return str(answer)
    if not typer.confirm(f"{name} sees every ward?"):
        raise PermanentError("no user was added; give --ward WARD")
    return None


def require_free_options(folder: Path, name: str) -> None:
    """Raise PermanentError if the folder holds another user's options with the password."""
    for program in OPTION_FILES:
        path = folder / program
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            lines = []
        if f"-u {name}" not in lines:
            raise PermanentError(f"{path} exists and is not of the user {name[:60]!r}; name another folder")


def read_passwords(folder: Path, *more: str) -> dict[str, str]:
    """Return the built-in users' passwords from their files; missing ones are created, but not those of the edges."""
    found = {}
    for name in (*BUILTIN_USERS, HEALTH_USER, *EDGE_USERS, *more):
        path = folder / password_file(name)
        if not path.exists():
            if name in EDGE_USERS:
                continue
            make_writable(folder)
            write_secret(path, secrets.token_urlsafe(24).encode())
        found[name] = path.read_text().strip()
        if len(found[name]) < 16:
            raise PermanentError(f"the password in {path} has {len(found[name])} characters; expected 16 or more")
    return found


def emit(sentence: str) -> None:
    """Print a line of progress."""
    print(f"{PROGRAM}: {sentence}")


add_commands(app, emit)

if __name__ == "__main__":
    app(prog_name="python -m identity")
