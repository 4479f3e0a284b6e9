"""What the functions and views of sql/repeatable/80_ward_board.sql and 82_bed_charts.sql answer, on both editions."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.fixtures.trends import GAP_HOUR, NOW, STEP, refresh_all, store
from tests.support.servers import Db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_a_chart_breaks_only_where_readings_are_missing(weeks: Db) -> None:
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


@pytest.mark.parametrize(
    ("announced_s", "breaks"), [(None, False), (STEP.total_seconds(), False), (1, True), (3600, False)]
)
def test_a_device_with_a_long_interval_has_no_gap_between_its_readings(
    weeks: Db, announced_s: float | None, breaks: bool
) -> None:
    """A reading every two minutes, charted by the second. A gap of an hour is one, whatever the device announced."""
    ask = "SELECT count(*) FILTER (WHERE readings IS NULL), count(*) FROM bed_chart('{bed-002}', %s, %s, 1000)"
    with psycopg.connect(weeks.owner_url) as connection:
        connection.execute(
            "INSERT INTO device (device_id, ward, state, boot, interval_s, changed_at)"
            " VALUES ('bed-002', 'icu-2', 'online', 1, %s, now())",
            [announced_s],
        )
        whole = connection.execute(ask, (NOW - 30 * MINUTE, NOW)).fetchone()
        connection.execute(
            "DELETE FROM patient_vitals WHERE device_id = 'bed-002' AND time BETWEEN %s AND %s",
            (NOW - 90 * MINUTE, NOW - 30 * MINUTE),
        )
        broken = connection.execute(ask, (NOW - 2 * HOUR, NOW - 25 * MINUTE)).fetchone()
        connection.rollback()
    assert whole is not None
    assert broken is not None
    assert whole[0] == (whole[1] // 2 if breaks else 0)
    assert broken[0] == (broken[1] // 2 if breaks else 1)


@pytest.mark.parametrize("devices", ["{}", "{unknown}", '{""}', None])
def test_an_unknown_bed_has_an_empty_chart(weeks: Db, devices: str | None) -> None:
    for function in ("bed_chart", "news2_chart"):
        ask = f"SELECT * FROM {function}(%s, %s, %s, 1000)"  # noqa: S608
        for rows in (weeks.rows(ask, devices, NOW - HOUR, NOW), weeks.rows(ask, "{bed-001}", NOW - HOUR, NOW - HOUR)):
            assert [(row[0], set(row[1:])) for row in rows] == [(NOW - HOUR, {None})], "Grafana needs a time"


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


def test_a_cuff_pressure_counts_for_an_hour_in_the_score(weeks: Db) -> None:
    """Readings every two minutes, a cuff about every five: no point of the chart is without a pressure."""
    rows = weeks.rows("SELECT systolic_bp_part FROM news2_chart('{bed-001}', %s, %s, 120000)", NOW - 6 * HOUR, NOW)
    measured = weeks.rows(
        "SELECT count(systolic_bp), count(*) FROM patient_vitals WHERE device_id = 'bed-001' AND time >= %s",
        NOW - 6 * HOUR,
    )
    assert len(rows) > 60
    assert measured[0][0] != measured[0][1]
    assert (None,) not in rows


WARD_ROUND = (  # minutes before the present, patient and values: a bed with two patients and the first one again
    (58, "p-a", {"heart_rate": 80, "systolic_bp": 85, "temperature": 35.0, "spo2": 96}),
    (57, "p-a", {"heart_rate": 80}),
    (40, "p-b", {"heart_rate": 80}),
    (39, "p-b", {"heart_rate": 80, "temperature": 37.0}),
    (20, "p-a", {"heart_rate": 80}),
)


def test_a_patient_does_not_inherit_the_values_of_another_one_in_the_score(weeks: Db) -> None:
    ask = (
        "SELECT time, total, spo2_part, systolic_bp_part, temperature_part FROM news2_chart('{bed-two}', %s, %s, 60000)"
        " WHERE total IS NOT NULL"
    )
    span = (NOW - 59 * MINUTE, NOW)
    assign = (
        "INSERT INTO assignment (device_id, ward, patient_id, profile, spo2_scale, from_time, patient_since)"
        " VALUES ('bed-two', 'icu-1', 'p-a', 'adult', 2, '-infinity', '-infinity')"
    )
    for before, patient, values in WARD_ROUND:
        store(weeks, [NOW - before * MINUTE], note_late=False, device_id="bed-two", patient_id=patient, **values)
    community = weeks.one("SELECT community FROM vitalflow_edition") is True
    try:
        if community:
            refresh_all(weeks, NOW - 60 * MINUTE, NOW)
        with psycopg.connect(weeks.owner_url) as connection:
            rows = connection.execute(ask.encode(), span).fetchall()
            connection.execute(assign.encode())
            assigned = connection.execute(ask.encode(), span).fetchall()
            connection.execute("UPDATE assignment SET profile = 'neonate' WHERE device_id = 'bed-two'")
            neonate = connection.execute(ask.encode(), span).fetchall()
            connection.rollback()
    finally:
        with psycopg.connect(weeks.owner_url, autocommit=True) as connection:
            connection.execute("DELETE FROM patient_vitals WHERE device_id = 'bed-two'")
        if community:
            refresh_all(weeks, NOW - 60 * MINUTE, NOW)
    assert [(round((NOW - time) / MINUTE), *rest) for time, *rest in rows] == [
        (58, 6, 0, 3, 3),
        (57, 6, 0, 3, 3),  # the saturation is held for a minute, the others longer
        (40, 0, None, None, None),
        (39, 0, None, None, 0),
        (20, 0, None, None, None),
    ]
    assert [row[1] for row in assigned] == [6, 6, 0, 0, 0]
    assert [row[1] for row in neonate] == [0, 0], "those of the other patient only"


def test_a_gap_has_no_score(weeks: Db) -> None:
    rows = weeks.rows(
        "SELECT total FROM news2_chart('{bed-gap}', %s, %s, 60000)", GAP_HOUR - MINUTE, GAP_HOUR + 2 * HOUR
    )
    assert rows
    assert set(rows) == {(None,)}  # that bed never measured a sign of it


# The board


def test_ward_board_shows_the_condition_of_each_bed(weeks: Db) -> None:
    rows: Any = weeks.rows("SELECT device_id, condition FROM ward_board")
    found = dict(rows)
    assert found["bed-silent"] == "OFFLINE"
    assert found["bed-new"] == "WAITING"
    assert found["bed-gap"] == "SILENT"
    assert "bed-forgotten" not in found


def test_ward_board_shows_the_worst_alert_with_its_mark(weeks: Db) -> None:
    (row,) = weeks.rows("SELECT badge, alert_text, urgency, alerts FROM ward_board WHERE device_id = 'bed-001'")
    assert row == ("!!! high", "spo2-low (acknowledged)", 9, 2)


NEW = (
    "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, spo2, resp_rate,"
    " temperature, systolic_bp, diastolic_bp, on_oxygen, consciousness, sensor_off, status, received_at)"
    " VALUES (%s, 'bed-x', 1, %s, 'p-x', 'icu-1', %s, %s, 16, 36.8, %s, %s, false, 'A', %s, %s, now())"
)


def test_ward_board_shows_a_value_only_while_it_is_valid(weeks: Db) -> None:
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
