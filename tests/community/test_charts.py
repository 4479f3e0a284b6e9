"""What the functions and views of sql/always/80_charts.sql answer, on both editions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.fix_servers import Db
from tests.fix_trends import GAP_HOUR, NOW, STEP
from tests.fix_week import WEEK, as_reader, filled_to

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_a_chart_breaks_where_nobody_measured_and_nowhere_else(weeks: Db) -> None:
    rows = weeks.rows(
        "SELECT time, readings, heart_rate_avg FROM bed_chart('{bed-gap}', %s, %s, 120000)",
        GAP_HOUR - MINUTE,
        GAP_HOUR + 2 * HOUR,
    )
    gaps = [place for place, row in enumerate(rows) if row[1] is None]
    assert len(gaps) == 1
    before, gap, after = rows[gaps[0] - 1 : gaps[0] + 2]
    assert isinstance(before[0], datetime)
    assert isinstance(gap[0], datetime)
    assert isinstance(after[0], datetime)
    assert before[0] < gap[0] < after[0]
    assert after[0] - before[0] > 30 * MINUTE
    whole = weeks.rows("SELECT time FROM bed_chart('{bed-002}', %s, %s, 300000) WHERE readings IS NULL", NOW - DAY, NOW)
    assert whole == []


def test_a_device_that_measures_seldom_has_no_gap_between_its_readings(weeks: Db) -> None:
    """A reading every two minutes, charted by the second: a gap for who knows nothing, none for who was told."""
    ask = "SELECT count(*) FILTER (WHERE readings IS NULL), count(*) FROM bed_chart('{bed-002}', %s, %s, 1000)"
    with psycopg.connect(weeks.owner_url) as connection:
        span = (NOW - 30 * MINUTE, NOW)
        unknown = connection.execute(ask, span).fetchone()
        connection.execute(
            "INSERT INTO device (device_id, ward, state, boot, interval_s, changed_at)"
            " VALUES ('bed-002', 'icu-2', 'online', 1, %s, now())",
            [STEP.total_seconds()],
        )
        known = connection.execute(ask, span).fetchone()
        connection.rollback()
    assert unknown is not None
    assert known is not None
    assert unknown[0] == known[1] - 1
    assert known[0] == 0


@pytest.mark.parametrize("devices", ["{}", "{nobody}", '{""}', None])
def test_a_bed_that_is_not_there_has_an_empty_chart(weeks: Db, devices: str | None) -> None:
    for function in ("bed_chart", "news2_chart"):
        ask = f"SELECT * FROM {function}(%s, %s, %s, 1000)"  # noqa: S608
        assert weeks.rows(ask, devices, NOW - HOUR, NOW) == []
        assert weeks.rows(ask, "{bed-001}", NOW, NOW) == []


def test_a_chart_holds_what_the_series_holds(weeks: Db) -> None:
    chart = weeks.rows("SELECT * FROM bed_chart('{bed-001}', %s, %s, 600000)", NOW - 7 * DAY, NOW)
    points = weeks.one("SELECT chart_points(%s, %s, 600000)", NOW - 7 * DAY, NOW)
    series = weeks.rows("SELECT * FROM vitals_series('bed-001', %s, %s, %s)", NOW - 7 * DAY, NOW, points)
    assert chart == series
    assert len(chart) <= 1009


def test_news2_over_time_is_the_score_of_the_averages(weeks: Db) -> None:
    rows: list[tuple[Any, ...]] = weeks.rows(
        "SELECT time, total, worst, resp_rate_part, spo2_part, systolic_bp_part, heart_rate_part, temperature_part"
        " FROM news2_chart('{bed-001}', %s, %s, 3600000)",
        NOW - DAY,
        NOW,
    )
    assert len(rows) >= 23
    assert all(NOW - DAY <= row[0] < NOW for row in rows)
    for row in rows:
        parts = [part for part in row[3:] if part is not None]
        assert (row[1], row[2]) == (sum(parts), max(parts))
    hour = rows[5][0]
    (wanted,) = weeks.rows(
        "SELECT score.total FROM vitals_1h CROSS JOIN LATERAL news2(resp_rate_avg, spo2_avg, NULL, systolic_bp_avg,"
        " heart_rate_avg, NULL, temperature_avg) AS score WHERE device_id = 'bed-001' AND bucket = %s",
        hour,
    )
    assert wanted == (rows[5][1],)


def test_a_cuffs_value_stands_for_an_hour_in_the_score(weeks: Db) -> None:
    """Readings every two minutes, a cuff about every five: no point of the chart is without a pressure."""
    rows = weeks.rows("SELECT systolic_bp_part FROM news2_chart('{bed-001}', %s, %s, 120000)", NOW - 6 * HOUR, NOW)
    measured = weeks.rows(
        "SELECT count(systolic_bp), count(*) FROM patient_vitals WHERE device_id = 'bed-001' AND time >= %s",
        NOW - 6 * HOUR,
    )
    assert len(rows) > 60
    assert measured[0][0] != measured[0][1]
    assert (None,) not in rows


def test_a_gap_has_no_score(weeks: Db) -> None:
    rows = weeks.rows(
        "SELECT total FROM news2_chart('{bed-gap}', %s, %s, 60000)", GAP_HOUR - MINUTE, GAP_HOUR + 2 * HOUR
    )
    assert rows
    assert set(rows) == {(None,)}  # that bed never measured a sign of it


# The board


def test_the_board_says_of_each_bed_what_state_it_is_in(weeks: Db) -> None:
    found: dict[Any, Any] = dict(weeks.rows("SELECT device_id, condition FROM ward_board"))
    assert found["bed-silent"] == "OFFLINE"
    assert found["bed-new"] == "WAITING"
    assert found["bed-gap"] == "SILENT"
    assert "bed-forgotten" not in found


def test_the_board_shows_the_worst_alert_with_its_mark(weeks: Db) -> None:
    (row,) = weeks.rows("SELECT badge, alert_text, urgency, alerts FROM ward_board WHERE device_id = 'bed-001'")
    assert row == ("!!! high", "spo2-low (acknowledged)", 3, 2)


NEW = (
    "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, spo2, resp_rate,"
    " temperature, systolic_bp, diastolic_bp, on_oxygen, consciousness, sensor_off, status, received_at)"
    " VALUES (%s, 'bed-x', 1, %s, 'p-x', 'icu-1', %s, %s, 16, 36.8, %s, %s, false, 'A', %s, %s, now())"
)


def test_the_board_shows_a_value_only_as_long_as_it_holds(weeks: Db) -> None:
    columns = "condition, heart_rate, spo2, systolic_bp, diastolic_bp, temperature, news2, breathing, age_s < 130"
    ask = f"SELECT {columns} FROM ward_board WHERE device_id = 'bed-x'"  # noqa: S608
    with psycopg.connect(weeks.owner_url) as connection:
        row = connection.execute("SELECT now()").fetchone()
        assert row is not None
        now: Any = row[0]
        connection.execute(NEW, (now - 20 * MINUTE, 1, 80, 97, 121, 77, [], "NORMAL"))
        connection.execute(NEW, (now - 2 * MINUTE, 2, 81, 97, None, None, [], "NORMAL"))
        silent = connection.execute(ask.encode()).fetchone()
        connection.execute(NEW, (now - timedelta(seconds=2), 3, 130, None, None, None, ["spo2"], "CRITICAL"))
        critical = connection.execute(ask.encode()).fetchone()
        connection.execute(NEW, (now - timedelta(seconds=1), 4, 80, None, None, None, ["spo2"], "NORMAL"))
        off = connection.execute(ask.encode()).fetchone()
        connection.rollback()
    pressure = (121.0, 77.0, pytest.approx(36.8, abs=0.01))
    assert silent == ("SILENT", None, None, *pressure, None, None, True)
    assert critical == ("CRITICAL", 130.0, None, *pressure, 2, "air", True)
    assert off == ("SENSOR OFF", 80.0, None, *pressure, 0, "air", True)


# Alerts


def test_alerts_of_a_range_are_all_that_were_open_in_it(week: Db) -> None:
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
    """Alerts that nobody cleared although a later one of the same rule is known: none are made in earnest."""
    rows = connection.execute(
        "SELECT alert_id FROM alert WHERE cleared_at IS NULL AND alert_id NOT IN (SELECT alert_id FROM alert_latest)"
    ).fetchall()
    return {row[0] for row in rows}


def test_an_overlapping_alert_says_the_same_as_the_view(week: Db) -> None:
    columns = "device_id, rule, kind, patient_id, ward, raised_at, cleared_at, acknowledged_at, worst_priority"
    with as_reader(week) as connection:
        now = filled_to(connection)
        ask = f"SELECT {columns} FROM alert_overlapping(%s, %s) WHERE raised_at >= %s ORDER BY 1, 2, 6"  # noqa: S608
        found = connection.execute(ask.encode(), [now - 7 * DAY, now, now - 7 * DAY]).fetchall()
        view = f"SELECT {columns} FROM alert WHERE raised_at BETWEEN %s AND %s ORDER BY 1, 2, 6"  # noqa: S608
        wanted = connection.execute(view.encode(), [now - 7 * DAY, now]).fetchall()
    assert found == wanted
    assert len(found) > WEEK.beds * 30


def test_the_timeline_shows_the_worst_of_each_moment(week: Db) -> None:
    with as_reader(week) as connection:
        now = filled_to(connection)
        told = ["{icu-0,icu-1,icu-2,icu-3}", now - DAY, now]
        timeline = "SELECT time, bed, severity FROM alert_timeline(%s, %s, %s, 300000)"
        rows: Any = connection.execute(timeline.encode(), told).fetchall()
        alerts: Any = connection.execute(
            "SELECT device_id, raised_at, cleared_at FROM alert_overlapping(%s, %s)"
            " WHERE worst_priority = 'high' AND kind = 'physiological' AND cleared_at < %s AND raised_at > %s",
            [now - DAY, now, now - HOUR, now - DAY],
        ).fetchall()
        assert connection.execute(timeline.encode(), ["{}", *told[1:]]).fetchall() == []
    beds = {bed for _, bed, _ in rows}
    assert len(beds) == WEEK.beds
    assert len(rows) == len(beds) * len({time for time, _, _ in rows})
    assert {severity for *_, severity in rows} == {0, 0.5, 2, 3}
    assert alerts
    for device, raised, cleared in alerts:
        seen = [severity for time, bed, severity in rows if bed == device and raised - 5 * MINUTE < time <= cleared]
        assert max(seen) == 3


# The pipeline


def test_the_rate_is_what_was_stored(week: Db) -> None:
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


def test_the_lag_is_that_of_the_readings(week: Db) -> None:
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


def test_silence_is_seen_although_a_clock_is_ahead(week: Db) -> None:
    with psycopg.connect(week.owner_url) as connection:
        silent: Any = connection.execute("SELECT extract(epoch FROM silent_for) FROM ingest_now").fetchone()
        connection.execute(NEW, (datetime.now(UTC) + 4 * MINUTE, 1, 80, 97, None, None, [], "NORMAL"))
        connection.execute(
            "UPDATE patient_vitals SET received_at = now() - interval '3 hours' WHERE device_id = 'bed-x'"
        )
        later: Any = connection.execute(
            "SELECT extract(epoch FROM silent_for), devices_online FROM ingest_now"
        ).fetchone()
        connection.rollback()
    assert float(later[0]) == pytest.approx(float(silent[0]), abs=5)
    assert later[1] == WEEK.beds


def test_storage_rollups_and_jobs_are_told_to_the_reader(week: Db) -> None:
    with as_reader(week) as connection:
        storage: Any = connection.execute("SELECT relation, bytes, chunks FROM storage_now").fetchall()
        rollups: Any = connection.execute("SELECT rollup, reaches <= now() FROM rollup_now ORDER BY 1").fetchall()
        jobs = connection.execute("SELECT DISTINCT job FROM job_now").fetchall()
    sizes = {name: size for name, size, _ in storage}
    assert sizes["patient_vitals"] > 1_000_000
    assert dict((name, chunks) for name, _, chunks in storage)["patient_vitals"] >= 8
    if week.one("SELECT community FROM vitalflow_edition"):
        assert rollups == [(name, True) for name in ("sequence_1h", "vitals_1d", "vitals_1h", "vitals_1m")]
        assert ("refresh_late",) in jobs
        assert set(sizes) == {"patient_vitals", *(name for name, _ in rollups)}
    else:
        assert (rollups, jobs) == ([], [])
