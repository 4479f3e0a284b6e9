"""A secret that proves who sends, in a file that only its owner reads."""

import logging
from pathlib import Path

from mqtt.tls import require_private
from vitals.errors import PermanentError

log = logging.getLogger("edges")


class SecretFile:
    """Read the secret of a sender; raises PermanentError that names a file that cannot be used.

    sender    its name in the site's configuration
    minimum   characters
    value     empty: the file cannot be used now
    """

    def __init__(self, path: Path, sender: str, minimum: int) -> None:
        self.path = path
        self._sender = sender
        self._minimum = minimum
        self._stamp, self.value = self._read()

    def renew(self) -> None:
        """Read the file if it has changed; one that cannot be used is a secret that no sender has."""
        try:
            if self.path.stat().st_mtime_ns != self._stamp:
                self._stamp, self.value = self._read()
                log.info("the secret of %s is loaded", self._sender)
        except (OSError, PermanentError) as error:
            if self.value:
                log.error("%s; %s cannot send with it until it can be read", error, self._sender)
            self._stamp, self.value = 0, b""

    def _read(self) -> tuple[int, bytes]:
        path = self.path
        try:
            require_private(path)
            stamp, value = path.stat().st_mtime_ns, path.read_bytes().strip()
        except OSError as error:
            raise PermanentError(f"{path}: {error.strerror}; the file with the secret of {self._sender}") from None
        if len(value) < self._minimum or not value.isascii() or any(byte <= 32 for byte in value):
            raise PermanentError(
                f"{path} holds no secret: one line of at least {self._minimum} letters and digits, "
                f"such as of `openssl rand -hex 32`"
            )
        return stamp, value
