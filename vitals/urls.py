"""Parse and display URLs without leaking their password."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_NO_PORT = re.compile(r":(?!//)(?!\d+(?:/|$)).*")


def split_url(url: str) -> SplitResult:
    """Split a URL; raises ValueError without any part of the password.

    Rejects passwords with unescaped delimiters: Python and PostgreSQL parse them differently, and each would show a
    part of the password as host or port in an error message.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("not a URL") from None
    ambiguous = url.count("@") > 1 or ("@" in url and "@" not in parts.netloc)
    if parts.netloc and (ambiguous or _BAD_PERCENT.search(parts.netloc)):
        raise ValueError("in a URL write % in a password as %25, @ as %40, / as %2F, # as %23 and ? as %3F")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(str(error).partition(" as ")[0]) from None  # the rest names what was parsed as the port
    return parts


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can reach a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def redact(value: str) -> str:
    """Remove what may be a password from a value: before the '@' of a URL, after a '?', or in place of a port."""
    if "-----BEGIN" in value:  # the content of a key file instead of its name
        return "..."
    if "@" in value:
        return f"...@{value.rpartition('@')[2].partition('?')[0]}"
    if "://" in value:
        return _NO_PORT.sub(":...", value.partition("?")[0])
    return value
