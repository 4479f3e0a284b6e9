"""Set passwords of roles. The server receives a SCRAM verifier and never the password itself.

So no password appears in a server log, a statistics view or a dump.
"""

from urllib.parse import unquote, urlsplit

from psycopg import sql

from sql.connection import Connection
from vitals.errors import PermanentError


def allow_login(connection: Connection, role: str, url: str) -> None:
    """Let `role` log in with the password in `url`; raises PermanentError if the URL names another role."""
    parts = urlsplit(url)
    if parts.username != role:
        raise PermanentError(f"the URL for the role {role} names the user {parts.username!r}")
    if not parts.password:
        raise PermanentError(f"the URL for the role {role} has no password; write postgresql://{role}:PASSWORD@...")
    set_password(connection, role, unquote(parts.password))


def set_password(connection: Connection, role: str, password: str) -> None:
    """Let `role` log in with `password`."""
    secret = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(secret.decode()))
    )
