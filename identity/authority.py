"""The CA's folder: its key, what it has signed for servers, and who is revoked. Made on first use, kept, renewed.

ca.crt            to be copied to whoever connects
ca.key            signs; leaves this folder never (mode 0600)
NAME.crt .key     a server's pair: broker, database
revoked.txt       serial numbers of revoked certificates, one a line, with name and day
revoked.crl       the same, signed, for the broker
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from identity import ca
from identity.ca import Pair
from vitals.errors import Never
from vitals.tls import refuse_readable

CA_NAME = "VitalFlow local CA"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA that lives in `folder`."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What clients need, to know our servers by."""
        return self.folder / "ca.crt"

    @property
    def revoked(self) -> Path:
        """The list of the revoked, for the broker."""
        return self.folder / "revoked.crl"

    def open(self, now: datetime) -> Pair:
        """The CA, made on the first call. Raises Never where others can read its key, or half of it is missing."""
        key = self.folder / "ca.key"
        if not key.exists() and not self.certificate.exists():
            self._make_folder()
            made = ca.new_ca(CA_NAME, now)
            write_secret(key, made.key)
            write_public(self.certificate, made.certificate)
        return self._read("ca", f"is there without its other half; delete {self.folder} to begin anew")

    def server(self, name: str, names: Sequence[str], now: datetime, say: Say = lambda _: None) -> Pair:
        """The pair of the server `name`, valid for these host names and addresses; made anew when that is due."""
        authority = self.open(now)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists() and key.exists():
            pair = self._read(name, "is there without its other half")
            try:
                due = ca.is_due(pair.certificate, names, authority, now)
            except ValueError:
                due = "it is damaged"
            if due is None:
                return pair
            say(f"the certificate of the {name} is made anew: {due}")
        made = ca.sign_server(authority, names, now)
        write_secret(key, made.key)
        write_public(certificate, made.certificate)
        return made

    def client(self, name: str, now: datetime) -> Pair:
        """A new certificate for a device. Its key is given away and not kept; its number is, to be revoked by."""
        made = ca.sign_client(self.open(now), name, now)
        self._note("issued.txt", ca.serial(made.certificate), name, now)
        return made

    def revoke(self, name: str, now: datetime) -> int:
        """Revoke every certificate that was made for a device, and sign the list; how many there were."""
        done = {serial for serial, _ in self._noted("revoked.txt")}
        found = [serial for serial, whose in self._noted("issued.txt") if whose == name and serial not in done]
        for serial in found:
            self._note("revoked.txt", serial, name, now)
        if found:
            self.revocations(now, anew=True)
        return len(found)

    def revocations(self, now: datetime, *, anew: bool = False) -> bytes:
        """The signed list of the revoked."""
        if anew or not self.revoked.exists():
            serials = [serial for serial, _ in self._noted("revoked.txt")]
            write_public(self.revoked, ca.revocation_list(self.open(now), serials, now))
        return self.revoked.read_bytes()

    def _read(self, name: str, torn: str) -> Pair:
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        for path in (certificate, key):
            if not path.exists():
                other = key if path == certificate else certificate
                raise Never(f"{other} {torn}")
        refuse_readable(key)
        pair = Pair(certificate.read_bytes(), key.read_bytes())
        if b"PRIVATE KEY" not in pair.key or b"BEGIN CERTIFICATE" not in pair.certificate:
            raise Never(f"{certificate} and {key} have changed places; expected a certificate and its private key")
        return pair

    def _note(self, name: str, serial: int, whose: str, now: datetime) -> None:
        with (self.folder / name).open("a") as file:
            file.write(f"{serial:x} {now:%Y-%m-%d} {whose}\n")

    def _noted(self, name: str) -> list[tuple[int, str]]:
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split(" ", 2)[0], 16), line.split(" ", 2)[2]) for line in lines]

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)


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
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    fresh.replace(path)
