"""Every attempt of `database_authorization_cases` as the real logins on a real server, and those that are no SQL."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest

from sql.migrate import IMPORT_ROLE, RESEARCH_ROLE, connect, migrate
from sql.wards import grant_ward, revoke_ward
from stack.servers import DatabaseServer, ensure_database
from tests.acceptance.database_authorization_cases import ATTEMPTS, READING, Attempt
from tests.support.rows import write_readings
from tests.support.servers import Db, db_of, logins

WARD_READER, WARD_READER_PASSWORD = "ward_reader_under_attack", "desk-in-a-test"
RESEARCH_PASSWORD = "research-in-a-test"


@dataclass(frozen=True)
class Ground:
    """A migrated database with readings of two wards, and the address of each login."""

    db: Db
    urls: dict[str, str]


@pytest.fixture(scope="module")
def ground(database: DatabaseServer) -> Iterator[Ground]:
    """Migrated itself and no copy of the template: a copy does not have the rights to connect and to make tables."""
    name = "attacked"
    ensure_database(database.url("postgres"), name)
    with connect(database.url(name)) as owner:
        optional = {role: database.url(name, role, RESEARCH_PASSWORD) for role in (RESEARCH_ROLE, IMPORT_ROLE)}
        migrate(owner, logins(database, name) | optional, lambda _: None)
        grant_ward(owner, WARD_READER, ["icu-1"], WARD_READER_PASSWORD)
    db = db_of(database, name)
    write_readings(db, [1, 3])
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(READING.replace("icu-1", "icu-2").replace("bed-x", "bed-y"))
        owner.execute(
            "INSERT INTO rejected_message (received_at, topic, payload, payload_size, reason, detail) VALUES"
            " (now(), 'vitalflow/vitals/icu-1/bed-1', '', 0, 'no_time', ''),"
            " (now(), 'vitalflow/vitals/icu-2/bed-2', '', 0, 'no_time', ''), (now(), 'elsewhere', '', 0, 'no_time', '')"
        )
    urls = {
        "ingest": db.ingest_url,
        "reader": db.reader_url,
        "names": db.names_url,
        "research": optional[RESEARCH_ROLE],
        "import": optional[IMPORT_ROLE],
        "ward_reader": database.url(name, WARD_READER, WARD_READER_PASSWORD),
    }
    yield Ground(db, urls)
    with connect(db.owner_url) as owner:
        revoke_ward(owner, WARD_READER, [])
        for role in optional:
            owner.execute(f"ALTER ROLE {role} NOLOGIN PASSWORD NULL".encode())
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE attacked WITH (FORCE)")


@pytest.mark.parametrize("case", ATTEMPTS, ids=lambda case: f"{case.who} {case.name}")
def test_an_attempt_is_denied_and_changes_nothing(ground: Ground, case: Attempt) -> None:
    before = ground.db.rows("TABLE patient_vitals"), ground.db.rows("TABLE audit_event")
    *first, last = case.attempt
    with psycopg.connect(ground.urls[case.who], autocommit=True) as connection:
        for statement in first:
            connection.execute(statement.encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(last.encode())
    assert caught.value.sqlstate == case.reason, caught.value
    assert (ground.db.rows("TABLE patient_vitals"), ground.db.rows("TABLE audit_event")) == before
    with psycopg.connect(ground.urls[case.who]) as connection, connection.cursor() as cursor:
        if case.allowed.startswith("COPY"):
            with cursor.copy(case.allowed.encode()) as copy:
                assert b"".join(copy)
        else:
            cursor.execute(case.allowed.encode())
        connection.rollback()


def test_a_function_that_runs_as_its_owner_looks_where_its_owner_says(ground: Ground) -> None:
    """Ingest may drop old readings; a table of its own with a shorter period must not be taken for the real one."""
    with psycopg.connect(ground.urls["ingest"], autocommit=True) as ingest:
        ingest.execute("CREATE TEMP TABLE retention_setting (name text, period interval)")
        ingest.execute("INSERT INTO retention_setting VALUES ('raw_retention', '-1 year')")
        ingest.execute("SET search_path = pg_temp, public")
        assert ingest.execute("SELECT drop_old_readings()").fetchone() == (0,)
    assert ground.db.count() == 3
    loose = ground.db.rows(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
        " WHERE n.nspname IN ('public', 'by_ward') AND prosecdef AND NOT EXISTS ("
        " SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )
    assert loose == [], "each of them runs as the owner and looks where the caller says"


def test_only_named_roles_may_connect_or_create_temporary_tables(ground: Ground, database: DatabaseServer) -> None:
    with psycopg.connect(ground.db.owner_url, autocommit=True) as owner:
        owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger-in-a-test'")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(database.url("attacked", "stranger", "stranger-in-a-test"))
            owner.execute("GRANT vitalflow_reader TO stranger")
            with psycopg.connect(database.url("attacked", "stranger", "stranger-in-a-test")) as reader:
                assert reader.execute("SELECT count(*) FROM device").fetchone() == (0,)
        finally:
            owner.execute("DROP ROLE stranger")


def test_readers_without_end_do_not_keep_ingest_out(ground: Ground) -> None:
    with ExitStack() as held:
        for _ in range(30):
            held.enter_context(psycopg.connect(ground.urls["reader"]))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(ground.urls["reader"])
        psycopg.connect(ground.urls["ingest"]).close()


def test_a_ward_has_its_own_rejected_messages(ground: Ground) -> None:
    with psycopg.connect(ground.urls["ward_reader"]) as reader:
        assert reader.execute("SELECT topic FROM rejected_message").fetchall() == [("vitalflow/vitals/icu-1/bed-1",)]
        assert reader.execute("SELECT DISTINCT ward FROM patient_vitals").fetchall() == [("icu-1",)]
        assert reader.execute("SHOW statement_timeout").fetchone() == ("30s",)
