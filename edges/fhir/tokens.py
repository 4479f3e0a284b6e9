"""Find the sender of a request by its bearer token. Each source of the site has a token in a file of its own."""

import hmac
import logging
from dataclasses import dataclass
from pathlib import Path

from edges.site import Site, Source
from mqtt.tls import require_private
from vitals.errors import PermanentError

MIN_TOKEN = 32  # characters: 128 bits as hexadecimal digits
log = logging.getLogger("edges")


@dataclass(slots=True)
class _Token:
    """The token of a source; empty: its file cannot be used now."""

    source: Source
    path: Path
    stamp: int
    value: bytes


class Tokens:
    """The tokens of a site; raises PermanentError that names a file that cannot be used."""

    def __init__(self, site: Site) -> None:
        self._tokens = [
            _Token(source, source.token_file, *_read(source.token_file)) for source in site.source if source.token_file
        ]

    @property
    def required(self) -> bool:
        """Whether the site has any."""
        return bool(self._tokens)

    def find(self, authorization: str) -> Source | None:
        """Return the source of an Authorization header, None without one. Takes the same time for each token."""
        scheme, _, text = authorization.partition(" ")
        given = text.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.value, given) and token.value:
                found = token.source
        return found

    def renew(self) -> None:
        """Read changed files; a file that cannot be used ends the access of its source."""
        for token in self._tokens:
            try:
                if token.path.stat().st_mtime_ns != token.stamp:
                    token.stamp, token.value = _read(token.path)
                    log.info("the token of %s is loaded", token.source.name)
            except (OSError, PermanentError) as error:
                if token.value:
                    log.error("%s; %s cannot send until it can be read", error, token.source.name)
                token.stamp, token.value = 0, b""


def _read(path: Path) -> tuple[int, bytes]:
    try:
        require_private(path)
        stamp, value = path.stat().st_mtime_ns, path.read_bytes().strip()
    except OSError as error:
        raise PermanentError(f"{path}: {error.strerror}; token_file of a source in the site's configuration") from None
    if len(value) < MIN_TOKEN or not value.isascii() or any(byte <= 32 for byte in value):
        raise PermanentError(
            f"{path} holds no token: one line of at least {MIN_TOKEN} letters and digits, "
            f"such as of `openssl rand -hex 32`"
        )
    return stamp, value
