"""The certificate authority in a folder: created on first use; signs, renews and revokes certificates.

ca.crt            copied to all clients
ca.key            signs; never leaves this folder (mode 0600)
NAME.crt .key     the key pair of a server: broker, database
issued.txt        certificates of devices, one a line: serial number, day, device
revoked.txt       revoked certificates, in the same format
revoked.crl       the same, signed, for the broker
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from identity import ca
from identity.ca import KeyPair
from mqtt.tls import new_ca_command, require_private
from vitals.errors import PermanentError
from vitals.files import write_atomic

CA_NAME = "VitalFlow local CA"
Emit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The CA in `folder`."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        """The CA's certificate, with which clients verify the servers."""
        return self.folder / "ca.crt"

    @property
    def revocation_list_path(self) -> Path:
        """The revocation list for the broker."""
        return self.folder / "revoked.crl"

    def load_or_create(self, now: datetime) -> KeyPair:
        """Return the CA; create it on the first call. Raises PermanentError if its files are incomplete or exposed."""
        key = self.folder / "ca.key"
        if not key.exists() and not self.ca_certificate.exists():
            make_writable(self.folder)
            made = ca.new_ca(CA_NAME, now)
            write_secret(key, made.key)
            write_public(self.ca_certificate, made.certificate)
        return self._read()

    def server_pair(self, name: str, names: Sequence[str], now: datetime, emit: Emit = lambda _: None) -> KeyPair:
        """Return the key pair of the server `name` for these host names and addresses; renew it if it is due."""
        authority = self.load_or_create(now)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists() and key.exists():
            require_private(key)
            pair = KeyPair(certificate.read_bytes(), key.read_bytes())
            try:
                due = ca.renewal_reason(pair, names, authority, now)
            except (ValueError, x509.ExtensionNotFound):
                due = "it or its key is damaged, or the two files are swapped"
            if due is None:
                return pair
            emit(f"renewed the certificate of the {name}: {due}")
        made = ca.sign_server(authority, names, now)
        write_secret(key, made.key)
        write_public(certificate, made.certificate)
        return made

    def issue_client_pair(self, name: str, now: datetime) -> KeyPair:
        """Issue a certificate for a device. Its key is not kept; its serial number is, for a revocation."""
        made = ca.sign_client(self.load_or_create(now), name, now)
        self._append("issued.txt", ca.serial_number(made.certificate), name, now)
        return made

    def revoke(self, name: str, now: datetime) -> int:
        """Revoke every certificate of a device, sign the list, and return how many there were."""
        revoked = {serial for serial, _, _ in self._read_list("revoked.txt")}
        found = [
            serial for serial, _, owner in self._read_list("issued.txt") if owner == name and serial not in revoked
        ]
        for serial in found:
            self._append("revoked.txt", serial, name, now)
        if found:
            self.revocation_list(now, update=True)
        return len(found)

    def client_certificate(self, name: str) -> tuple[datetime, bool] | None:
        """Return the end of the newest certificate of a device and whether it is revoked; None if it has none."""
        revoked = {serial for serial, _, _ in self._read_list("revoked.txt")}
        issued = [(day, serial) for serial, day, owner in self._read_list("issued.txt") if owner == name]
        if not issued:
            return None
        day, serial = issued[-1]
        return day + timedelta(days=ca.DEVICE_DAYS), serial in revoked

    def revocation_list(self, now: datetime, *, update: bool = False) -> bytes:
        """Return the signed revocation list; `update` signs it again."""
        if update or not self.revocation_list_path.exists():
            serials = [serial for serial, _, _ in self._read_list("revoked.txt")]
            write_public(self.revocation_list_path, ca.revocation_list(self.load_or_create(now), serials, now))
        return self.revocation_list_path.read_bytes()

    def _read(self) -> KeyPair:
        certificate, key = self.ca_certificate, self.folder / "ca.key"
        for path, other in ((certificate, key), (key, certificate)):
            if not path.exists():
                raise PermanentError(f"{other} exists but {path.name} is missing; {self.recovery_hint}")
        require_private(key)
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
        if b"PRIVATE KEY" not in pair.key or b"BEGIN CERTIFICATE" not in pair.certificate:
            swap = f"mv {certificate} {key}.x; mv {key} {certificate}; mv {key}.x {key}; chmod 600 {key}"
            raise PermanentError(
                f"{certificate} is not a certificate, or {key} is not a private key; if the files are swapped: {swap}"
            )
        if not ca.is_key_pair(pair):
            raise PermanentError(f"{key} does not belong to {certificate}; {self.recovery_hint}")
        return pair

    @property
    def recovery_hint(self) -> str:
        """How to recover from a CA whose files are lost, for an error message."""
        return f"restore it, or create a new CA and give every client its ca.crt: {new_ca_command(self.folder)}"

    def _append(self, name: str, serial: int, owner: str, now: datetime) -> None:
        with (self.folder / name).open("a") as file:
            file.write(f"{serial:x} {now:%Y-%m-%d} {owner}\n")

    def _read_list(self, name: str) -> list[tuple[int, datetime, str]]:
        """Return serial number, day and owner of each line."""
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        parts = [line.split(" ", 2) for line in lines]
        return [
            (int(serial, 16), datetime.fromisoformat(day).replace(tzinfo=UTC), owner) for serial, day, owner in parts
        ]


def make_writable(folder: Path, mode: int = 0o700) -> None:
    """Create a folder if it is missing; raises PermanentError if it is not writable."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermanentError(f"the folder {folder} is not writable: {error.strerror}; name another one") from None


def write_secret(path: Path, content: bytes) -> None:
    """Write a file atomically, readable to its owner only."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file atomically, readable to all."""
    _write(path, content, 0o644)


def write_for_group(path: Path, content: bytes) -> None:
    """Write a file atomically, readable to owner and group: for a server of another user that copies it."""
    _write(path, content, 0o640)


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        write_atomic(path, content, mode)
    except OSError as error:
        raise PermanentError(f"{path} cannot be written: {error.strerror}") from None
