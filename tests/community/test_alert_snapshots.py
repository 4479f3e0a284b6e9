"""The readings around each alert, kept with it on both editions: which ones, when they are copied, and retention."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
import pytest

from sql.files import FOLDER
from tests.fixtures.community import EDITIONS, on_edition
from tests.support.factories import make_alert
from tests.support.rows import store_alert
from tests.support.servers import Db
from vitals.alert import alert_id

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module", params=EDITIONS)
def snapshots(request: pytest.FixtureRequest) -> Iterator[Db]:
    """A database of each edition in turn; each test has a bed of its own in it."""
    with on_edition(request, "snapshots", lambda _: None) as db:
        yield db


def measure(
    db: Db, device: str, times: list[datetime], clock_offset: timedelta = timedelta(), **columns: object
) -> None:
    """Readings of a bed that arrived when they were measured; the heart rate counts them from 60."""
    row = {"ward": "icu-1", "patient_id": "p-1", "received_at": None, **columns}
    lag_ms = clock_offset // timedelta(milliseconds=1)
    with psycopg.connect(db.owner_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, heart_rate, ward, patient_id, received_at,"
            " arrival_lag_ms, status)"
            " VALUES (%s, %s, 1, extract(epoch FROM %s), %s, %s, %s, %s, %s, 'NORMAL')",
            [
                (time - clock_offset, device, time, 60 + number, *row.values(), lag_ms)
                for number, time in enumerate(times)
            ],
        )


def assign(
    db: Db, device: str, patient: str | None, begin: datetime | str, end: datetime | None, since: datetime | str
) -> None:
    """Add a row to the history of a bed; patient None: discharged."""
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO assignment (device_id, ward, patient_id, from_time, to_time, patient_since)"
            " VALUES (%s, 'icu-1', %s, %s, %s, %s)",
            [device, patient, begin, end, since],
        )


def raise_alert(db: Db, device: str, raised: datetime, rule: str = "spo2-low", **fields: Any) -> str:
    """Store an alert that arrived when it was raised."""
    name = str(alert_id(device, rule, raised))
    known: dict[str, Any] = {"alert_id": name, "raised_at": raised, "changed_at": raised, "patient_id": "p-1"}
    store_alert(db, make_alert(device=device, rule=rule, **known | fields))
    return name


def take(db: Db, max_alerts: int = 1000) -> tuple[int, int]:
    """Copy what is due, as ingest asks for it; how many were copied, and how many are still due."""
    with psycopg.connect(db.ingest_url, autocommit=True) as connection:
        row = connection.execute("SELECT taken, waiting FROM take_alert_snapshots(%s)", [max_alerts]).fetchone()
    return cast("tuple[int, int]", row)


def kept(db: Db, alert: str) -> dict[str, list[float]]:
    return cast("dict[str, list[float]]", db.one("SELECT readings FROM alert_snapshot WHERE alert_id = %s", alert))


def around(raised: datetime, step_s: int = 10, reach: timedelta = 5 * MINUTE) -> list[datetime]:
    """Times from before an alert to after it."""
    steps = int(reach.total_seconds()) // step_s
    return [raised + timedelta(seconds=step_s * step) for step in range(-steps, steps + 1)]


def test_the_readings_from_two_minutes_before_to_two_minutes_after_are_kept(snapshots: Db) -> None:
    raised = NOW - 10 * MINUTE
    measure(snapshots, "bed-1", around(raised))
    measure(snapshots, "bed-1-neighbour", around(raised))
    alert = raise_alert(snapshots, "bed-1", raised)
    taken, waiting = take(snapshots)
    assert (taken >= 1, waiting) == (True, 0)
    found = kept(snapshots, alert)
    assert found["seconds"] == [*range(-120, 121, 10)]
    assert found["heart_rate"] == [*range(78, 103)]
    assert set(found) == {"seconds", "heart_rate"}, "a sign that was not measured takes no space"
    documented = (FOLDER / "README.md").read_text().partition("    SELECT second, heart_rate FROM alert_snapshot")
    query = "".join(documented[1:]).partition("WHERE")[0] + "WHERE alert_id = %s"
    assert snapshots.rows(query, alert) == list(zip(found["seconds"], found["heart_rate"], strict=True))


def test_readings_of_another_ward_and_of_another_patient_are_not_kept(snapshots: Db) -> None:
    raised = NOW - 10 * MINUTE
    times = around(raised, 60, 2 * MINUTE)
    measure(snapshots, "bed-2", times[:1], ward="icu-2")
    measure(snapshots, "bed-2", times[1:4])
    measure(snapshots, "bed-2", times[4:], patient_id="p-2")
    alert = raise_alert(snapshots, "bed-2", raised)
    take(snapshots)
    assert kept(snapshots, alert)["seconds"] == [-60, 0, 60]


def test_a_reading_without_a_patient_belongs_to_the_assigned_one(snapshots: Db) -> None:
    raised = NOW - 10 * MINUTE
    measure(snapshots, "bed-3", around(raised, 30), patient_id=None)
    assign(snapshots, "bed-3", "p-1", "-infinity", raised + MINUTE, "epoch")
    assign(snapshots, "bed-3", "p-2", raised + MINUTE, None, raised + MINUTE)
    alert = raise_alert(snapshots, "bed-3", raised)
    second = raise_alert(snapshots, "bed-3", raised + 3 * MINUTE, rule="second", patient_id="p-2")
    take(snapshots)
    assert kept(snapshots, alert)["seconds"] == [-120, -90, -60, -30, 0, 30]
    assert kept(snapshots, second)["seconds"] == [-120, -90, -60, -30, 0, 30, 60, 90, 120]


def test_an_alert_without_a_patient_has_no_reading_of_a_patient(snapshots: Db) -> None:
    """A patient is discharged a minute before the alert, and the next one is admitted a minute after it."""
    raised = NOW - 10 * MINUTE
    empty = [*range(-60, 121, 30)]
    for bed, named in (("bed-8", "p-1"), ("bed-9", None)):
        measure(snapshots, bed, around(raised, 30)[:8], patient_id=named)
        measure(snapshots, bed, around(raised, 30)[8:], patient_id=None)
        assign(snapshots, bed, "p-1", "-infinity", raised - MINUTE, "epoch")
        assign(snapshots, bed, None, raised - MINUTE, raised + MINUTE, raised - MINUTE)
    alerts = [raise_alert(snapshots, bed, raised, patient_id=None) for bed in ("bed-8", "bed-9")]
    assign(snapshots, "bed-8", None, raised + MINUTE, None, raised - MINUTE)
    # Since the discharge: what was measured while no patient was assigned is the assigned patient's. The alert is not.
    assign(snapshots, "bed-9", "p-2", raised + MINUTE, None, raised - MINUTE)
    take(snapshots)
    assert kept(snapshots, alerts[0])["seconds"] == empty
    assert kept(snapshots, alerts[1])["seconds"] == [*range(-60, 60, 30)]


@pytest.mark.parametrize("offset", [5 * MINUTE, -5 * MINUTE], ids=["behind", "ahead"])
def test_the_readings_of_a_wrong_clock_are_those_of_the_time_of_the_alert(snapshots: Db, offset: timedelta) -> None:
    raised = NOW - 20 * MINUTE
    bed = f"bed-clock-{offset.days}"
    with psycopg.connect(snapshots.owner_url) as connection:
        connection.execute("INSERT INTO device_clock VALUES (%s, %s, now())", [bed, offset])
    measure(snapshots, bed, around(raised), offset)
    alert = raise_alert(snapshots, bed, raised)
    take(snapshots)
    found = kept(snapshots, alert)
    assert found["seconds"] == [*range(-120, 121, 10)]
    assert found["heart_rate"] == [*range(78, 103)]


def test_a_second_copy_after_the_clock_was_corrected_does_not_replace_the_first(snapshots: Db) -> None:
    raised = NOW - 20 * MINUTE
    measure(snapshots, "bed-set", around(raised, reach=10 * MINUTE), 5 * MINUTE)
    alert = raise_alert(snapshots, "bed-set", raised)
    with psycopg.connect(snapshots.owner_url) as connection:
        connection.execute("INSERT INTO device_clock VALUES ('bed-set', '5 minutes', now())")
    take(snapshots)
    with psycopg.connect(snapshots.owner_url) as connection:
        connection.execute("UPDATE device_clock SET clock_offset = '0' WHERE device_id = 'bed-set'")
        connection.execute("UPDATE alert_snapshot SET due_at = now() WHERE alert_id = %s", [alert])
    first = kept(snapshots, alert)
    assert take(snapshots) == (1, 0)
    assert kept(snapshots, alert) == first


def test_a_second_copy_has_what_arrived_later_and_a_third_is_not_made(snapshots: Db) -> None:
    raised = NOW - 10 * MINUTE
    measure(snapshots, "bed-4", [raised - MINUTE])
    alert = raise_alert(snapshots, "bed-4", raised)
    take(snapshots)
    assert kept(snapshots, alert) == {"seconds": [-60], "heart_rate": [60]}
    due = "SELECT due_at - %s FROM alert_snapshot WHERE alert_id = %s"
    assert snapshots.one(due, raised, alert) == timedelta(hours=6, minutes=2)
    measure(snapshots, "bed-4", [raised + MINUTE])
    assert take(snapshots)[0] == 0, "it is not due"
    with psycopg.connect(snapshots.owner_url) as connection:
        connection.execute("UPDATE alert_snapshot SET due_at = now() WHERE alert_id = %s", [alert])
    assert take(snapshots) == (1, 0)
    assert kept(snapshots, alert) == {"seconds": [-60, 60], "heart_rate": [60, 60]}
    assert snapshots.one(due, raised, alert) is None
    measure(snapshots, "bed-4", [raised])
    assert take(snapshots) == (0, 0)
    assert len(kept(snapshots, alert)["seconds"]) == 2


def test_each_alert_is_due_once_whichever_change_is_stored_first_and_a_call_is_bounded(snapshots: Db) -> None:
    raised = NOW - timedelta(hours=12)
    alerts = [raise_alert(snapshots, "bed-5", raised + n * MINUTE, revision=4) for n in range(7)]
    for n in range(7):
        raise_alert(snapshots, "bed-5", raised + n * MINUTE, revision=5)
        raise_alert(snapshots, "bed-5", raised + n * MINUTE, revision=5)  # redelivered
    assert take(snapshots, 5) == (5, 2)
    assert take(snapshots, 5) == (2, 0)
    assert snapshots.one("SELECT count(*) FROM alert_snapshot WHERE device_id = 'bed-5'") == 7
    assert [kept(snapshots, alert) for alert in alerts] == [{}] * 7


def drop_old_readings(db: Db) -> None:
    """Let retention run, as ingest or the job does."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        if connection.execute("SELECT community FROM vitalflow_edition").fetchone() == (True,):
            connection.execute("UPDATE rollup_progress SET refreshed_to = now()")
            connection.execute("CALL drop_old_chunks(0, NULL)")
        else:
            connection.execute("SELECT drop_old_readings()")


