"""The way to the database: whether an address is safe to use, and, where it cannot be reached, why, in one sentence.

`vitals.settings` asks the first at start, everything that connects asks the second. libpq says "certificate verify
failed" for a certificate that has ended, for one that has not begun and for a stranger's: here it is looked at again.
"""

import ipaddress
import re
import socket
import ssl
import struct
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

PATIENCE = 3.0  # seconds
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL manual, "Message Formats"
_WRONG_NAME = re.compile(r'server certificate for "(.*?)".* does not match host name "(.*?)"')
_NO_ROOT = re.compile(r'root certificate file "(.*?)" does not exist')
_NO_ENCRYPTION = re.compile(r"no pg_hba\.conf entry for .*no encryption")

CLOCK = "or set the clock of this machine if it is wrong (date -u)"


def insecure_reason(url: str) -> str | None:
    """What could happen to passwords and readings between us and a database; None where nothing could.

    On this machine nobody else sees them. Elsewhere only a checked certificate says that it is the database that
    answers: PostgreSQL's own default, sslmode=prefer, encrypts where the server offers it and believes whoever answers.
    """
    asked = conninfo_to_dict(url)
    hosts = [host for key in ("host", "hostaddr") for host in str(asked.get(key) or "").split(",") if host]
    mode = str(asked.get("sslmode") or "prefer")
    if all(map(_is_here, hosts)) or mode in ("verify-full", "verify-ca"):
        return None
    if mode == "require":
        return "without checking who answers (sslmode=require)"
    return f"with nothing that must hide it (sslmode={mode})"


def _is_here(host: str) -> bool:
    """Whether a host is this machine: a socket in a folder, localhost, or an address that never leaves it."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe_connect_error(error: psycopg.Error, url: str) -> str:
    """The sentence for an error of connecting to `url`; the server's own words where there is nothing to add."""
    words = " ".join(str(error).split()) or type(error).__name__
    if found := _WRONG_NAME.search(words):
        return (
            f"its certificate is for {found[1]} and not for {found[2]}: connect to {found[1]}, "
            "or give the server a certificate with that name"
        )
    if found := _NO_ROOT.search(words):
        return (
            f"sslrootcert is {found[1]}, which is not there: it must be the certificate of the authority that signed "
            "the database's"
        )
    if "does not support SSL, but SSL was required" in words:
        return "it offers no TLS, which sslmode asks for: set ssl = on in its postgresql.conf"
    if _NO_ENCRYPTION.search(words):
        return "it takes connections with TLS only: add ?sslmode=verify-full&sslrootcert=/path/to/ca.crt to the address"
    if "certificate verify failed" in words:
        return _verdict(url) or words
    return words


def _verdict(url: str) -> str | None:
    """What is wrong with the certificate of the server at `url`; None where that cannot be found out."""
    asked = conninfo_to_dict(url)
    authority = str(asked.get("sslrootcert") or "")
    parts = urlsplit(url)
    try:
        context = ssl.create_default_context(cafile=authority or None)
        context.check_hostname = False  # libpq does that, and says it well
        with socket.create_connection((parts.hostname or "", parts.port or 5432), PATIENCE) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain):
                return None
    except ssl.SSLCertVerificationError as error:
        match error.verify_message:
            case "certificate has expired":
                return f"its certificate has expired: give the server a new one, {CLOCK}"
            case "certificate is not yet valid":
                return f"its certificate is not valid yet: {CLOCK.removeprefix('or ')}"
            case message:
                return (
                    f"its certificate is not by the authority in {authority or 'this system'} ({message}): "
                    "sslrootcert must name the authority's certificate, and the server that of its own"
                )
    except (OSError, ValueError):
        return None
