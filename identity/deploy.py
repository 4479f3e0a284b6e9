"""Install and renew certificates in the folders that server containers read (volumes of docker-compose.yml).

Called by `vitalflow identity init` and `renew`. `stack.broker_access` and `stack.servers` do it for `vitalflow dev`.
"""

import fcntl
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from identity.authority import CertificateAuthority, Emit, make_writable, write_for_group, write_public, write_secret
from identity.broker_bootstrap import broker_certificates

DATABASE_NAMES = ("db", "localhost", "127.0.0.1", "::1")
"""Host names of the database's certificate: its name in compose, and its own machine."""

EDGES = "edges"
"""Name of the certificate of the edges' listeners."""
TOKEN = "token"

Write = Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True)
class CertTargets:
    """Folders to install certificates in; None: not deployed.

    broker     its key pair, ca.crt and the revocation list; the broker runs as the same user
    database   its key pair, readable by the group: PostgreSQL runs as another user of it and copies the key, because it
               accepts only a key of its own user
    ca         ca.crt alone, for all clients
    edges      the key pair of their listeners, ca.crt, the revocation list, and a token for a first sender over HTTP,
               created once; the listeners run as the same user
    """

    broker: Path | None = None
    database: Path | None = None
    ca: Path | None = None
    edges: Path | None = None

    def renew(self, authority: CertificateAuthority, names: Sequence[str], now: datetime, emit: Emit) -> None:
        """Install all files that are missing or have changed; others keep their modification time."""
        authority.load_or_create(now)
        with (authority.folder / "lock").open("w") as lock:  # `init` may run beside `renew`
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = broker_certificates(authority, names, now, emit)
            if self.broker is not None:
                install_files(self.broker, files, write_secret, emit)
            if self.database is not None:
                pair = authority.server_pair("database", DATABASE_NAMES, now, emit)
                install_files(
                    self.database, {"server.key": pair.key, "server.crt": pair.certificate}, write_for_group, emit
                )
            if self.edges is not None:
                pair, token = authority.server_pair(EDGES, names, now, emit), self.edges / TOKEN
                wanted = {name: files[name] for name in ("ca.crt", "revoked.crl")}
                wanted |= {"edges.key": pair.key, "edges.crt": pair.certificate}
                wanted[TOKEN] = token.read_bytes() if token.exists() else secrets.token_hex(32).encode()
                install_files(self.edges, wanted, write_secret, emit)
            if self.ca is not None:
                install_files(self.ca, {"ca.crt": files["ca.crt"]}, write_public, emit)


def install_files(folder: Path, files: Mapping[str, bytes], secret: Write, emit: Emit) -> None:
    """Write the files whose content differs; certificates as public, all others with `secret`."""
    make_writable(folder, 0o755)
    for name, content in files.items():
        path = folder / name
        if path.exists() and path.read_bytes() == content:
            continue
        write = write_public if name.endswith((".crt", ".crl")) else secret
        write(path, content)
        emit(f"wrote {path}")
