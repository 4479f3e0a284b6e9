"""Averages of imported readings on the Community edition: beside those of readings that retention has dropped.

The WebAssembly build has no COPY, so the rows come into the stage of `vitalflow import` by INSERT.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.store import STATEMENTS
from tests.support.migrate import migrate, migrate_as_apache
from tests.support.servers import Db

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DROPPED = TODAY - timedelta(days=60)  # a day whose live readings retention has dropped, and whose averages are kept
YEARS_AGO = TODAY - timedelta(days=900)  # before the retention of minutes
RECENT = TODAY - timedelta(days=10)
LEVELS = ("vitals_1m", "vitals_1h", "vitals_1d")
ROWS = """
INSERT INTO {table} (time, device_id, boot, seq, patient_id, ward, heart_rate, sensor_off, status, arrival_lag_ms)
SELECT %(begin)s + number * %(step)s, %(device)s, 0, {sign} (number + 1), 'p', 'icu-1', 60 + number %% 40,
       CASE WHEN number %% 7 = 0 THEN ARRAY['spo2'] ELSE '{{}}' END, 'NORMAL', 0
FROM generate_series(0, %(rows)s - 1) AS number
"""

Connection = psycopg.Connection[tuple[object, ...]]


def add(
    connection: Connection,
    table: str,
    device: str,
    begin: datetime,
    rows: int,
    step: timedelta = timedelta(seconds=20),
) -> None:
    query = ROWS.format(table=table, sign="-" if table == "import_stage" else "")
    connection.execute(query.encode(), {"begin": begin, "step": step, "device": device, "rows": rows})


def store(connection: Connection, device: str, begin: datetime, rows: int) -> tuple[object, ...]:
    """Import readings; returns how many are new, stored before, and refused."""
    with connection.transaction():
        add(connection, "import_stage", device, begin, rows)
        row = connection.execute(STATEMENTS["store_import"]).fetchone()
    assert row is not None
    return row[:3]


def averages(connection: Connection, device: str) -> list[list[tuple[object, ...]]]:
    """All rows of a device in each level."""
    return [
        connection.execute(
            f"SELECT bucket, readings, minutes, heart_rate_avg, heart_rate_max, heart_rate_n, spo2_off"  # noqa: S608
            f" FROM {level} WHERE device_id = %s ORDER BY bucket",
            [device],
        ).fetchall()
        for level in LEVELS
    ]


def computed(connection: Connection, device: str) -> list[list[tuple[object, ...]]]:
    """What `averages` must be, by the queries of the rollups over the stored readings."""
    source = "imported_vitals"
    for level in LEVELS:
        connection.execute(f"DROP TABLE IF EXISTS pg_temp.expected_{level}".encode())
        query = connection.execute("SELECT query, source FROM rollup_queries() WHERE name = %s", [level]).fetchone()
        assert query is not None
        text = str(query[0]).replace(f"FROM {query[1]}", f"FROM {source}")
        connection.execute(f"CREATE TEMP TABLE expected_{level} AS {text}".encode())
        source = f"expected_{level}"
    return [
        connection.execute(
            f"SELECT bucket, readings, minutes, heart_rate_avg, heart_rate_max, heart_rate_n, spo2_off"  # noqa: S608
            f" FROM expected_{level} WHERE device_id = %s ORDER BY bucket",
            [device],
        ).fetchall()
        for level in LEVELS
    ]


@pytest.fixture
def import_connection(migrated: Db) -> Iterator[Connection]:
    """A ward with averages of a day whose readings are dropped, and the connection of an import."""
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        add(connection, "patient_vitals", "live", DROPPED, 500)
        add(connection, "patient_vitals", "live", TODAY - timedelta(days=20), 500)
        connection.execute(
            "INSERT INTO rollup_invalidation (minute, readings)"
            " SELECT date_trunc('minute', time), 1 FROM patient_vitals"
        )
        connection.execute("CALL refresh_invalidated_buckets(100000)")
        connection.execute("SELECT drop_chunks('patient_vitals', older_than => INTERVAL '30 days')")
        connection.execute(STATEMENTS["begin_import"])
        yield connection


def test_averages_equal_the_imported_readings_and_leave_those_of_other_devices(import_connection: Connection) -> None:
    connection = import_connection
    live = averages(connection, "live")
    assert store(connection, "history", DROPPED, 2_000) == (2_000, 0, 0)
    assert store(connection, "history", DROPPED, 6_000) == (4_000, 2_000, 0)
    expected = computed(connection, "history")
    assert averages(connection, "history") == expected
    assert store(connection, "history", DROPPED, 6_000) == (0, 6_000, 0)
    assert averages(connection, "history") == expected
    assert averages(connection, "live") == live
    assert connection.execute("SELECT count(*) FROM patient_vitals WHERE device_id = 'history'").fetchone() == (0,)

    # Older than the retention of minutes: hours and days only, because retention would drop the minutes.
    assert store(connection, "older", YEARS_AGO, 3_000) == (3_000, 0, 0)
    older = [[], *computed(connection, "older")[1:]]
    assert averages(connection, "older") == older

    # A refresh of everything, as `vitalflow db backfill` does, changes nothing.
    connection.execute("CALL refresh_rollups(%s, now())", [YEARS_AGO])
    connection.execute("CALL refresh_invalidated_buckets(100000)")
    connection.execute("CALL roll_up_imports('-infinity', 'infinity')")
    assert averages(connection, "older") == older
    assert averages(connection, "history") == expected
    assert averages(connection, "live") == live


def test_readings_of_a_day_of_which_only_averages_are_kept_are_refused(import_connection: Connection) -> None:
    connection = import_connection
    live = averages(connection, "live")
    assert store(connection, "live", DROPPED + timedelta(hours=12), 200) == (0, 0, 200)
    assert averages(connection, "live") == live
    assert store(connection, "live", DROPPED - timedelta(days=3), 200) == (200, 0, 0)


def test_retention_keeps_recent_imported_readings_until_they_are_in_the_averages(import_connection: Connection) -> None:
    connection = import_connection
    assert store(connection, "recent", RECENT, 1_000) == (1_000, 0, 0)
    expected = computed(connection, "recent")
    connection.execute("UPDATE retention_setting SET period = '5 days' WHERE name = 'raw_retention'")
    connection.execute("UPDATE rollup_progress SET refreshed_to = time_bucket('1 day', now())")
    connection.execute("CALL drop_old_chunks(0, NULL)")
    count = "SELECT count(*) FROM patient_vitals WHERE device_id = 'recent'"
    assert connection.execute(count).fetchone() == (1_000,)
    connection.execute("CALL refresh_invalidated_buckets(100000)")
    assert averages(connection, "recent") == expected
    connection.execute("CALL drop_old_chunks(0, NULL)")
    assert connection.execute(count).fetchone() == (0,)
    assert store(connection, "recent", RECENT, 1_000) == (0, 1_000, 0)
    assert averages(connection, "recent") == expected
    assert connection.execute("SELECT count(*) FROM all_vitals WHERE device_id = 'recent'").fetchone() == (1_000,)


def test_imported_readings_in_the_columnstore_are_found_and_more_are_added(import_connection: Connection) -> None:
    connection = import_connection
    in_columnstore = "SELECT chunks, columnstore_chunks FROM storage_now WHERE relation = 'imported_vitals'"
    assert store(connection, "history", YEARS_AGO, 3_000) == (3_000, 0, 0)
    connection.execute("CALL compress_rollups(0, NULL)")
    assert connection.execute(in_columnstore).fetchone() in ((1, 1), (2, 2))
    assert store(connection, "history", YEARS_AGO, 4_000) == (1_000, 3_000, 0)
    assert store(connection, "history", YEARS_AGO + timedelta(seconds=10), 2_000) == (2_000, 0, 0)
    assert averages(connection, "history")[1:] == computed(connection, "history")[1:]
    connection.execute("CALL compress_rollups(0, NULL)")
    assert store(connection, "history", YEARS_AGO, 4_000) == (0, 4_000, 0)
    assert connection.execute("SELECT count(*), count(DISTINCT time) FROM imported_vitals").fetchone() == (6_000, 6_000)


def test_averages_are_shown_in_a_database_without_other_readings(migrated: Db) -> None:
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(STATEMENTS["begin_import"])
        assert store(connection, "history", DROPPED, 2_000) == (2_000, 0, 0)
        for _ in range(2):
            connection.execute("CALL show_imported_averages()")
            assert averages(connection, "history") == computed(connection, "history")
        assert connection.execute("SELECT DISTINCT device_id FROM vitals_1d").fetchall() == [("history",)]
        assert connection.execute("SELECT * FROM patient_vitals").fetchall() == []


def test_averages_are_computed_when_the_edition_changes(community: Db) -> None:
    migrate_as_apache(community)
    with psycopg.connect(community.owner_url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(STATEMENTS["begin_import"])
        assert store(connection, "history", DROPPED, 2_000) == (2_000, 0, 0)
        expected = computed(connection, "history")
        assert averages(connection, "history") == expected
    migrate(community).expect_success()
    with psycopg.connect(community.owner_url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        assert averages(connection, "history") == expected
