"""Content of the files that a broker reads at its start: certificates, and the file of its users.

`stack.broker_access` installs them for a local broker, `identity.deploy` in a container's volume.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from identity.authority import CertificateAuthority, Emit
from identity.policy import OFFLINE_SESSIONS_TOPIC, OPERATOR, Kind, User, known_user, merge_users
from mqtt.credentials import Credential, read_credentials, write_credentials
from vitals.errors import PermanentError
from vitals.topics import Topics

USERS_FILE = "dynamic-security.json"
SERVICES = ("ingest", "alerts", "station")
BUILTIN_USERS = ("admin", *SERVICES, OPERATOR)
"""Users of every installation: the admin, the services, and one person."""
EDGE_USERS = {
    **{f"edges-{kind}": "edges" for kind in ("hl7", "fhir", "webhook", "mqtt", "serial")},
    **{f"edges-{kind}-alerts": "edges-out" for kind in ("hl7", "webhook")},
    "edges-home-assistant": "edges-home-assistant",
}
"""Users of the edges and the service whose rights each has; only of an installation that has passwords for them."""
MIRROR_USER = "mirror"
"""The user of both bridges of a pair that `init --mirror` sets up."""
HEALTH_USER = "health"
"""The user of a broker container's health check. It may publish to itself and do nothing else."""


def broker_certificates(
    authority: CertificateAuthority, names: Sequence[str], now: datetime, emit: Emit, name: str = "broker"
) -> dict[str, bytes]:
    """Return the TLS files of the broker `name` by their names; a certificate that is due is renewed."""
    pair = authority.server_pair(name, names, now, emit)
    return {
        "broker.key": pair.key,
        "broker.crt": pair.certificate,
        "ca.crt": authority.ca_certificate.read_bytes(),
        "revoked.crl": authority.revocation_list(now),
    }


def update_users_file(known: bytes, users: Iterable[User], topics: Topics) -> bytes | None:
    """Return the users file with these users added; None if `known`, its present content, needs no change.

    Raises PermanentError if `known` cannot be read: it holds all enrolled users, so it must not be overwritten.
    """
    before = _decode_users(known) if known else None
    wanted = merge_users(before, users, topics)
    return None if wanted == before else msgspec.json.format(msgspec.json.encode(wanted)) + b"\n"


def users_of_ward(content: bytes, ward: str | None) -> bytes:
    """Return the users file for a further broker: all users, or those that the broker of a ward needs.

    Those are the admin, the health check, the ward's devices, and the people who see the ward.
    """
    known = _decode_users(content)
    if ward is not None:
        kept = [client for client in known.get("clients", []) if _belongs(known_user(client), ward)]
        roles = {role["rolename"] for client in kept for role in client.get("roles", [])}
        known |= {"clients": kept, "roles": [role for role in known.get("roles", []) if role["rolename"] in roles]}
    return msgspec.json.format(msgspec.json.encode(known)) + b"\n"


def _belongs(user: User, ward: str) -> bool:
    match user.kind:
        case Kind.ADMIN:
            return True
        case Kind.SERVICE:
            return user.service == HEALTH_USER
        case Kind.DEVICE | Kind.FLEET:
            return user.ward == ward
        case Kind.PERSON | Kind.READER:
            return user.ward in (None, ward)
        case _:
            return False


def _decode_users(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise PermanentError(
            f"the broker's {USERS_FILE} cannot be read ({error}); it holds all enrolled users: restore it from a backup"
        ) from None


def builtin_users(passwords: Mapping[str, str]) -> list[User]:
    """Return the built-in users with the passwords of BUILTIN_USERS."""
    return [
        User("admin", Kind.ADMIN, password=passwords["admin"]),
        User(OPERATOR, Kind.PERSON, password=passwords[OPERATOR]),
        *(User(name, Kind.SERVICE, service=name, password=passwords[name]) for name in SERVICES),
    ]


def password_file(user: str) -> str:
    """Return the name of the file that holds the password of a built-in user."""
    return f"mqtt_{user.replace('-', '_')}_password"


def edge_users(passwords: Mapping[str, str]) -> list[User]:
    """Return the users of EDGE_USERS that have a password."""
    return [
        User(name, Kind.SERVICE, service=service, password=passwords[name])
        for name, service in EDGE_USERS.items()
        if name in passwords
    ]


def health_check_user(password: str) -> User:
    """Return the user of a container's health check."""
    return User(HEALTH_USER, Kind.SERVICE, service=HEALTH_USER, password=password)


def health_check_options(password: str, ca: Path, topics: Topics) -> dict[str, bytes]:
    """Return option files for the health check's programs, by name, so that no password is on a command line.

    mosquitto_rr publishes a request and answers it itself; mosquitto_sub reads the number of offline sessions.
    """
    login = ["-h localhost", f"--cafile {ca}", f"-u {HEALTH_USER}", f"-P {password}"]
    topic_options = {
        "mosquitto_rr": [f"-t {topics.health}", f"-e {topics.health}"],
        "mosquitto_sub": [f"-t {OFFLINE_SESSIONS_TOPIC}"],
    }
    return {name: "\n".join([*login, *topic, ""]).encode() for name, topic in topic_options.items()}


def simulated_device_users(path: Path, names: Iterable[str], ward: str) -> list[User]:
    """Return users for simulated devices. Their passwords are generated on first use and kept in the file `path`."""
    known = read_credentials(path) if path.exists() else {}
    missing = {name: Credential(ward, secrets.token_urlsafe(24)) for name in names if name not in known}
    if missing:
        write_credentials(path, known | missing)
    return [User(name, Kind.DEVICE, device.ward, device.password) for name, device in (known | missing).items()]
