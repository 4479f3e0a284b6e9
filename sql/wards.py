"""Readers of some wards only: `python -m sql grant-ward`, `revoke-ward`, `wards`.

Each is a login of its own, a member of vitalflow_ward_reader, which may read the views of the schema by_ward and
nothing else of patients. The wards that they show are the rows of `reader_ward`. See sql/repeatable/85_by_ward.sql.
"""

import re
import secrets
from collections.abc import Sequence

import psycopg
from psycopg import sql

from sql.logins import set_password
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT

GROUP = "vitalflow_ward_reader"
CONNECTIONS = 10  # at a time, for each reader
# Without capitals and marks, so that it is the same with and without quotes; 63 bytes is PostgreSQL's limit.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Manners, as vitalflow_reader has them. The first one makes the same SQL work: by_ward's views come before public's.
_SETTINGS = (
    "search_path = by_ward, public",
    "default_transaction_read_only = on",
    "statement_timeout = '30s'",
    "jit = off",  # a question takes milliseconds, and compiling it can take seconds
)

Connection = psycopg.Connection[tuple[object, ...]]


def grant_ward(connection: Connection, role: str, wards: Sequence[str], password: str | None) -> str | None:
    """Let a role read these wards, besides those it reads already; made where it is not there.

    Where no password is given a new role gets one, which is returned, and an old one keeps its own. Raises PermanentError for a
    role that is not ours to give wards to: it may have rights that no ward limits.
    """
    if not _NAME.fullmatch(role):
        raise PermanentError(
            f"the name {role!r} does not fit; write small letters, digits and _, a letter first, at most 63"
        )
    for ward in wards:
        if not (0 < len(ward) <= MAX_TEXT and ward.isprintable()) or set(ward) & set("/+#"):
            raise PermanentError(f"the ward {ward[:40]!a} does not fit; it is the WARD of the topic vitals/WARD/DEVICE")
    name = sql.Identifier(role)
    with connection.transaction():
        made = None
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            made = None if password else secrets.token_urlsafe(24)
            connection.execute(sql.SQL("CREATE ROLE {} IN ROLE {}").format(name, sql.Identifier(GROUP)))
        elif not is_ward_reader(connection, role):
            raise PermanentError(f"the role {role} is there already and not as a reader of wards; choose another name")
        connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(name, sql.Literal(CONNECTIONS)))
        for setting in _SETTINGS:
            connection.execute(sql.SQL("ALTER ROLE {} SET {}").format(name, sql.SQL(setting)))
        if secret := password or made:
            set_password(connection, role, secret)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO reader_ward (role, ward) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(role, ward) for ward in wards],
            )
    return made


def revoke_ward(connection: Connection, role: str, wards: Sequence[str]) -> bool:
    """Take wards away from a role, or all of them and the role itself where none is named; True where the role is gone.

    A role that is gone is disconnected; one that loses a ward sees it no more from its next query on.
    """
    if not is_ward_reader(connection, role):
        raise PermanentError(f"there is no reader of wards {role!r}; `python -m sql wards` lists them")
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
    """Every reader of wards with its wards; one that has none in this database is there too."""
    found: dict[str, list[str]] = {}
    for role, ward in connection.execute(
        "SELECT m.rolname, r.ward FROM pg_auth_members"
        " JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid"
        " LEFT JOIN reader_ward r ON r.role = m.rolname WHERE g.rolname = %s ORDER BY m.rolname, r.ward",
        [GROUP],
    ):
        found.setdefault(str(role), []).extend([] if ward is None else [str(ward)])
    return found


def is_ward_reader(connection: Connection, role: str) -> bool:
    """Whether `grant_ward` made it."""
    return (
        connection.execute(
            "SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid"
            " WHERE m.rolname = %s AND g.rolname = %s",
            [role, GROUP],
        ).fetchone()
        is not None
    )
