"""TLS of the edges' own listeners: a certificate of the server, and clients with a certificate of the project's CA.

Changed files are loaded while connections are open: `renew`.
"""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from mqtt.tls import read_private_key
from vitals.errors import PermanentError

log = logging.getLogger("edges")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a listener with TLS.

    certificate, key   of the listener; the certificate with its chain
    ca                 the CA that signed the clients' certificates
    revoked            its revocation list; None: no certificate is revoked
    """

    certificate: Path
    key: Path
    ca: Path
    revoked: Path | None = None


class ServerTls:
    """The context for new connections; raises PermanentError that names a file that cannot be used."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._loaded = self._stamp()
        self.context, self._revoked = self._load()

    def renew(self) -> None:
        """Load changed files; log an error and keep the former ones if they are invalid."""
        try:
            stamp = self._stamp()
            if stamp == self._loaded:
                return
            self._loaded = stamp
            self.context, self._revoked = self._load()
            log.info("the certificate in %s and what belongs to it are loaded", self._files.certificate)
        except PermanentError as error:
            log.error("%s; the former files stay in use", error)

    def is_valid(self, certificate: Mapping[str, Any], now: datetime) -> bool:
        """Return whether a client's certificate, as `getpeercert` returns it, has not ended and is not revoked."""
        ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        return now.timestamp() < ends and int(certificate["serialNumber"], 16) not in self._revoked

    def _load(self) -> tuple[ssl.SSLContext, frozenset[int]]:
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 or newer
        context.verify_mode = ssl.CERT_REQUIRED
        read_private_key(files.key)
        try:
            context.load_cert_chain(files.certificate, files.key)
        except ssl.SSLError:
            raise PermanentError(
                f"{files.certificate} and {files.key} are no pair; give a certificate and its own key, as PEM"
            ) from None
        try:
            context.load_verify_locations(files.ca)
        except ssl.SSLError:
            raise PermanentError(f"{files.ca} is no certificate of a CA as PEM; give ca.crt") from None
        if files.revoked is None:
            return context, frozenset()
        try:
            revoked = x509.load_pem_x509_crl(files.revoked.read_bytes())
            context.load_verify_locations(files.revoked)
        except (ValueError, ssl.SSLError):
            raise PermanentError(f"{files.revoked} is no revocation list as PEM; give revoked.crl") from None
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if revoked.next_update_utc is not None and revoked.next_update_utc < datetime.now(UTC):
            raise PermanentError(f"{files.revoked} ended on {revoked.next_update_utc:%Y-%m-%d}; give a newer list")
        return context, frozenset(entry.serial_number for entry in revoked)

    def _stamp(self) -> tuple[int, ...]:
        files = self._files
        paths = (files.certificate, files.key, files.ca, *([files.revoked] if files.revoked else []))
        try:
            return tuple(path.stat().st_mtime_ns for path in paths)
        except OSError as error:
            raise PermanentError(f"{error.filename} cannot be read: {error.strerror}") from None


def common_name(certificate: Mapping[str, Any]) -> str:
    """Return the common name of a certificate, as `getpeercert` returns it; empty if it has none."""
    return next((value for part in certificate["subject"] for key, value in part if key == "commonName"), "")