def test_retention_waits_for_the_copy_and_the_copy_outlives_the_readings(snapshots: Db) -> None:
    raised = NOW - timedelta(days=40)
    measure(snapshots, "bed-6", around(raised, 30))
    alert = raise_alert(snapshots, "bed-6", raised)
    stored = "SELECT count(*) FROM patient_vitals WHERE device_id = 'bed-6'"
    drop_old_readings(snapshots)
    assert snapshots.one(stored) == 21, "the copies were not taken for forty days"
    take(snapshots)
    drop_old_readings(snapshots)
    assert snapshots.one(stored) == 0
    assert kept(snapshots, alert)["seconds"] == [*range(-120, 121, 30)]


def test_the_alerts_of_a_database_of_an_earlier_version_are_due_at_once(snapshots: Db) -> None:
    raised = NOW - 20 * MINUTE
    measure(snapshots, "bed-7", around(raised, 60))
    alert = raise_alert(snapshots, "bed-7", raised)
    (migration,) = (FOLDER / "migrations").glob("*_alert_snapshot.sql")
    with psycopg.connect(snapshots.owner_url) as connection:
        connection.execute("DELETE FROM alert_snapshot WHERE device_id = 'bed-7'")
        statement = "INSERT INTO" + migration.read_text().partition("INSERT INTO")[2]
        connection.execute(statement.encode())
    assert take(snapshots) == (1, 0)
    assert kept(snapshots, alert)["seconds"] == [-120, -60, 0, 60, 120]
