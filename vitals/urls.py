"""Addresses that may hold a password: taken apart, and shown, without ever telling it."""

import re
from urllib.parse import SplitResult, urlsplit

_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_NO_PORT = re.compile(r":(?!//)(?!\d+(?:/|$)).*")


def split_url(url: str) -> SplitResult:
    """`urlsplit` for an address that may hold a password; raises ValueError that tells nothing of it.

    Two readers that understand such a password differently (Python's and PostgreSQL's) would each take a piece of it
    for a host or a port, and name it when they complain.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("this is no URL") from None
    ambiguous = url.count("@") > 1 or ("@" in url and "@" not in parts.netloc)
    if parts.netloc and (ambiguous or _BAD_PERCENT.search(parts.netloc)):
        raise ValueError("in a URL a password has its % written as %25, @ as %40, / as %2F, # as %23 and ? as %3F")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(str(error).partition(" as ")[0]) from None  # behind it stands what was taken for a port
    return parts


def without_password(url: str) -> str:
    """A database URL fit for a log line."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{user}{parts.hostname}{port}{parts.path}"


def redact(value: str) -> str:
    """A value without what may be a password: in a URL before the '@', behind a '?', or where a port should be."""
    if "-----BEGIN" in value:  # the content of a key's file, where its name was expected
        return "..."
    if "@" in value:
        return f"...@{value.rpartition('@')[2].partition('?')[0]}"
    if "://" in value:
        return _NO_PORT.sub(":...", value.partition("?")[0])
    return value
