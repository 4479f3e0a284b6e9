"""Reload the certificate of a server, and the CA of its clients, when the files change. No connection ends."""

import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from mqtt.tls import read_private_key
from vitals.errors import PermanentError

log = logging.getLogger("mqtt")


class ReloadingCertificate:
    """Read a certificate with its chain, and its key, as PEM; raises PermanentError that names a file.

    context   of new connections; one object for always, unless clients need a certificate
    ca        clients need a certificate of this CA; None: they need none
    revoked   the revocation list of that CA; None: no certificate is revoked
    """

    def __init__(self, certificate: Path, key: Path, ca: Path | None = None, revoked: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._ca = ca
        self._revocation_list = revoked
        self._loaded = self._stamp()
        self.context, self._revoked = self._load()

    @property
    def needs_client(self) -> bool:
        """Whether clients need a certificate."""
        return self._ca is not None

    def renew(self) -> None:
        """Load changed files; log an error and keep the former ones if they are invalid."""
        try:
            stamp = self._stamp()
            if stamp == self._loaded:
                return
            self._loaded = stamp
            context, revoked = self._load()  # an invalid pair must not reach the context in use
            if self._ca is None:
                self._load_pair(self.context)
            else:
                self.context, self._revoked = context, revoked
            log.info("the certificate in %s is loaded", self._certificate)
        except PermanentError as error:
            log.error("%s; the former files stay in use", error)

    def is_valid(self, certificate: Mapping[str, Any], now: datetime) -> bool:
        """Return whether a client's certificate, as `getpeercert` returns it, has not ended and is not revoked."""
        ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        return now.timestamp() < ends and int(certificate["serialNumber"], 16) not in self._revoked

    def _load(self) -> tuple[ssl.SSLContext, frozenset[int]]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 or newer
        self._load_pair(context)
        if self._ca is None:
            return context, frozenset()
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self._ca)
        except ssl.SSLError:
            raise PermanentError(f"{self._ca} is no certificate of a CA as PEM; give ca.crt") from None
        path = self._revocation_list
        if path is None:
            return context, frozenset()
        try:
            revoked = x509.load_pem_x509_crl(path.read_bytes())
            context.load_verify_locations(path)
        except (ValueError, ssl.SSLError):
            raise PermanentError(f"{path} is no revocation list as PEM; give revoked.crl") from None
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if revoked.next_update_utc is not None and revoked.next_update_utc < datetime.now(UTC):
            raise PermanentError(f"{path} ended on {revoked.next_update_utc:%Y-%m-%d}; give a newer list")
        return context, frozenset(entry.serial_number for entry in revoked)

    def _load_pair(self, context: ssl.SSLContext) -> None:
        read_private_key(self._key)
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError:
            raise PermanentError(
                f"{self._certificate} and {self._key} are no pair; give a certificate and its own key, as PEM"
            ) from None

    def _stamp(self) -> tuple[int, ...]:
        paths = (self._certificate, self._key, self._ca, self._revocation_list)
        try:
            return tuple(path.stat().st_mtime_ns for path in paths if path is not None)
        except OSError as error:
            raise PermanentError(
                f"{error.filename} cannot be read: {error.strerror}; it is a file of the server's certificate"
            ) from None


def common_name(certificate: Mapping[str, Any]) -> str:
    """Return the common name of a certificate, as `getpeercert` returns it; empty if it has none."""
    return next((value for part in certificate["subject"] for key, value in part if key == "commonName"), "")
