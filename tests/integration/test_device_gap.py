"""The view `device_gap`: which numbered readings never arrived."""

from datetime import timedelta

from tests.support.rows import BOOT, START, write_readings
from tests.support.servers import Db

GAPS = "SELECT device_id, boot, first_missing, last_missing, missing FROM device_gap ORDER BY 1, 2, 3"
MAX = 2**63 - 1


def long_ago(db: Db) -> None:
    """A row of another device that makes every boot below younger than the oldest row kept."""
    write_readings(db, [1], device="old", boot=0, start=START - timedelta(days=1))


def test_no_gap(db: Db) -> None:
    long_ago(db)
    write_readings(db, range(1, 50))
    assert db.rows(GAPS) == []


def test_no_reading_at_all(db: Db) -> None:
    assert db.rows(GAPS) == []


def test_gaps_are_reported_with_the_readings_beside_them(db: Db) -> None:
    long_ago(db)
    write_readings(db, [1, 2, 5, 6, 8])
    assert db.rows(GAPS) == [("bed-1", BOOT, 3, 4, 2), ("bed-1", BOOT, 7, 7, 1)]
    beside = db.rows("SELECT last_before, first_after FROM device_gap ORDER BY first_missing")
    assert beside[0] == (START + timedelta(seconds=2), START + timedelta(seconds=3))


def test_a_reading_that_arrives_late_closes_its_hole(db: Db) -> None:
    long_ago(db)
    write_readings(db, [1, 3])
    assert db.rows(GAPS) == [("bed-1", BOOT, 2, 2, 1)]
    write_readings(db, [2], start=START + timedelta(seconds=1.5))
    assert db.rows(GAPS) == []


def test_a_missing_head(db: Db) -> None:
    long_ago(db)
    write_readings(db, [4, 5])
    assert db.rows(GAPS) == [("bed-1", BOOT, 1, 3, 3)]
    assert db.rows("SELECT last_before FROM device_gap") == [(None,)]


def test_a_head_that_retention_removed_is_no_gap(db: Db) -> None:
    write_readings(db, range(1, 11), boot=BOOT)  # the day before
    later = START + timedelta(days=1)
    write_readings(db, [11, 12, 14], start=later)
    assert (
        db.one("SELECT count(*) FROM drop_chunks('patient_vitals', older_than => %s)", later - timedelta(hours=9)) == 1
    )
    assert db.rows("SELECT min(seq) FROM patient_vitals") == [(11,)]
    assert db.rows(GAPS) == [("bed-1", BOOT, 13, 13, 1)]


def test_each_boot_counts_by_itself(db: Db) -> None:
    long_ago(db)
    write_readings(db, [1, 2, 3])
    write_readings(db, [1, 3], boot=BOOT + 60, start=START + timedelta(seconds=60))
    write_readings(db, [1, 2], device="bed-2")
    assert db.rows(GAPS) == [("bed-1", BOOT + 60, 2, 2, 1)]


def test_a_device_that_does_not_number_has_no_gaps(db: Db) -> None:
    long_ago(db)
    write_readings(db, [0, 0, 0], boot=0)
    assert db.rows(GAPS) == []


def test_a_device_without_a_boot_has_holes_but_no_head(db: Db) -> None:
    long_ago(db)
    write_readings(db, [7, 9], boot=0)
    assert db.rows(GAPS) == [("bed-1", 0, 8, 8, 1)]


def test_a_number_that_comes_twice_at_two_times_is_no_gap(db: Db) -> None:
    long_ago(db)
    write_readings(db, [1, 2, 2, 3])
    assert db.rows(GAPS) == []


def test_a_device_with_absurd_numbers_does_not_break_the_view_for_the_others(db: Db) -> None:
    long_ago(db)
    write_readings(db, [1, 3])
    write_readings(db, [MAX, MAX], device="mad", boot=MAX)
    assert db.rows(GAPS) == [("bed-1", BOOT, 2, 2, 1), ("mad", MAX, 1, MAX - 1, MAX - 1)]


def test_one_device_is_found_through_the_index(db: Db) -> None:
    long_ago(db)
    for bed in range(20):
        write_readings(db, range(1, 200), device=f"bed-{bed}")
    plan = "\n".join(str(line) for (line,) in db.rows("EXPLAIN SELECT * FROM device_gap WHERE device_id = 'bed-7'"))
    assert "device_id = 'bed-7'::text" in plan
    assert "Index" in plan
