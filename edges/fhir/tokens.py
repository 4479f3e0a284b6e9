"""Find the sender of a request by its bearer token. Each source of the site has a token in a file of its own."""

import hmac

from edges.config.secret_file import SecretFile
from edges.config.site import Site, Source

MIN_TOKEN = 32  # characters: 128 bits as hexadecimal digits


def bearer_token(authorization: str) -> bytes:
    """Return the token of an Authorization header, empty without one."""
    scheme, _, text = authorization.partition(" ")
    return text.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""


class Tokens:
    """The tokens of a site; raises PermanentError that names a file that cannot be used."""

    def __init__(self, site: Site) -> None:
        self._tokens = [
            (source, SecretFile(source.token_file, source.name, MIN_TOKEN))
            for source in site.source
            if source.token_file
        ]

    @property
    def required(self) -> bool:
        """Whether the site has any."""
        return bool(self._tokens)

    def find(self, authorization: str) -> Source | None:
        """Return the source of an Authorization header, None without one. Takes the same time for each token."""
        given = bearer_token(authorization)
        found = None
        for source, token in self._tokens:
            if hmac.compare_digest(token.value, given) and token.value:
                found = source
        return found

    def renew(self) -> None:
        """Read changed files; a file that cannot be used ends the access of its source."""
        for _, token in self._tokens:
            token.renew()
