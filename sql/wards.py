"""Logins that read some wards only: `vitalflow db grant-ward`, `revoke-ward`, `wards`.

Each is a member of vitalflow_ward_reader, which may read the views of the schema by_ward and no other patient data.
The wards that these views show are the rows of `reader_ward`. See sql/repeatable/85_by_ward.sql.
"""

import re
import secrets
from collections.abc import Sequence
from difflib import get_close_matches

from psycopg import sql

from sql.connection import Connection
from sql.logins import set_password
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT

GROUP = "vitalflow_ward_reader"
MAX_CONNECTIONS = 10  # of each role
# Lower case and no punctuation, so that the name is the same with and without quotes; PostgreSQL's limit is 63 bytes.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Defaults, as for vitalflow_reader. With the first one the same SQL works: the views of by_ward come before public's.
_SETTINGS = (
    "search_path = by_ward, public",
    "default_transaction_read_only = on",
    "statement_timeout = '30s'",
    "jit = off",  # a query takes milliseconds, and compiling it can take seconds
)


def grant_ward(connection: Connection, role: str, wards: Sequence[str], password: str | None) -> str | None:
    """Let a role read `wards` in addition to those it can read already; create it if it does not exist.

    Without a password a new role gets a generated one, which is returned, and an existing role keeps its own. Raises
    PermanentError for a role that `grant_ward` did not create: it may have rights that no ward limits.
    """
    if not _NAME.fullmatch(role):
        raise PermanentError(
            f"invalid name {role!r}; use lower-case letters, digits and _, starting with a letter, at most 63"
        )
    for ward in wards:
        if not (0 < len(ward) <= MAX_TEXT and ward.isprintable()) or set(ward) & set("/+#"):
            raise PermanentError(f"invalid ward {ward[:40]!a}; it is the WARD of the topic vitals/WARD/DEVICE")
    name = sql.Identifier(role)
    with connection.transaction():
        generated = None
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            generated = None if password else secrets.token_urlsafe(24)
            connection.execute(sql.SQL("CREATE ROLE {} IN ROLE {}").format(name, sql.Identifier(GROUP)))
        elif not is_ward_reader(connection, role):
            raise PermanentError(f"the role {role} exists and was not created by grant-ward; choose another name")
        connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(name, sql.Literal(MAX_CONNECTIONS)))
        for setting in _SETTINGS:
            connection.execute(sql.SQL("ALTER ROLE {} SET {}").format(name, sql.SQL(setting)))
        if secret := password or generated:
            set_password(connection, role, secret)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO reader_ward (role, ward) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(role, ward) for ward in wards],
            )
    return generated


def require_known_wards(connection: Connection, wards: Sequence[str]) -> None:
    """Raise PermanentError for a ward of no device, with the nearest known one; a database without devices knows none.

    A device is known by its status or its enrolment.
    """
    known = [
        str(ward)
        for (ward,) in connection.execute(
            "SELECT ward FROM device UNION SELECT ward FROM audit_event WHERE ward IS NOT NULL"
            " UNION SELECT ward FROM reader_ward"
        )
    ]
    for ward in wards:
        if known and ward not in known:
            (near,) = get_close_matches(ward, known, 1, cutoff=0.0)
            raise PermanentError(f"no device is in a ward {ward[:60]!r}; the nearest name is {near!r}")


def revoke_ward(connection: Connection, role: str, wards: Sequence[str]) -> bool:
    """Revoke wards from a role, or drop the role if `wards` is empty. Returns True if the role was dropped.

    A dropped role is disconnected; a revoked ward is hidden from the next query on. Raises PermanentError if the role
    is not a ward reader or does not read one of the wards.
    """
    if not is_ward_reader(connection, role):
        raise PermanentError(f"no ward reader {role!r}; `vitalflow db wards` lists them")
    with connection.transaction():
        known = wards_of(connection).get(role, [])
        for ward in wards:
            if ward not in known:
                raise PermanentError(f"{role} does not read {ward[:40]!a}; it reads {', '.join(known) or 'no ward'}")
        connection.execute(
            "DELETE FROM reader_ward WHERE role = %s AND (ward = ANY (%s) OR %s)", [role, list(wards), not wards]
        )
        if wards:
            return False
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        return True


def wards_of(connection: Connection) -> dict[str, list[str]]:
    """Return every ward reader with its wards, including those without a ward in this database."""
    wards: dict[str, list[str]] = {}
    for role, ward in connection.execute(
        "SELECT m.rolname, r.ward FROM pg_auth_members"
        " JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid"
        " LEFT JOIN reader_ward r ON r.role = m.rolname WHERE g.rolname = %s ORDER BY m.rolname, r.ward",
        [GROUP],
    ):
        wards.setdefault(str(role), []).extend([] if ward is None else [str(ward)])
    return wards


def is_ward_reader(connection: Connection, role: str) -> bool:
    """Return whether `grant_ward` created the role."""
    return (
        connection.execute(
            "SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid"
            " WHERE m.rolname = %s AND g.rolname = %s",
            [role, GROUP],
        ).fetchone()
        is not None
    )
