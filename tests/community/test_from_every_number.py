"""Migrating from the state after every earlier migration, with readings in the table, on both editions."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from sql.files import numbered, text
from sql.migrate import connect, find_edition
from tests.fix_community import MakeCommunity, community_db
from tests.fix_migrate import migrate
from tests.fix_rows import write_readings
from tests.fix_servers import Db
from tests.fix_trends import NOW

FILES = numbered("migrations")
COLUMNS = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2"
)


@pytest.fixture(params=["Community", "Apache"])
def nothing_yet(request: pytest.FixtureRequest, make_community: MakeCommunity) -> Iterator[Db]:
    """An empty database of each edition."""
    if request.param == "Apache":
        yield request.getfixturevalue("empty")
        return
    with make_community() as url:
        yield community_db(url)


def bring_to(db: Db, number: int) -> None:
    """What migrate made of a database when these were all migrations that there were."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute(
            "CREATE TABLE vitalflow_migration"
            " (name text PRIMARY KEY, body text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for path in FILES[:number]:
            connection.execute(text(path))
            connection.execute("INSERT INTO vitalflow_migration VALUES (%s, %s)", [path.name, text(path)])


@pytest.mark.parametrize("number", range(len(FILES)))
def test_from_there_to_here(nothing_yet: Db, number: int) -> None:
    db = nothing_yet
    bring_to(db, number)
    days = 3
    if number:
        for day in range(days):
            write_readings(db, range(1, 121), start=NOW - timedelta(days=day, minutes=10), boot=day)
    said = migrate(db).expect_success()
    assert said.count("applied") == len(FILES) - number
    stored = days * 120 if number else 0
    assert db.one("SELECT coalesce(sum(readings), 0) FROM vitals_1d") == stored
    assert db.one("SELECT count(*) FROM ward_now") == (1 if number else 0)
    with connect(db.owner_url) as connection:
        community = find_edition(connection).community
    # Stored readings are taken into the rollups, and said so, a day at a time.
    assert said.count("rollups hold") >= (days if number and community else 0)
    columns = db.rows(COLUMNS)
    assert "applied" not in migrate(db).expect_success()
    assert db.rows(COLUMNS) == columns
