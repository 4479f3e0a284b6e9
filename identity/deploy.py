"""The folders that servers in containers read (volumes of docker-compose.yml): certificates put there, and renewed.

`furnishing` says what a broker needs; `vitalflow identity init` and `renew` call this. Servers of `vitalflow dev` get
theirs from `stack.broker_access` and `stack.servers`.
"""

import fcntl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from identity.authority import CertificateAuthority, Emit, make_writable, write_for_group, write_public, write_secret
from identity.broker_bootstrap import broker_certificates

DATABASE_NAMES = ("db", "localhost", "127.0.0.1", "::1")
"""What the database's certificate is for: its name in compose, and itself."""

Write = Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True)
class CertTargets:
    """Where everybody reads; None: nobody there.

    broker     its pair, ca.crt and the list of the revoked; it runs as our own user
    database   its pair; it runs as another user of our group, and copies the key, because PostgreSQL takes none that
               belongs to somebody else
    ca         ca.crt alone, for whoever connects
    """

    broker: Path | None = None
    database: Path | None = None
    ca: Path | None = None

    def renew(self, authority: CertificateAuthority, names: Sequence[str], now: datetime, emit: Emit) -> None:
        """Put the certificates of now in their places; what is good already stays as it is, with its time."""
        authority.load_or_create(now)
        with (authority.folder / "lock").open("w") as lock:  # `init` of an `up` and a `renew` that runs already
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = broker_certificates(authority, names, now, emit)
            if self.broker is not None:
                install_files(self.broker, files, write_secret, emit)
            if self.database is not None:
                pair = authority.server_pair("database", DATABASE_NAMES, now, emit)
                install_files(
                    self.database, {"server.key": pair.key, "server.crt": pair.certificate}, write_for_group, emit
                )
            if self.ca is not None:
                install_files(self.ca, {"ca.crt": files["ca.crt"]}, write_public, emit)


def install_files(folder: Path, files: Mapping[str, bytes], secret: Write, emit: Emit) -> None:
    """Write those files that are not there as they should be; all but certificates with `secret`."""
    make_writable(folder, 0o755)
    for name, content in files.items():
        path = folder / name
        if path.exists() and path.read_bytes() == content:
            continue
        write = write_public if name.endswith((".crt", ".crl")) else secret
        write(path, content)
        emit(f"wrote {path}")
