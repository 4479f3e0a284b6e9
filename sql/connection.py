"""Judge whether a database URL is safe to use, and describe connection errors in one sentence.

`sql.settings` checks URLs at start. libpq reports "certificate verify failed" for an expired certificate, for one that
is not valid yet and for one of an unknown authority; `describe_connect_error` distinguishes them.
"""

import re
import socket
import ssl
import struct
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sql.address import DEFAULT_PORT, Address, addresses, without_password
from sql.deadline import deadline
from vitals.urls import is_loopback

Connection = psycopg.Connection[tuple[object, ...]]
Log = Callable[[str], None]

TIMEOUT_S = 3.0
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL manual, "Message Formats"
_WRONG_NAME = re.compile(r'server certificate for "(.*?)".* does not match host name "(.*?)"')
_NO_ROOT = re.compile(r'root certificate file "(.*?)" does not exist')
_ATTEMPT = re.compile(r"- host: '(.*?)', port: '(.*?)', hostaddr: .*?: (.*?)(?= - host: |$)")  # of psycopg
_SERVER_SAYS = re.compile(r"^.*failed: |^.*FATAL: +| Is the server running on that host.*$")
_NO_ENCRYPTION = re.compile(r"no pg_hba\.conf entry for .*no encryption")

CHECK_CLOCK = "set the clock of this machine if it is wrong (date -u)"


def insecure_reason(url: str) -> str | None:
    """Return why a connection to `url` could be read or impersonated on the network; None if it could not.

    A connection within this machine is safe. Any other needs a verified certificate: PostgreSQL's default,
    sslmode=prefer, encrypts only if the server offers it and accepts any server.
    """
    options = conninfo_to_dict(url)
    hosts = [host for key in ("host", "hostaddr") for host in str(options.get(key) or "").split(",") if host]
    mode = str(options.get("sslmode") or "prefer")
    if all(host.startswith(("/", "@")) or is_loopback(host) for host in hosts) or mode in ("verify-full", "verify-ca"):
        return None
    if mode == "require":
        return "without verifying the server's certificate (sslmode=require)"
    return f"without mandatory encryption (sslmode={mode})"


def find_connect_problem(url: str) -> str | None:
    """Return why the database does not answer a query on a new connection, in one sentence; None if it answers."""
    try:
        with (
            psycopg.connect(url, autocommit=True, connect_timeout=2, options="-c statement_timeout=2000") as connection,
            deadline(connection, TIMEOUT_S),
        ):
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return f"the database at {without_password(url)} does not answer: {describe_connect_error(error, url)}"
    return None


def describe_connect_error(error: psycopg.Error, url: str) -> str:
    """Describe an error of connecting to `url` in one sentence; the server's message if there is nothing to add."""
    message = " ".join(str(error).split()) or type(error).__name__
    attempts = _ATTEMPT.findall(message)
    if len(attempts) > 1:
        return "; ".join(f"{host}:{port}: {_reason_of_attempt(text)}" for host, port, text in attempts)
    if found := _WRONG_NAME.search(message):
        return (
            f"its certificate is for {found[1]} and not for {found[2]}: connect to {found[1]}, "
            "or give the server a certificate with that name"
        )
    if found := _NO_ROOT.search(message):
        return (
            f"sslrootcert is {found[1]}, which does not exist: it must be the certificate of the authority that signed "
            "the database's"
        )
    if "does not support SSL, but SSL was required" in message:
        return "it offers no TLS, which sslmode requires: set ssl = on in its postgresql.conf"
    if _NO_ENCRYPTION.search(message):
        return (
            "it accepts connections with TLS only: add ?sslmode=verify-full&sslrootcert=/path/to/ca.crt to the address"
        )
    if "certificate verify failed" in message:
        return _certificate_problem(url) or message
    return message


def _reason_of_attempt(text: str) -> str:
    reason = _SERVER_SAYS.sub("", text)
    return "it is a standby, which accepts no writes" if "session is read-only" in reason else reason


def _certificate_problem(url: str) -> str | None:
    """Return what is wrong with the certificate of a server of `url`; None if that cannot be determined."""
    authority = str(conninfo_to_dict(url).get("sslrootcert") or "")
    servers = addresses(url)
    for server in servers:
        if problem := _problem_of_server(server, authority):
            return problem if len(servers) == 1 else f"{server}: {problem}"
    return None


def _problem_of_server(server: Address, authority: str) -> str | None:
    try:
        context = ssl.create_default_context(cafile=authority or None)
        context.check_hostname = False  # libpq checks it and has a clear message
        with socket.create_connection((server.host, int(server.port or DEFAULT_PORT)), TIMEOUT_S) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain):
                return None
    except ssl.SSLCertVerificationError as error:
        match error.verify_message:
            case "certificate has expired":
                return f"its certificate has expired: give the server a new one, or {CHECK_CLOCK}"
            case "certificate is not yet valid":
                return f"its certificate is not valid yet: {CHECK_CLOCK}"
            case reason:
                return (
                    f"its certificate is not signed by the authority in {authority or 'this system'} ({reason}): "
                    "sslrootcert must name the certificate of the authority that signed the server's"
                )
    except (OSError, ValueError):
        return None
