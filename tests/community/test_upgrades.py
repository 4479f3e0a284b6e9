"""What migrate does to a database that has a history: a new sign, another edition, a backfill that was interrupted.

Each on a database of its own, on the Community edition.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.trends import DEVICES, NOW, STEP, fill, run_jobs, store
from tests.integration.test_adding_a_sign import block
from tests.support.migrate import copy_packages, migrate, migrate_as_apache, settings_of, start_migrate, wait_for_end
from tests.support.servers import Db

DAYS = 4
ROWS = DEVICES * (DAYS * (timedelta(days=1) // STEP) + 1)
LEVELS = ("vitals_1m", "vitals_1h", "vitals_1d")
CAGGS = "SELECT count(*) FROM timescaledb_information.continuous_aggregates"


def readings_in_rollups(db: Db) -> list[int]:
    return [int(str(db.one(f"SELECT coalesce(sum(readings), 0) FROM {rollup}"))) for rollup in LEVELS]  # noqa: S608


@pytest.fixture
def with_a_new_sign(tmp_path: Path) -> Path:
    """A copy of the rooms, with a sign added as docs/adding-a-sign.md says."""
    checkout = copy_packages(tmp_path / "checkout", "vitals", "sql")
    table = checkout / "vitals/signs.py"
    before, end_of_table, after = table.read_text().partition("\n)\nSIGN_KEYS")
    table.write_text(f"{before}\n{block('python').rstrip()}{end_of_table}{after}")
    (checkout / "sql/migrations/9001_etco2.sql").write_text(block("sql"))
    return checkout


def test_a_new_sign_is_added_to_the_rollups_without_loss(migrated: Db, with_a_new_sign: Path) -> None:
    fill(migrated, 10)
    all_of_it = readings_in_rollups(migrated)
    assert all_of_it[0] == DEVICES * (10 * (timedelta(days=1) // STEP) + 1)
    assert len(set(all_of_it)) == 1
    run_jobs(migrated, "policy_compression")
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("SELECT compress_chunk(chunk) FROM show_chunks(rollup_table('vitals_1m')) AS chunk")
        # The first readings are gone and only the rollups remember them; of the rest some are in the columnstore.
        connection.execute("SELECT drop_chunks('patient_vitals', %s)", [NOW - timedelta(days=9)])
    assert migrated.count() < all_of_it[0]
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s AND is_compressed"
    assert migrated.one(compressed, "patient_vitals") != 0
    assert readings_in_rollups(migrated) == all_of_it
    averages = "SELECT bucket, device_id, heart_rate_avg, spo2_n, spo2_off FROM vitals_1h ORDER BY 1, 2"
    before = migrated.rows(averages)
    output = migrate(migrated, with_a_new_sign).expect_success()
    assert "applied 9001_etco2.sql" in output
    assert readings_in_rollups(migrated) == all_of_it
    after = migrated.rows(averages)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    assert [row[2] for row in after] == pytest.approx([row[2] for row in before], rel=1e-9)
    assert [row[3:] for row in after[:-DEVICES]] == [row[3:] for row in before[:-DEVICES]]
    # By the clock of now: NOW may be of an hour that is over, and this one is to be of one that is not. A reading from
    # the future would not be the bed's newest.
    store(migrated, [datetime.now(UTC)], etco2=38)
    assert [migrated.one(f"SELECT max(etco2_avg) FROM {rollup}") for rollup in LEVELS] == [38] * 3  # noqa: S608
    found = "SELECT etco2_avg FROM vitals_series('bed-001', %s, %s, 1)"
    assert migrated.rows(found, NOW - timedelta(days=3), NOW + timedelta(days=1)) == [(38.0,)]
    assert migrated.one("SELECT etco2 FROM ward_now WHERE device_id = 'bed-001'") == 38
    # Its policies stand on the new ones, and a second time changes nothing.
    jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1"
    there = migrated.rows(jobs)
    assert len(there) == 5
    assert "applied" not in migrate(migrated, with_a_new_sign).expect_success()
    assert migrated.rows(jobs) == there


def test_a_ward_without_new_readings_keeps_its_history_when_a_sign_is_added(
    migrated: Db, with_a_new_sign: Path
) -> None:
    fill(migrated, DAYS)
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        # Nothing for two days, then one reading, of an hour that is not over.
        connection.execute("DELETE FROM patient_vitals WHERE time > %s", [NOW - timedelta(days=2)])
    store(migrated, [NOW])
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("CALL refresh_rollups(%s, now())", [NOW - timedelta(days=3)])
    before = readings_in_rollups(migrated)
    assert before == [DEVICES * 2 * (timedelta(days=1) // STEP) + 1] * 3
    migrate(migrated, with_a_new_sign).expect_success()
    assert readings_in_rollups(migrated) == before


def test_a_view_of_the_operator_blocks_new_rollups_and_is_named(migrated: Db, with_a_new_sign: Path) -> None:
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("CREATE VIEW my_chart AS SELECT * FROM vitals_series('x', '2026-11-01', '2026-11-02')")
        connection.execute("CREATE VIEW my_beds AS SELECT bucket, heart_rate_avg FROM vitals_1h")
    assert "applied" not in migrate(migrated).expect_success()
    message = migrate(migrated, with_a_new_sign).expect_sentence()
    assert "my_beds" in message
    assert migrated.rows("SELECT heart_rate_avg FROM my_beds") == []
    with psycopg.connect(migrated.owner_url, autocommit=True) as connection:
        connection.execute("DROP VIEW my_beds")
        connection.execute("DROP VIEW my_chart")
    migrate(migrated, with_a_new_sign).expect_success()


def test_an_apache_database_gets_aggregates_on_a_community_server(community: Db) -> None:
    migrate_as_apache(community)
    fill(community, DAYS)
    assert community.one(CAGGS) == 0
    before = readings_in_rollups(community)
    assert before == [ROWS] * 3
    output = migrate(community).expect_success()
    assert "created on the Apache edition: its rollups become continuous aggregates" in output
    assert output.count("rollups refreshed from") == DAYS + 1
    assert community.one(CAGGS) == 4
    assert readings_in_rollups(community) == before
    for rollup in LEVELS:  # and not only computed when asked
        table = community.one("SELECT rollup_table(%s)::text", rollup)
        assert community.one(f"SELECT count(*) FROM {table}") != 0  # noqa: S608
    assert "rollups" not in migrate(community).expect_success()


def test_an_interrupted_backfill_reports_its_position_and_continues(community: Db, tmp_path: Path) -> None:
    migrate_as_apache(community)
    fill(community, DAYS)
    checkout = copy_packages(tmp_path / "checkout", "sql", "vitals")
    refresh = checkout / "sql/editions/community/30_refresh.sql"
    stop = NOW.replace(hour=0, minute=0) - timedelta(days=2)
    first_step = "    -- A rollup is refreshed no further"
    assert first_step in refresh.read_text()
    full = f"    IF piece_end > '{stop.isoformat()}' THEN RAISE EXCEPTION 'the disk is full'; END IF;\n"
    refresh.write_text(refresh.read_text().replace(first_step, full + first_step))
    message = migrate(community, checkout).expect_sentence()
    assert f"the rollups are refreshed up to {stop:%Y-%m-%d} 00:00Z, then: the disk is full" in message
    assert "or vitalflow db migrate, continue" in message
    status = wait_for_end(start_migrate(settings_of(community), command=["status"])).expect_success()
    assert f"rollup             vitals_1m: refreshed to {stop:%Y-%m-%d} 00:00" in status
    assert readings_in_rollups(community) == [ROWS] * 3  # what is not taken in yet is computed when asked
    output = migrate(community).expect_success()
    assert f"adding the readings since {stop:%Y-%m-%d} 00:00Z to the rollups" in output
    assert output.count("rollups refreshed from") == 3
    assert readings_in_rollups(community) == [ROWS] * 3


def test_a_failing_edition_leaves_the_database_as_it_was(migrated: Db, tmp_path: Path) -> None:
    fill(migrated, 1)
    before = readings_in_rollups(migrated)
    checkout = copy_packages(tmp_path / "checkout", "sql", "vitals")
    (checkout / "sql/migrations/9001_etco2.sql").write_text(block("sql"))
    (checkout / "sql/editions/community/90_bad.sql").write_text("SELECT 1 / 0;")
    assert "sql/editions/community/90_bad.sql: division by zero" in migrate(migrated, checkout).expect_sentence()
    assert readings_in_rollups(migrated) == before
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'vitals_1m'::regclass AND attname = 'etco2_avg'"
    assert migrated.one(columns) == 0
    (checkout / "sql/editions/community/90_bad.sql").unlink()
    migrate(migrated, checkout).expect_success()
    assert migrated.one(columns) == 1
    assert readings_in_rollups(migrated) == before


def test_backfill_refreshes_a_range_with_progress(migrated: Db) -> None:
    fill(migrated, DAYS)
    time = NOW - timedelta(days=2)
    store(migrated, [time], note_late=False, heart_rate=210)  # past ingest, so it is not noted as late
    highest = "SELECT max(heart_rate_max) FROM vitals_1h"
    assert migrated.one(highest) != 210
    day = f"{time:%Y-%m-%d}"
    line = ["backfill", "--from", day, "--to", (time + timedelta(days=1)).date().isoformat()]
    output = wait_for_end(start_migrate(settings_of(migrated), command=line)).expect_success()
    assert output == f"1 of 1: rollups refreshed from {day} 00:00Z to {time + timedelta(days=1):%Y-%m-%d} 00:00Z\n"
    assert migrated.one(highest) == 210
    output = wait_for_end(
        start_migrate(settings_of(migrated), command=["backfill", "--from", "2020-01-01"])
    ).expect_success()
    assert "readings are kept since" in output
    for wrong, why in [
        (["--from", "soon"], "--from has the value 'soon'"),
        (["--from", day, "--to", day], "is not later than"),
    ]:
        assert why in wait_for_end(start_migrate(settings_of(migrated), command=["backfill", *wrong])).expect_sentence()


def test_status_reports_sizes_columnstore_and_jobs(community: Db) -> None:
    assert (
        "run vitalflow db migrate"
        in wait_for_end(start_migrate(settings_of(community), command=["status"])).expect_sentence()
    )
    migrate(community).expect_success()
    fill(community, 10)
    run_jobs(community, "policy_compression")
    run_jobs(community, "refresh_due_buckets")
    output = wait_for_end(start_migrate(settings_of(community), command=["status"])).expect_success()
    assert "Community edition" in output
    for line in (
        rf"patient_vitals     +{community.count():,} rows",
        r"device             +0 rows",
        r"readings           .* to .*",
        r"raw_retention      30 days",
        r"columnstore        patient_vitals: [23] of 11 chunks, .* -> .*, [\d.]+x smaller",
        r"job                drop_old_chunks: .* 0 failures",
        r"job                policy_compression patient_vitals: .* 0 failures",
        r"rollup             vitals_1d: refreshed to .*",
        r"late readings      0 refreshed in 0 minutes, 0 minutes pending, last never",
    ):
        assert re.search(rf"^{line}", output, re.MULTILINE), (line, output)
