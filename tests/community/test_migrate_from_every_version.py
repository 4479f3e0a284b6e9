"""Migrating from an empty database, earlier migrations and version 0.1.0, with rows, on both editions."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from sql.files import numbered
from sql.migrate import connect, find_edition
from tests.fixtures.community import MakeCommunity
from tests.fixtures.trends import NOW, run_jobs
from tests.support.earlier_schema import apply_version_0_1_0, bring_to
from tests.support.migrate import migrate
from tests.support.rows import write_readings
from tests.support.servers import Db, community_db

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


# Rows of the first schema pass every later migration; the newest but one is what a developer's database has.
@pytest.mark.parametrize("number", [0, 1, len(FILES) - 1])
def test_migrate_from_earlier_migrations(nothing_yet: Db, number: int) -> None:
    db = nothing_yet
    bring_to(db, number)
    days = 3
    if number:
        for day in range(days):
            write_readings(db, range(1, 121), start=NOW - timedelta(days=day, minutes=10), boot=day)
    output = migrate(db).expect_success()
    assert output.count("applied") == len(FILES) - number
    stored = days * 120 if number else 0
    assert db.one("SELECT coalesce(sum(readings), 0) FROM vitals_1d") == stored
    assert db.one("SELECT count(*) FROM ward_now") == (1 if number else 0)
    with connect(db.owner_url) as connection:
        community = find_edition(connection).community
    # Stored readings are taken into the rollups, and output so, a day at a time.
    assert output.count("rollups refreshed from") >= (days if number and community else 0)
    columns = db.rows(COLUMNS)
    assert "applied" not in migrate(db).expect_success()
    assert db.rows(COLUMNS) == columns


def test_readings_in_the_columnstore_keep_their_times_of_arrival(community: Db) -> None:
    """Rows and chunks in the columnstore from before 0016_arrival_lag.sql, which changes only the catalog."""
    db = community
    bring_to(db, [path.name for path in FILES].index("0016_arrival_lag.sql"))
    for day in range(3):
        write_readings(db, range(1, 121), start=NOW - timedelta(days=day, minutes=10), boot=day)
    written = "SELECT device_id, time, boot, seq, {} FROM patient_vitals ORDER BY 2, 3, 4"
    arrival = written.format("arrival_time(received_at, time, arrival_lag_ms)")
    columnstore = (
        "ALTER TABLE patient_vitals SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'device_id',"
        " timescaledb.orderby = 'time DESC, boot DESC, seq DESC')"
    )
    with connect(db.owner_url) as connection:
        connection.execute(columnstore)
        old = "SELECT compress_chunk(chunk) FROM show_chunks('patient_vitals', older_than => %s) AS chunk"
        assert len(connection.execute(old, [NOW - timedelta(days=1)]).fetchall()) > 0
    before = db.rows(written.format("received_at"))
    pages = "SELECT chunk, pg_relation_filenode(chunk) FROM show_chunks('patient_vitals') AS chunk ORDER BY 1"
    files = db.rows(pages)
    assert len(before) == 360
    migrate(db).expect_success()
    assert db.rows(arrival) == before
    assert db.rows(pages) == files, "no chunk is rewritten"
    # Late readings of this version beside them, in a chunk of the columnstore; then all of it in the columnstore.
    insert = (
        "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, arrival_lag_ms)"
        " VALUES (%s, 'bed-1', 9, 1, 'icu-1', 82, 'NORMAL', %s) RETURNING 1"
    )
    late = NOW - timedelta(days=2)
    lag = timedelta(days=60, milliseconds=250)
    db.rows(insert, late, lag // timedelta(milliseconds=1))
    for _ in range(2):
        found = {row[:4]: row[4] for row in db.rows(arrival)}
        assert found.pop(("bed-1", late, 9, 1)) == late + lag
        assert found == {row[:4]: row[4] for row in before}
        db.rows("SELECT compress_chunk(chunk) FROM show_chunks('patient_vitals') AS chunk")


ROLES = "rename_ward", "rename_analyst"
# Rows in every table that 0008 changes, a reader of one ward, and an analyst with grants and views of their own.
USE = """
UPDATE vitalflow_period SET period = '9 days' WHERE name = 'raw_retention';
INSERT INTO late_bucket (minute, readings) VALUES (date_trunc('minute', now() - interval '1 day'), 1);
UPDATE late_total SET readings = 5, minutes = 4, last_at = '2026-11-22Z';
INSERT INTO audit_event (time, received_at, who, action, ward, device_id, detail, topic, content, delivery, once)
VALUES ('2026-11-22Z', '2026-11-22Z', 'ada', 'set_limits', 'icu-1', 'bed-1', '{"limits": {}}', 't', 'x', '7', 'key');
CREATE ROLE rename_ward IN ROLE vitalflow_ward_reader;
INSERT INTO reader_ward VALUES ('rename_ward', 'icu-1');
CREATE VIEW my_audit AS SELECT who, period FROM audit_event, vitalflow_period WHERE name = 'raw_retention';
CREATE VIEW my_values AS SELECT device_id, heart_rate FROM held_reading WHERE news2_hold('spo2') = interval '1 minute';
CREATE ROLE rename_analyst;
GRANT SELECT ON audit_event, late_total, held_reading, my_audit, my_values TO rename_analyst;
GRANT UPDATE (period) ON vitalflow_period TO rename_analyst;
"""
READINGS = "SELECT time, device_id, boot, seq, ward, heart_rate, status, {} FROM patient_vitals"
# Columns of both versions; a later migration may append others.
VALID = "SELECT ward, device_id, patient_id, time, heart_rate, spo2, temperature, systolic_bp, oldest_input FROM "
OLD_NAMES = """
SELECT name FROM (
    SELECT relname AS name FROM pg_class UNION ALL SELECT proname FROM pg_proc UNION ALL SELECT tgname FROM pg_trigger
    UNION ALL SELECT conname FROM pg_constraint UNION ALL
    SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE NOT attisdropped AND relname IN
        ('audit_event', 'bed_limit', 'vitalflow_edition', 'rollup_invalidation_stats', 'rollup_now'))
