"""The CA's folder: its key, what it has signed for servers, and who is revoked. Made on first use, kept, renewed.

ca.crt            to be copied to whoever connects
ca.key            signs; leaves this folder never (mode 0600)
NAME.crt .key     a server's pair: broker, database
revoked.txt       serial numbers of revoked certificates, one a line, with name and day
revoked.crl       the same, signed, for the broker
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
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
    """The CA that lives in `folder`."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        """What clients need, to know our servers by."""
        return self.folder / "ca.crt"

    @property
    def revocation_list_path(self) -> Path:
        """The list of the revoked, for the broker."""
        return self.folder / "revoked.crl"

    def load_or_create(self, now: datetime) -> KeyPair:
        """The CA, made on the first call. Raises PermanentError where others can read its key, or half of it is missing."""
        key = self.folder / "ca.key"
        if not key.exists() and not self.ca_certificate.exists():
            make_writable(self.folder)
            made = ca.new_ca(CA_NAME, now)
            write_secret(key, made.key)
            write_public(self.ca_certificate, made.certificate)
        return self._read()

    def server_pair(self, name: str, names: Sequence[str], now: datetime, emit: Emit = lambda _: None) -> KeyPair:
        """The pair of the server `name`, valid for these host names and addresses; made anew when that is due."""
        authority = self.load_or_create(now)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists() and key.exists():
            require_private(key)
            pair = KeyPair(certificate.read_bytes(), key.read_bytes())
            try:
                due = ca.renewal_reason(pair, names, authority, now)
            except (ValueError, x509.ExtensionNotFound):
                due = "it or its key is damaged, or they have changed places"
            if due is None:
                return pair
            emit(f"the certificate of the {name} is made anew: {due}")
        made = ca.sign_server(authority, names, now)
        write_secret(key, made.key)
        write_public(certificate, made.certificate)
        return made

    def issue_client_pair(self, name: str, now: datetime) -> KeyPair:
        """A new certificate for a device. Its key is given away and not kept; its number is, to be revoked by."""
        made = ca.sign_client(self.load_or_create(now), name, now)
        self._append("issued.txt", ca.serial_number(made.certificate), name, now)
        return made

    def revoke(self, name: str, now: datetime) -> int:
        """Revoke every certificate that was made for a device, and sign the list; how many there were."""
        done = {serial for serial, _ in self._read_list("revoked.txt")}
        found = [serial for serial, whose in self._read_list("issued.txt") if whose == name and serial not in done]
        for serial in found:
            self._append("revoked.txt", serial, name, now)
        if found:
            self.revocation_list(now, anew=True)
        return len(found)

    def revocation_list(self, now: datetime, *, anew: bool = False) -> bytes:
        """The signed list of the revoked."""
        if anew or not self.revocation_list_path.exists():
            serials = [serial for serial, _ in self._read_list("revoked.txt")]
            write_public(self.revocation_list_path, ca.revocation_list(self.load_or_create(now), serials, now))
        return self.revocation_list_path.read_bytes()

    def _read(self) -> KeyPair:
        certificate, key = self.ca_certificate, self.folder / "ca.key"
        for path, other in ((certificate, key), (key, certificate)):
            if not path.exists():
                raise PermanentError(f"{other} is there without its other half, {path.name}; {self.recovery_hint}")
        require_private(key)
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
        if b"PRIVATE KEY" not in pair.key or b"BEGIN CERTIFICATE" not in pair.certificate:
            swap = f"mv {certificate} {key}.x; mv {key} {certificate}; mv {key}.x {key}; chmod 600 {key}"
            raise PermanentError(
                f"{certificate} is no certificate, or {key} no private key; if they have changed places: {swap}"
            )
        if not ca.is_key_pair(pair):
            raise PermanentError(f"{key} does not belong to {certificate}; {self.recovery_hint}")
        return pair

    @property
    def recovery_hint(self) -> str:
        """What mends a CA that is lost."""
        return f"restore it, or begin anew, and give every client the new ca.crt: {new_ca_command(self.folder)}"

    def _append(self, name: str, serial: int, whose: str, now: datetime) -> None:
        with (self.folder / name).open("a") as file:
            file.write(f"{serial:x} {now:%Y-%m-%d} {whose}\n")

    def _read_list(self, name: str) -> list[tuple[int, str]]:
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split(" ", 2)[0], 16), line.split(" ", 2)[2]) for line in lines]


def make_writable(folder: Path, mode: int = 0o700) -> None:
    """Make a folder where it is missing, for its owner only; raises PermanentError where nothing can be written into it."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermanentError(
            f"nothing can be written to the folder {folder}: {error.strerror}; name another one"
        ) from None


def write_secret(path: Path, content: bytes) -> None:
    """Write a file for its owner only, in one step: nobody sees half of it, or sees it at all."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file for everybody, in one step."""
    _write(path, content, 0o644)


def write_for_group(path: Path, content: bytes) -> None:
    """Write a file for its owner and its group, in one step: for a server of another user that copies it."""
    _write(path, content, 0o640)


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        write_atomic(path, content, mode)
    except OSError as error:
        raise PermanentError(f"{path} cannot be written: {error.strerror}") from None
