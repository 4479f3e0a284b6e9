"""Passwords of roles: the server gets a SCRAM verifier and never the password itself.

So it is in no server log, no statistics view and no dump. `migrate` uses it for the services, `wards` for readers.
"""

from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from vitals.errors import PermanentError

Connection = psycopg.Connection[tuple[object, ...]]


def allow_login(connection: Connection, role: str, url: str) -> None:
    """Let a role log in with the password that a URL carries; raises PermanentError where the URL is another role's."""
    parts = urlsplit(url)
    if parts.username != role:
        raise PermanentError(f"the URL for the role {role} names the user {parts.username!r}")
    if not parts.password:
        raise PermanentError(f"the URL for the role {role} has no password; write postgresql://{role}:PASSWORD@...")
    set_password(connection, role, unquote(parts.password))


def set_password(connection: Connection, role: str, password: str) -> None:
    """Let a role log in with a password."""
    secret = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(secret.decode()))
    )
