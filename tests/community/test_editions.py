"""The SQL of one edition after that of the other: every column keeps its type and its collation."""

from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from sql.files import FOLDER, numbered, text
from tests.fixtures.community import MakeCommunity
from tests.support.earlier_schema import apply_version_0_1_0
from tests.support.migrate import migrate, migrate_as_apache
from tests.support.servers import Db, community_db

COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod), collname
FROM pg_class
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_collation ON pg_collation.oid = attcollation
WHERE relnamespace IN ('public'::regnamespace, to_regnamespace('by_ward')) AND relkind IN ('r', 'v')
ORDER BY relnamespace, relname, attname
"""


def _community(db: Db) -> None:
    migrate(db).expect_success()


def _apache_0_1_0(db: Db) -> None:
    apply_version_0_1_0(db, community=False)


def _community_0_1_0(db: Db) -> None:
    apply_version_0_1_0(db, community=True)


# A Community database never becomes an Apache one; migrate refuses it.
ORDERS: list[Sequence[Callable[[Db], None]]] = [
    [_community],
    [migrate_as_apache, migrate_as_apache, _community, _community],
    [_community_0_1_0, _community],
    [_apache_0_1_0, _community],
    [_apache_0_1_0, migrate_as_apache, _community],
]


@pytest.fixture
def nothing(make_community: MakeCommunity) -> Iterator[Db]:
    with make_community() as url:
        yield community_db(url)


@pytest.fixture(scope="module")
def of_apache(make_community: MakeCommunity) -> list[tuple[object, ...]]:
    """The columns that a new database of the Apache edition has."""
    with make_community() as url:
        migrate_as_apache(community_db(url))
        return community_db(url).rows(COLUMNS)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: " ".join(step.__name__.strip("_") for step in order))
def test_columns_have_one_type_and_collation_in_every_order_of_editions(
    nothing: Db, of_apache: list[tuple[object, ...]], order: Sequence[Callable[[Db], None]]
) -> None:
    for step in order:
        step(nothing)
    found = nothing.rows(COLUMNS)
    assert len(found) > 200
    assert set(found) ^ set(of_apache) == set()


def test_a_server_of_the_apache_edition_gives_the_same_columns(of_apache: list[tuple[object, ...]], db: Db) -> None:
    assert set(db.rows(COLUMNS)) ^ set(of_apache) == set()


def test_the_views_of_maintenance_replace_each_other_in_both_orders(nothing: Db) -> None:
    _community(nothing)
    with psycopg.connect(nothing.owner_url, autocommit=True) as connection:
        for edition in ("apache", "community", "apache", "apache", "community"):
            connection.execute(text(FOLDER / f"editions/{edition}/50_maintenance.sql"))
    assert nothing.one("SELECT count(*) FROM job_now") == 5
    assert [path.name for path in numbered("editions/apache")] == [
        "20_rollups.sql",
        "30_import.sql",
        "50_maintenance.sql",
    ]
