"""Reload the certificate of an HTTP server when its files change, without ending a connection."""

import logging
import ssl
from pathlib import Path

from mqtt.tls import read_private_key
from vitals.errors import PermanentError

log = logging.getLogger("mqtt")


class ReloadingCertificate:
    """Read a certificate with its chain, and its key, as PEM; raises PermanentError that names the file."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 or newer
        self._loaded = self._stamp()
        self._load(self.context)

    def renew(self) -> None:
        """Load changed files; log an error and keep the former certificate if they are invalid."""
        try:
            stamp = self._stamp()
            if stamp == self._loaded:
                return
            self._loaded = stamp
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # an invalid pair must not reach the context in use
            self._load(self.context)
            log.info("the certificate in %s is loaded", self._certificate)
        except PermanentError as error:
            log.error("%s; the former certificate stays in use", error)

    def _load(self, context: ssl.SSLContext) -> None:
        read_private_key(self._key)
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError:
            raise PermanentError(
                f"{self._certificate} and {self._key} are no pair; give a certificate and its own key, as PEM"
            ) from None

    def _stamp(self) -> tuple[int, int]:
        try:
            return self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns
        except OSError as error:
            raise PermanentError(
                f"{error.filename} cannot be read: {error.strerror}; the server's certificate and key"
            ) from None
