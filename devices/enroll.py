"""Letting a monitor of one's own in: its credentials are made, and told in the words of who sets it up.

`identity.enrolment` lets it in at the broker; here is what comes out of that: files for the device, and sentences.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from identity.authority import CertificateAuthority, make_writable, write_public, write_secret
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
    """What is put on one device. `pair`: its certificate, where it has no password."""

    name: str
    ward: str
    host: str
    port: int
    ca: Path | None
    password: str | None
    pair: KeyPair | None

    @property
    def client_id(self) -> str:
        """What it has to call itself in CONNECT; nobody else may, and nobody else can know it."""
        return session_id(self.name, (self.pair.key if self.pair else (self.password or "").encode()))

    @property
    def url(self) -> str:
        """For a QR code: all of it in one line."""
        name = quote(self.name, safe="")
        who = name if self.password is None else f"{name}:{self.password}"
        return f"mqtts://{who}@{self.host}:{self.port}?client_id={quote(self.client_id, safe='')}"

    def describe(self, topic: str) -> list[str]:
        """For a person who types."""
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
        """Into a folder to be copied: device.json, ca.crt, and the certificate with its key."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = {
            "host": self.host,
            "port": self.port,
            "user": self.name,
            "password": self.password,
            "client_id": self.client_id,
            "ward": self.ward,
        }
        write_secret(folder / "device.json", json.dumps(told, indent=2).encode() + b"\n")
        if self.ca is not None:
            write_public(folder / "ca.crt", self.ca.read_bytes())
        if self.pair is not None:
            write_public(folder / "device.crt", self.pair.certificate)
            write_secret(folder / "device.key", self.pair.key)


def ensure_writable(folders: Iterable[Path], credentials: Path | None) -> None:
    """Make the places that passwords and certificates will be written to; raises PermanentError where one cannot be.

    Before anybody is let in: a password that could not be written down would be lost, and its device let in for nobody.
    """
    if credentials is not None and credentials.exists():
        read_credentials(credentials)
    for folder in [*folders, *([] if credentials is None else [credentials.parent])]:
        make_writable(folder)


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
    """Enrol devices of a ward; what is to be put on each. Raises PermanentError or TransientError, and then none was let in."""
    now, admin = datetime.now(UTC), settings.admin
    authority = None
    if certificate:
        if settings.ca_dir is None:
            raise PermanentError("VITALFLOW_CA_DIR is not set; a certificate is made where the CA is")
        authority = CertificateAuthority(settings.ca_dir)
        if not authority.ca_certificate.exists():
            raise PermanentError(
                f"{authority.ca_certificate} is not there; a certificate is made where the CA is: "
                "export VITALFLOW_CA_DIR=.stack/identity"
            )
    words = [None if certificate else secrets.token_urlsafe(24) for _ in names]
    users = [User(name, Kind.DEVICE, ward, word) for name, word in zip(names, words, strict=True)]
    check_users(users)
    with connect_dynsec(admin) as dynsec:
        # Before anybody is let in: a name may be too long for a certificate, or the CA damaged. What is made for nobody
        # in the end is on the CA's list, and is revoked with the device.
        pairs = [None if authority is None else authority.issue_client_pair(name, now) for name in names]
        enroll(dynsec, users, settings.topics, by=by, now=now, rotate_password=rotate_password)
    known_as, port = settings.device_endpoint(certificate=certificate)
    return [
        DeviceCredentials(name, ward, host or known_as, port, settings.mqtt_ca, word, pair)
        for name, word, pair in zip(names, words, pairs, strict=True)
    ]


def save_passwords(path: Path, credentials_list: Sequence[DeviceCredentials]) -> None:
    """Add the passwords to a credentials file, for `simulate` and `replay`."""
    known = read_credentials(path) if path.exists() else {}
    new = {card.name: Credential(card.ward, card.password) for card in credentials_list if card.password is not None}
    write_credentials(path, known | new)
