"""Rows straight into the database, for tests of what it does with them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import psycopg

from ingest.store import STATEMENTS, alert_parameters
from tests.support.servers import Db
from vitals.alert import Alert

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


def store_alert(db: Db, alert: Alert) -> None:
    """Store one change of an alert, as ingest does."""
    row = alert_parameters(alert, alert.changed_at)
    with psycopg.connect(db.ingest_url) as connection:
        for name in ("alert_event", "alert_latest"):
            connection.execute(STATEMENTS[name].encode(), row)
