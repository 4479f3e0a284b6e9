"""Enrol devices: create their credentials and write or describe them for the engineer of the device."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from identity.authority import make_writable, write_public, write_secret
from identity.ca import KeyPair
from identity.dynsec import connect_dynsec
from identity.enrolment import check_users, enroll
from identity.policy import Kind, User
from identity.settings import IdentitySettings
from mqtt.credentials import Credential, read_credentials, write_credentials
from mqtt.endpoint import session_id
from vitals.errors import PermanentError


@dataclass(frozen=True, slots=True)
class DeviceCredentials:
    """Credentials of one device: a password, or a key pair with a certificate."""

    name: str
    ward: str
    host: str
    port: int
    ca: Path | None
    password: str | None
    key_pair: KeyPair | None

    @property
    def client_id(self) -> str:
        """The client id for CONNECT. Only this device may use it, and it cannot be guessed."""
        return session_id(self.name, (self.key_pair.key if self.key_pair else (self.password or "").encode()))

    @property
    def url(self) -> str:
        """Everything in one URL, for a QR code."""
        name = quote(self.name, safe="")
        userinfo = name if self.password is None else f"{name}:{self.password}"
        return f"mqtts://{userinfo}@{self.host}:{self.port}?client_id={quote(self.client_id, safe='')}"

    def describe(self, topic: str) -> list[str]:
        """Return lines that describe the credentials for typing them in."""
        login = (
            ["certificate  device.crt, with its key device.key"]
            if self.password is None
            else [
                f"user         {self.name}",
                f"password     {self.password}",
            ]
        )
        return [
            f"broker       {self.host}, port {self.port}, with TLS",
            f"CA           {self.ca or 'of the system'}",
            *login,
            f"client id    {self.client_id}",
            f"publishes    {topic}  (QoS 1)",
        ]

    def write(self, folder: Path) -> None:
        """Write the device's files to a folder: device.json, ca.crt, and the certificate with its key."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = {
            "host": self.host,
            "port": self.port,
            "user": self.name,
            "password": self.password,
            "client_id": self.client_id,
            "ward": self.ward,
        }
        write_secret(folder / "device.json", json.dumps(config, indent=2).encode() + b"\n")
        if self.ca is not None:
            write_public(folder / "ca.crt", self.ca.read_bytes())
        if self.key_pair is not None:
            write_public(folder / "device.crt", self.key_pair.certificate)
            write_secret(folder / "device.key", self.key_pair.key)


def ensure_writable(folders: Mapping[str, Path], credentials: Path | None) -> None:
    """Create the folders of devices by name; raises PermanentError if one is not writable or holds another device.

    Call it before enrolling: a password that cannot be written is lost, and its device would be enrolled in vain.
    """
    if credentials is not None and credentials.exists():
        read_credentials(credentials)
    for name, folder in folders.items():
        _require_free(folder / "device.json", name)
    for folder in [*folders.values(), *([] if credentials is None else [credentials.parent])]:
        make_writable(folder)


def _require_free(path: Path, name: str) -> None:
    """Raise PermanentError if the file of a device's credentials belongs to another device."""
    try:
        owner = json.loads(path.read_bytes())["user"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        owner = None
    if owner != name:
        whose = "another device" if owner is None else f"the device {str(owner)[:60]!r}"
        raise PermanentError(f"{path} holds the credentials of {whose}; name another folder for {name!r}")


def enroll_devices(
    settings: IdentitySettings,
    names: Sequence[str],
    ward: str,
    *,
    certificate: bool,
    rotate_password: bool,
    by: str,
    host: str | None = None,
) -> list[DeviceCredentials]:
    """Enrol devices of a ward; return their credentials.

    Raises PermanentError or TransientError; then no device is enrolled.
    """
    now, admin = datetime.now(UTC), settings.admin
    authority = None
    if certificate:
        authority = settings.authority
        if not authority.ca_certificate.exists():
            raise PermanentError(
                f"{authority.ca_certificate} does not exist; certificates are issued on the machine with the CA: "
                "export VITALFLOW_CA_DIR=.stack/identity"
            )
    passwords = [None if certificate else secrets.token_urlsafe(24) for _ in names]
    users = [User(name, Kind.DEVICE, ward, password) for name, password in zip(names, passwords, strict=True)]
    check_users(users)
    with connect_dynsec(admin, settings.pair) as dynsec:
        # Before enrolling: a name may be too long for a certificate, or the CA may be damaged. If enrolling fails, the
        # certificate stays on the CA's list and is revoked with the device.
        key_pairs = [None if authority is None else authority.issue_client_pair(name, now) for name in names]
        enroll(dynsec, users, settings.topics, by=by, now=now, rotate_password=rotate_password)
    default_host, port = settings.device_endpoint(certificate=certificate)
    return [
        DeviceCredentials(name, ward, host or default_host, port, settings.mqtt_ca, password, key_pair)
        for name, password, key_pair in zip(names, passwords, key_pairs, strict=True)
    ]


def save_passwords(path: Path, devices: Sequence[DeviceCredentials]) -> None:
    """Add the passwords to a credentials file, for `simulate` and `replay`."""
    known = read_credentials(path) if path.exists() else {}
    new = {device.name: Credential(device.ward, device.password) for device in devices if device.password is not None}
    write_credentials(path, known | new)
