"""Completeness of a range: numbers that a device assigned and that were not stored."""

from datetime import timedelta

import pytest

from tests.support.rows import START, write_readings
from tests.support.servers import Db


@pytest.mark.parametrize("days", [1, 6, 8, 40])
def test_numbers_before_a_silence_of_any_length_count_as_stored(db: Db, days: int) -> None:
    began = START - timedelta(days=days)
    boot = int(began.timestamp())
    write_readings(db, [1], device="bed-2", start=began - timedelta(days=1))  # so that the boot is not the oldest
    write_readings(db, [1, 2, 3], start=began, boot=boot)
    write_readings(db, [6], start=START, boot=boot)
    found = db.rows("SELECT stored, expected FROM completeness_between(%s, %s)", START, START + timedelta(hours=1))
    assert found == [(1, 3)], "4 and 5 are missing, 1 to 3 are stored"
    whole = "SELECT stored, expected FROM completeness_1h WHERE device_id = 'bed-1' ORDER BY bucket DESC LIMIT 1"
    assert db.rows(whole) == found
