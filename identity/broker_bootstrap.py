"""What a broker needs in its folder before it starts: certificates, and the file of its users. Content only.

`vitalflow dev` puts it into the broker's folder, and `vitalflow identity init` into a container's volume.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from identity.authority import CertificateAuthority, Emit
from identity.policy import OFFLINE_SESSIONS_TOPIC, Kind, User, merge_users
from mqtt.credentials import Credential, read_credentials, write_credentials
from vitals.errors import PermanentError
from vitals.topics import Topics

USERS_FILE = "dynamic-security.json"
OPERATOR = "operator"
"""Who belongs to an installation and sits at its shell."""
SERVICES = ("ingest", "alerts", "station")
BUILTIN_USERS = ("admin", *SERVICES, OPERATOR)
"""Who belongs to every installation: who enrols, the services, and one person."""
HEALTH_USER = "health"
"""Who asks a broker in a container, every few seconds, whether it works; may say something to itself, and no more."""


def broker_certificates(
    authority: CertificateAuthority, names: Sequence[str], now: datetime, emit: Emit
) -> dict[str, bytes]:
    """The files of a broker's encryption, by name; the certificate is made anew when that is due."""
    pair = authority.server_pair("broker", names, now, emit)
    return {
        "broker.key": pair.key,
        "broker.crt": pair.certificate,
        "ca.crt": authority.ca_certificate.read_bytes(),
        "revoked.crl": authority.revocation_list(now),
    }


def update_users_file(known: bytes, users: Iterable[User], topics: Topics) -> bytes | None:
    """The file of the users with these in it; None where it is as it should be. `known`: the present one, or nothing.

    Raises PermanentError where the present one cannot be read: everybody who was enrolled is in it, so it is not overwritten.
    """
    try:
        before = msgspec.json.decode(known) if known else None
    except msgspec.DecodeError as error:
        raise PermanentError(
            f"the broker's {USERS_FILE} cannot be read ({error}); it holds everybody who was enrolled"
        ) from None
    wanted = merge_users(before, users, topics)
    return None if wanted == before else msgspec.json.format(msgspec.json.encode(wanted)) + b"\n"


def builtin_users(passwords: Mapping[str, str]) -> list[User]:
    """Those who belong to the installation, with the passwords of MEMBERS."""
    return [
        User("admin", Kind.ADMIN, password=passwords["admin"]),
        User(OPERATOR, Kind.PERSON, password=passwords[OPERATOR]),
        *(User(name, Kind.SERVICE, service=name, password=passwords[name]) for name in SERVICES),
    ]


def health_check_user(password: str) -> User:
    """Whom a container's health check comes in as."""
    return User(HEALTH_USER, Kind.SERVICE, service=HEALTH_USER, password=password)


def health_check_options(password: str, ca: Path, topics: Topics) -> dict[str, bytes]:
    """What programs of the health check read from files of their names, so that no password is on a command line.

    mosquitto_rr asks, and answers itself; mosquitto_sub hears how many sessions are kept for clients that are away.
    """
    login = ["-h localhost", f"--cafile {ca}", f"-u {HEALTH_USER}", f"-P {password}"]
    asked = {
        "mosquitto_rr": [f"-t {topics.health}", f"-e {topics.health}"],
        "mosquitto_sub": [f"-t {OFFLINE_SESSIONS_TOPIC}"],
    }
    return {name: "\n".join([*login, *topic, ""]).encode() for name, topic in asked.items()}


def simulated_device_users(path: Path, names: Iterable[str], ward: str) -> list[User]:
    """Simulated monitors, each with a password of its own, drawn on its first start and kept in the file `path`."""
    known = read_credentials(path) if path.exists() else {}
    missing = {name: Credential(ward, secrets.token_urlsafe(24)) for name in names if name not in known}
    if missing:
        write_credentials(path, known | missing)
    return [User(name, Kind.DEVICE, one.ward, one.password) for name, one in (known | missing).items()]
