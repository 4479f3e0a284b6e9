"""Continuous aggregates, policies, late readings and the columnstore: what only the Community edition has.

One database for the whole module, and the tests leave it to each other as they found it but for more readings; each
uses days of its own.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest

from sql.migrate import connect
from sql.migrate import migrate as migrate_here
from sql.retention import RetentionSettings
from tests.fixtures.community import MakeMigrated
from tests.fixtures.trends import DEVICES, NOW, STEP, fill, refresh_all, run_jobs, store
from tests.support.migrate import migrate, settings_of, start_migrate, wait_for_end
from tests.support.servers import Db
from vitals.signs import SIGN_KEYS

DAYS = 33
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEVELS = [("vitals_1m", MINUTE), ("vitals_1h", HOUR), ("vitals_1d", DAY)]


@pytest.fixture(scope="module")
def db(make_migrated: MakeMigrated) -> Iterator[Db]:
    """33 days of readings, three of them past the retention, and all of them in the rollups."""
    with make_migrated() as made:
        fill(made, DAYS)
        yield made


def past(days: int, hour: int = 0, minute: int = 0) -> datetime:
    """A moment of the day so many days ago."""
    return NOW.replace(hour=0, minute=0) - days * DAY + hour * HOUR + minute * MINUTE


def highest(db: Db, rollup: str, width: timedelta, time: datetime) -> object:
    """The highest heart rate of a device in the bucket that holds `time`."""
    return db.one(
        f"SELECT max(heart_rate_max) FROM {rollup} WHERE device_id = 'bed-001' AND bucket = time_bucket(%s, %s)",  # noqa: S608
        width,
        time,
    )


def jobs(db: Db) -> dict[tuple[object, object], tuple[object, ...]]:
    """The policies: number and periods of each, by kind and the number of its hypertable."""
    found = db.rows(
        "SELECT proc_name, coalesce(config ->> 'mat_hypertable_id', config ->> 'hypertable_id'), job_id,"
        " schedule_interval, (config ->> 'start_offset')::interval, (config ->> 'compress_after')::interval,"
        " (config ->> 'drop_after')::interval FROM timescaledb_information.jobs WHERE job_id >= 1000"
    )
    return {(row[0], row[1]): row[2:] for row in found}


# The hierarchy


@pytest.mark.parametrize(("rollup", "width"), LEVELS)
def test_every_level_equals_the_aggregated_readings(db: Db, rollup: str, width: timedelta) -> None:
    signs = [f"avg({key}), min({key}), max({key}), count({key})" for key in SIGN_KEYS]
    stored = db.rows(
        f"SELECT time_bucket(%s, time) AS bucket, device_id, patient_id, ward, count(*), {', '.join(signs)}"  # noqa: S608
        " FROM patient_vitals WHERE time >= %s AND time < %s GROUP BY 1, 2, 3, 4 ORDER BY 1, 2",
        width,
        past(20),
        past(17),
    )
    rolled = [f"{key}_avg, {key}_min, {key}_max, {key}_n" for key in SIGN_KEYS]
    kept = db.rows(
        f"SELECT bucket, device_id, patient_id, ward, readings, {', '.join(rolled)} FROM {rollup}"  # noqa: S608
        " WHERE bucket >= %s AND bucket < %s ORDER BY 1, 2",
        past(20),
        past(17),
    )
    assert len(stored) == DEVICES * (3 * DAY // max(width, STEP))
    assert kept == [tuple(pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for v in row) for row in stored]


def test_each_level_is_built_on_the_one_below(db: Db) -> None:
    found = db.rows(
        "SELECT above.view_name, coalesce(below.view_name, above.hypertable_name), above.materialized_only"
        " FROM timescaledb_information.continuous_aggregates above"
        " LEFT JOIN timescaledb_information.continuous_aggregates below"
        " ON below.materialization_hypertable_name = above.hypertable_name ORDER BY 1"
    )
    assert found == [
        ("sequence_1h", "patient_vitals", False),
        ("vitals_1d", "vitals_1h", False),
        ("vitals_1h", "vitals_1m", False),
        ("vitals_1m", "patient_vitals", False),
    ]


def test_a_reading_is_in_every_level_at_once_without_a_refresh(db: Db) -> None:
    # Beyond what is materialized, which ends before the present day does.
    time = NOW + 2 * DAY
    store(db, [time], heart_rate=201)
    assert [highest(db, rollup, width, time) for rollup, width in LEVELS] == [201, 201, 201]
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM patient_vitals WHERE time = %s", [time])


def test_a_sensor_that_is_off_counts_by_time_and_not_by_readings(db: Db) -> None:
    # A minute with sixty readings, all of them off; then three minutes with one each, all on: a quarter of the time.
    start = NOW + 3 * DAY
    start = start.replace(hour=1, minute=0)
    store(db, [start + timedelta(seconds=second) for second in range(60)], device_id="bed-off", sensor_off=["spo2"])
    store(db, [start + minute * MINUTE for minute in (1, 2, 3)], device_id="bed-off")
    off = "SELECT spo2_off, heart_rate_off, readings, minutes FROM vitals_1h WHERE device_id = 'bed-off'"
    assert db.rows(off) == [(0.25, 0.0, 63, 4)]
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM patient_vitals WHERE device_id = 'bed-off'")


# Late readings


def test_a_reading_three_days_late_appears_in_every_level(db: Db) -> None:
    time = past(3, 4, 5)
    assert store(db, [time], heart_rate=202) == 1
    assert 202 not in [highest(db, rollup, width, time) for rollup, width in LEVELS]
    run_jobs(db, "refresh_due_buckets")
    assert [highest(db, rollup, width, time) for rollup, width in LEVELS] == [202, 202, 202]
    assert db.count("rollup_invalidation") == 0


def test_a_late_reading_of_an_otherwise_unchanged_day_is_in_every_level(db: Db) -> None:
    # What the level below notes of this one minute is then all that tells a level that it has something to do.
    for _ in range(2):
        refresh_all(db, past(9), past(6))
    time = past(7, 4, 5)
    store(db, [time], heart_rate=206)
    run_jobs(db, "refresh_due_buckets")
    assert [highest(db, rollup, width, time) for rollup, width in LEVELS] == [206, 206, 206]


def test_exactly_the_recorded_minutes_are_refreshed(db: Db) -> None:
    noted, not_noted = past(5, 4, 5), past(5, 4, 15)
    store(db, [noted], heart_rate=203)
    store(db, [not_noted], heart_rate=204, note_late=False)
    assert db.rows("SELECT minute, readings FROM rollup_invalidation") == [(noted, 1)]
    before = db.rows("SELECT readings, minutes FROM rollup_invalidation_stats")[0]
    run_jobs(db, "refresh_due_buckets")
    assert highest(db, "vitals_1m", MINUTE, noted) == 203
    assert highest(db, "vitals_1m", MINUTE, not_noted) != 204
    # The hour was made of its minutes again, and so knows the one and not the other.
    assert highest(db, "vitals_1h", HOUR, noted) == 203
    after = db.rows("SELECT readings, minutes FROM rollup_invalidation_stats")[0]
    assert [int(str(new)) - int(str(old)) for new, old in zip(after, before, strict=True)] == [1, 1]


def test_a_reading_in_time_is_not_recorded(db: Db) -> None:
    assert store(db, [NOW - timedelta(hours=5)], heart_rate=80) == 1
    assert db.count("rollup_invalidation") == 0


def test_a_run_refreshes_at_most_its_limit(db: Db) -> None:
    times = [past(6, hour, 30) for hour in range(5)]
    store(db, times, heart_rate=205)
    left = []
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        for _ in range(3):
            connection.execute("""CALL refresh_invalidated_buckets(2)""")
            row = connection.execute("SELECT count(*) FROM rollup_invalidation").fetchone()
            assert row is not None
            left.append(row[0])
    assert left == [3, 1, 0]
    assert [highest(db, "vitals_1m", MINUTE, time) for time in times] == [205] * 5


def test_a_late_reading_older_than_the_retention_empties_no_rollup(db: Db) -> None:
    # Its minutes cannot be refreshed if what they are made of is gone; what is remembered of them stays.
    time = past(300)
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("INSERT INTO rollup_invalidation (minute, readings) VALUES (%s, 1)", [time])
    before = db.one("SELECT sum(readings) FROM vitals_1d")
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("CALL refresh_invalidated_buckets(600)")
    assert db.one("SELECT sum(readings) FROM vitals_1d") == before
    assert db.count("rollup_invalidation") == 0


# The columnstore


def test_readings_for_a_compressed_chunk_are_stored_and_duplicates_are_harmless(db: Db) -> None:
    run_jobs(db, "policy_compression")
    compressed = db.rows(
        "SELECT range_start FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'patient_vitals' AND is_compressed ORDER BY 1"
    )
    assert (past(10),) in compressed
    assert (past(5),) not in compressed
    oldest = "SELECT time FROM patient_vitals WHERE time >= %s ORDER BY time LIMIT 60"
    old = [time for (time,) in db.rows(oldest, past(10))]
    assert len(old) == 60
    # New ones on either side of every duplicate, and in a chunk that is not compressed: none of them may be lost.
    with psycopg.connect(db.owner_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE mixed AS SELECT * FROM patient_vitals WHERE time = ANY (%s)", [old])
        cursor.execute("INSERT INTO mixed SELECT * FROM mixed")
        cursor.execute("UPDATE mixed SET boot = 7 WHERE ctid IN (SELECT min(ctid) FROM mixed GROUP BY time, device_id)")
        cursor.execute(
            "INSERT INTO mixed (time, device_id, boot, seq, ward, sensor_off, status, received_at)"
            " SELECT %s - number * interval '1 second', 'bed-001', 7, number, 'icu-1', '{}', 'NORMAL', now()"
            " FROM generate_series(1, 50) AS number",
            [NOW],
        )
        before = cursor.execute("SELECT count(*) FROM patient_vitals").fetchone()
        first = cursor.execute(
            "INSERT INTO patient_vitals SELECT * FROM mixed ORDER BY random() ON CONFLICT DO NOTHING"
        ).rowcount
        again = cursor.execute(
            "INSERT INTO patient_vitals SELECT * FROM mixed ORDER BY random() ON CONFLICT DO NOTHING"
        ).rowcount
        after = cursor.execute("SELECT count(*) FROM patient_vitals").fetchone()
    assert before is not None
    assert after is not None
    assert (first, again) == (len(old) + 50, 0)
    assert after[0] - before[0] == len(old) + 50


def test_ingest_stores_any_number_of_late_readings(db: Db) -> None:
    # The server's default refuses a transaction that must look into more than 100,000 compressed rows.
    settings = db.one("SELECT rolconfig FROM pg_roles WHERE rolname = 'vitalflow_ingest'")
    assert isinstance(settings, list)
    assert "timescaledb.max_tuples_decompressed_per_dml_transaction=0" in settings


def test_late_readings_reach_the_rollups_of_compressed_days(db: Db) -> None:
    time = past(12, 4, 5)
    assert store(db, [time, time], heart_rate=206) == 2
    assert store(db, [time, time], heart_rate=206) == 0
    run_jobs(db, "refresh_due_buckets")
    assert [highest(db, rollup, width, time) for rollup, width in LEVELS] == [206, 206, 206]


# Policies and their periods


def test_the_policies_are_those_of_the_settings(db: Db) -> None:
    found = sorted((kind, periods[1:]) for (kind, _), periods in jobs(db).items())
    assert found == [
        ("check_rollups", (HOUR, None, None, None)),
        ("compress_rollups", (12 * HOUR, None, None, None)),
        ("drop_old_chunks", (HOUR, None, None, None)),
        ("policy_compression", (12 * HOUR, None, 7 * DAY, None)),
        ("refresh_due_buckets", (MINUTE, None, None, None)),
    ]


def test_migrate_keeps_policies_and_applies_changed_periods(db: Db) -> None:
    before = jobs(db)
    migrate(db).expect_success()
    assert jobs(db) == before
    changed = {**settings_of(db), "VITALFLOW_COMPRESS_AFTER_DAYS": "9", "VITALFLOW_LATE_AFTER_HOURS": "12"}
    wait_for_end(start_migrate(changed)).expect_success()
    after = jobs(db)
    assert {kind for kind in before if before[kind] != after[kind]} == {
        kind for kind in before if kind[0] == "policy_compression"
    }
    assert {periods[3] for (kind, _), periods in after.items() if kind == "policy_compression"} == {9 * DAY}
    migrate(db).expect_success()
    assert {key: periods[1:] for key, periods in jobs(db).items()} == {key: rest[1:] for key, rest in before.items()}


def test_retention_drops_readings_and_keeps_the_rollups(db: Db) -> None:
    def remembered() -> list[tuple[object, ...]]:
        counted = "SELECT sum(readings), count(*), min(bucket) FROM {} WHERE bucket < %s"
        return [db.rows(counted.format(rollup), past(30))[0] for rollup, _ in LEVELS]

    before = remembered()
    assert db.one("SELECT min(time) FROM patient_vitals") < past(32)  # type: ignore[operator]
    run_jobs(db, "drop_old_chunks")
    assert db.one("SELECT min(time) FROM patient_vitals") >= past(31)  # type: ignore[operator]
    run_jobs(db, "refresh_due_buckets")
    assert remembered() == before
    # And not even a person who asks for too much can make them forget.
    with connect(db.owner_url) as connection:
        connection.execute("CALL refresh_rollups(%s, %s)", [past(60), NOW])
    assert remembered() == before


def test_conflicting_periods_are_refused(db: Db) -> None:
    for changed, said in [
        ({"LATE_AFTER_HOURS": "24", "RAW_RETENTION_DAYS": "1"}, "VITALFLOW_LATE_AFTER_HOURS is 24; with .* at most 20"),
        ({"MINUTE_RETENTION_DAYS": "7"}, "VITALFLOW_MINUTE_RETENTION_DAYS is 7, less than"),
        ({"COMPRESS_AFTER_DAYS": "1", "LATE_AFTER_HOURS": "24"}, "VITALFLOW_COMPRESS_AFTER_DAYS is 1; it must"),
    ]:
        settings = {f"VITALFLOW_{key}": value for key, value in changed.items()}
        message = wait_for_end(start_migrate({**settings_of(db), **settings})).expect_sentence()
        assert re.search(said, message), message


def test_reader_and_ingest_have_only_their_privileges(db: Db) -> None:
    # By SET ROLE, because the WebAssembly build lets everybody in as the superuser.
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("SET ROLE vitalflow_reader")
        for rollup, _ in [*LEVELS, ("sequence_1h", HOUR), ("completeness_1h", HOUR)]:
            assert connection.execute(f"SELECT * FROM {rollup} LIMIT 1".encode()).fetchall()  # noqa: S608
        connection.execute("SET ROLE vitalflow_ingest")
        connection.execute("INSERT INTO rollup_invalidation (minute, readings) VALUES (%s, 1)", [past(2)])
        assert connection.execute("SELECT drop_old_readings()").fetchone() == (0,)
        for forbidden in ("DELETE FROM rollup_invalidation", f"CALL refresh_rollups('{past(2)}', '{past(1)}')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())


def test_migrate_called_from_python_applies_the_given_periods(db: Db) -> None:
    with connect(db.owner_url) as connection:
        migrate_here(connection, {}, lambda _: None, RetentionSettings(minute_retention=400 * DAY))
        assert connection.execute(
            "SELECT period FROM retention_setting WHERE name = 'minute_retention'"
        ).fetchone() == (400 * DAY,)
        migrate_here(connection, {}, lambda _: None)
