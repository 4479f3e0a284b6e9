"""Alerts and the pipeline as the dashboards ask for them, on both editions, in a ward's week."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.fixtures.week import WEEK, as_reader, filled_to
from tests.support.servers import Db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_alert_overlapping_returns_all_alerts_open_in_the_range(week: Db) -> None:
    with as_reader(week) as connection:
        now = filled_to(connection)
        for since, until in ((now - 7 * DAY, now), (now - DAY, now - 20 * HOUR), (now - 3 * HOUR, now)):
            found = connection.execute("SELECT alert_id FROM alert_overlapping(%s, %s)", [since, until]).fetchall()
            wanted = connection.execute(
                "SELECT alert_id FROM alert WHERE raised_at <= %s AND (cleared_at IS NULL OR cleared_at >= %s)",
                [until, since],
            ).fetchall()
            assert wanted
            # What is open now was open all the time since it was raised; the latest of a rule only is open.
            open_now = {row[0] for row in connection.execute("SELECT alert_id FROM alert_active").fetchall()}
            ended = {row[0] for row in wanted}
            assert {row[0] for row in found} <= ended | open_now
            assert ended <= {row[0] for row in found} | _left_open(connection)


def _left_open(connection: "psycopg.Connection[tuple[object, ...]]") -> set[object]:
    """Alerts without an end although a later one of the same rule exists; real workers publish none."""
    rows = connection.execute(
        "SELECT alert_id FROM alert WHERE cleared_at IS NULL AND alert_id NOT IN (SELECT alert_id FROM alert_latest)"
    ).fetchall()
    return {row[0] for row in rows}


def test_alert_overlapping_agrees_with_the_view_alert(week: Db) -> None:
    columns = "device_id, rule, kind, patient_id, ward, raised_at, cleared_at, acknowledged_at, worst_priority, text"
    with as_reader(week) as connection:
        now = filled_to(connection)
        ask = f"SELECT {columns} FROM alert_overlapping(%s, %s) WHERE raised_at >= %s ORDER BY 1, 2, 6"  # noqa: S608
        found = connection.execute(ask.encode(), [now - 7 * DAY, now, now - 7 * DAY]).fetchall()
        view = f"SELECT {columns} FROM alert WHERE raised_at BETWEEN %s AND %s ORDER BY 1, 2, 6"  # noqa: S608
        wanted = connection.execute(view.encode(), [now - 7 * DAY, now]).fetchall()
    assert found == wanted
    assert len(found) > WEEK.beds * 30


def test_alert_timeline_shows_the_worst_alert_of_each_time(week: Db) -> None:
    with as_reader(week) as connection:
        now = filled_to(connection)
        parameters = ["{icu-0,icu-1,icu-2,icu-3}", now - DAY, now]
        timeline = "SELECT time, bed, severity FROM alert_timeline(%s, %s, %s, 300000)"
        rows: Any = connection.execute(timeline.encode(), parameters).fetchall()
        alerts: Any = connection.execute(
            "SELECT device_id, raised_at, cleared_at FROM alert_overlapping(%s, %s)"
            " WHERE worst_priority = 'high' AND kind = 'physiological' AND cleared_at < %s AND raised_at > %s",
            [now - DAY, now, now - HOUR, now - DAY],
        ).fetchall()
        quiet: Any = connection.execute(timeline.encode(), ["{}", *parameters[1:]]).fetchall()
    assert {row[1:] for row in quiet} == {("no alert", 0)}
    beds = {bed for _, bed, _ in rows}
    assert len(beds) == WEEK.beds
    assert len(rows) == len(beds) * len({time for time, _, _ in rows})
    assert {severity for *_, severity in rows} == {0, 0.5, 2, 3}
    assert alerts
    for device, raised, cleared in alerts:
        seen = [severity for time, bed, severity in rows if bed == device and raised - 5 * MINUTE < time <= cleared]
        assert max(seen) == 3


# The pipeline


def test_reading_rate_is_the_rate_of_stored_readings(week: Db) -> None:
    with as_reader(week) as connection:
        now = filled_to(connection)
        minutes: Any = connection.execute(
            "SELECT time, per_second FROM reading_rate(%s, %s)", [now - HOUR, now + MINUTE]
        ).fetchall()
        hours: Any = connection.execute("SELECT per_second FROM reading_rate(%s, %s)", [now - 3 * DAY, now]).fetchall()
    dense = [rate for time, rate in minutes if now - WEEK.dense + MINUTE < time < now - 2 * MINUTE]
    assert dense
    assert dense == [pytest.approx(WEEK.beds, abs=0.1)] * len(dense)
    assert len(hours) >= 71
    assert hours[10][0] == pytest.approx(WEEK.beds / WEEK.sparse.total_seconds(), rel=0.1)
    times = [time for time, _ in minutes]
    assert times == [times[0] + number * MINUTE for number in range(len(times))]


def test_arrival_lag_is_the_age_at_receipt(week: Db) -> None:
    with as_reader(week) as connection:
        now = filled_to(connection)
        rows: Any = connection.execute("SELECT * FROM arrival_lag(%s, %s, 60000)", [now - HOUR, now]).fetchall()
        week_long: Any = connection.execute(
            "SELECT * FROM arrival_lag(%s, %s, 3600000)", [now - 7 * DAY, now]
        ).fetchall()
    assert len(rows) > 10
    assert 150 <= len(week_long) <= 170
    for _, half, most in [*rows, *week_long]:
        assert 0.05 <= half <= most <= 0.25  # as they are made


def test_ingest_now_shows_an_outage_although_a_clock_is_ahead(week: Db) -> None:
    with psycopg.connect(week.owner_url) as connection:
        silent: Any = connection.execute("SELECT extract(epoch FROM silent_for) FROM ingest_now").fetchone()
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
            " VALUES (%s, 'bed-x', 1, 1, 'icu-1', 80, 'NORMAL', now() - interval '3 hours')",
            [datetime.now(UTC) + 4 * MINUTE],
        )
        later: Any = connection.execute(
            "SELECT extract(epoch FROM silent_for), devices_online FROM ingest_now"
        ).fetchone()
        connection.rollback()
    assert float(later[0]) == pytest.approx(float(silent[0]), abs=5)
    assert later[1] == WEEK.beds


def test_the_reader_sees_storage_rollups_and_jobs(week: Db) -> None:
    with as_reader(week) as connection:
        storage: Any = connection.execute("SELECT relation, bytes, chunks FROM storage_now").fetchall()
        rollups: Any = connection.execute("SELECT rollup, watermark <= now() FROM rollup_now ORDER BY 1").fetchall()
        jobs = connection.execute("SELECT DISTINCT job FROM job_now").fetchall()
    sizes = {name: size for name, size, _ in storage}
    assert sizes["patient_vitals"] > 1_000_000
    assert dict((name, chunks) for name, _, chunks in storage)["patient_vitals"] >= 8
    if week.one("SELECT community FROM vitalflow_edition"):
        assert rollups == [(name, True) for name in ("sequence_1h", "vitals_1d", "vitals_1h", "vitals_1m")]
        assert ("refresh_due_buckets",) in jobs
        assert set(sizes) == {"patient_vitals", "imported_vitals", *(name for name, _ in rollups)}
    else:
        assert (rollups, jobs) == ([], [])
