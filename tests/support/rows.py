"""Rows straight into `patient_vitals`, for tests of what the database does with them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import psycopg

from tests.support.servers import Db

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
BOOT = int(START.timestamp())


def write_readings(
    db: Db, seqs: Iterable[int], *, device: str = "bed-1", boot: int = BOOT, start: datetime = START
) -> None:
    """Readings with these numbers, a second apart, the first a second after `start`."""
    rows = [(start + timedelta(seconds=second), device, boot, seq) for second, seq in enumerate(seqs, 1)]
    with psycopg.connect(db.owner_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
            " VALUES (%s, %s, %s, %s, 'icu-1', 82, 'NORMAL', now())",
            rows,
        )
