"""A small ward's week on each edition, for tests of what dashboards ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bench.week import Week, fill_week
from sql.migrate import READER_ROLE, connect
from stack.servers import DatabaseServer
from tests.fix_community import community_db
from tests.fix_migrate import migrate
from tests.fix_servers import Db, copy_of_template

WEEK = Week(beds=5, dense=timedelta(minutes=10), sparse=timedelta(minutes=4), alerts_a_day=6)

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="session", params=["Community", "Apache"])
def week(request: pytest.FixtureRequest) -> Iterator[Db]:
    """A week of five beds up to the moment it was made; tests only read it, or take back what they change."""
    if request.param == "Apache":
        database: DatabaseServer = request.getfixturevalue("database")
        db = copy_of_template(database, "week")
        _fill(db)
        yield db
        with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE week WITH (FORCE)")
        return
    with request.getfixturevalue("make_community")() as url:
        db = community_db(url)
        migrate(db).expect_success()
        _fill(db)
        yield db


def _fill(db: Db) -> None:
    with connect(db.owner_url) as connection:
        fill_week(connection, datetime.now(UTC), WEEK)


@contextmanager
def as_reader(db: Db) -> Iterator[Connection]:
    """What the reader may do. By SET ROLE, because the WebAssembly build makes everybody the superuser."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute(f"SET ROLE {READER_ROLE}".encode())
        connection.execute("SET default_transaction_read_only = on")
        yield connection


def filled_to(connection: Connection) -> datetime:
    """The moment of the newest reading: what a test calls now, however long ago the week was made."""
    row = connection.execute("SELECT max(time) FROM patient_vitals WHERE time > now() - interval '1 day'").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]