WHERE name ~ ('vitalflow_period|late_bucket|late_total|reading_shape|held_reading|audit_is_only|news2_hold'
    '|for_every_sign|policy_relation|refresh_late$|only_one|^who$|^once$|^content$|^delivery$|^reaches$')
"""
GRANTED = """
SELECT has_table_privilege('rename_analyst', 'audit_event', 'SELECT'),
    has_table_privilege('rename_analyst', 'rollup_invalidation_stats', 'SELECT'),
    has_table_privilege('rename_analyst', 'last_valid_vitals', 'SELECT'),
    has_column_privilege('rename_analyst', 'retention_setting', 'period', 'UPDATE'),
    has_table_privilege('rename_analyst', 'retention_setting', 'SELECT')
"""


@pytest.fixture
def version_0_1_0(nothing_yet: Db) -> Iterator[Db]:
    """A database that version 0.1.0 migrated, and that is in use."""
    db = nothing_yet
    with connect(db.owner_url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        community = find_edition(connection).community
    apply_version_0_1_0(db, community)
    write_readings(db, range(1, 121), start=NOW - timedelta(minutes=10))
    with connect(db.owner_url) as connection, connection.transaction():
        connection.execute(USE)
    yield db
    with connect(db.owner_url) as connection:
        for role in map(sql.Identifier, ROLES):
            connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def test_version_0_1_0_in_use_keeps_rows_grants_and_readers(version_0_1_0: Db) -> None:
    db = version_0_1_0
    tables = {
        "TABLE audit_event": "TABLE audit_event",
        "TABLE late_total": "TABLE rollup_invalidation_stats",
        "TABLE late_bucket": "TABLE rollup_invalidation",
        "TABLE reader_ward": "TABLE reader_ward",
        READINGS.format("received_at"): READINGS.format("arrival_time(received_at, time, arrival_lag_ms)"),
        "TABLE my_audit": "TABLE my_audit",
        "TABLE my_values": "TABLE my_values",
        VALID + "held_reading": VALID + "last_valid_vitals",
        "SELECT bucket, readings FROM vitals_1m ORDER BY 1": "SELECT bucket, readings FROM vitals_1m ORDER BY 1",
    }
    before = {old: db.rows(old) for old in tables}
    assert all(before.values())
    assert "applied 0008_rename.sql" in migrate(db).expect_success()
    own_view = before.pop("TABLE my_audit")
    assert {old: db.rows(tables[old]) for old in before} == before
    assert own_view == [("ada", timedelta(days=9))]
    assert db.rows("TABLE my_audit") == [("ada", timedelta(days=30))], (
        "the default of the setting, as migrate applies it"
    )
    assert db.rows(OLD_NAMES) == []
    assert db.rows(GRANTED) == [(True, True, True, True, False)]
    for role, query in [
        ("rename_analyst", "SELECT * FROM my_audit, my_values, last_valid_vitals"),
        (
            "rename_ward",
            "SELECT * FROM by_ward.audit_event, by_ward.last_valid_vitals, by_ward.patient_vitals_template",
        ),
    ]:
        with psycopg.connect(db.owner_url) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            connection.execute(query.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        db.rows("UPDATE audit_event SET actor = 'another user' RETURNING id")
    jobs = db.rows("SELECT proc_name FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1")
    with connect(db.owner_url) as connection:
        community = find_edition(connection).community
    assert jobs.count(("refresh_due_buckets",)) == community
    if community:
        run_jobs(db, "refresh_due_buckets")
        assert db.count("rollup_invalidation") == 0
    columns = db.rows(COLUMNS)
    assert "applied" not in migrate(db).expect_success()
    assert db.rows(COLUMNS) == columns
    assert db.rows("SELECT proc_name FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1") == jobs
