"""What dashboards and researchers ask by name, on both editions: the same questions, the same answers."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.fixtures.trends import DAYS, GAP_HOUR, NOW, STEP
from tests.support.migrate import settings_of, start_migrate, wait_for_end
from tests.support.servers import Db
from vitals.signs import SIGN_KEYS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_the_signs_of_the_database_are_those_of_the_program(weeks: Db) -> None:
    assert [key for (key,) in weeks.rows("SELECT vital_signs()")] == list(SIGN_KEYS)


# vitals_series


@pytest.mark.parametrize(
    ("since", "until", "points", "step"),
    [
        (NOW - HOUR, NOW, 3700, timedelta(seconds=1)),
        (NOW - HOUR, NOW, 1000, timedelta(seconds=5)),
        (NOW - 10 * HOUR, NOW - HOUR, 1000, MINUTE),
        (NOW - DAY, NOW, 300, 5 * MINUTE),
        (NOW - DAY - 3 * MINUTE, NOW - 7 * MINUTE, 100, 15 * MINUTE),
        (NOW - 10 * DAY, NOW, 300, HOUR),
        (NOW - 10 * DAY - 17 * MINUTE, NOW - DAY, 50, 6 * HOUR),
        (NOW - DAYS * DAY, NOW, 30, DAY),
        (NOW - DAYS * DAY, NOW, 5, 5 * DAY),
        (NOW - 2 * HOUR, NOW, 1, None),
    ],
)
def test_a_series_is_the_readings_averaged(
    weeks: Db, since: datetime, until: datetime, points: int, step: timedelta | None
) -> None:
    found = weeks.rows("SELECT * FROM vitals_series('bed-001', %s, %s, %s)", since, until, points)
    assert 0 < len(found) <= points
    width = weeks.one("SELECT series_step(%s, %s, %s)", since, until, points)
    assert width == step or step is None
    assert isinstance(width, timedelta)
    origin = since.replace(hour=0, minute=0) if width >= DAY else NOW.replace(hour=0, minute=0)
    # Points stand for whole buckets, also where the range begins and ends within one.
    bucket = next((size for size in (DAY, HOUR, MINUTE) if width >= size), timedelta(0))
    last = (
        until if not bucket else weeks.one("SELECT time_bucket(%s, %s - interval '1 us') + %s", bucket, until, bucket)
    )
    signs = [f"avg({key}), min({key}), max({key}), count({key})" for key in SIGN_KEYS]
    stored = weeks.rows(
        f"SELECT time_bucket(%s, time, %s), count(*), {', '.join(signs)} FROM patient_vitals"  # noqa: S608
        " WHERE device_id = 'bed-001' AND time >= time_bucket(%s, %s, %s) AND time < %s GROUP BY 1 ORDER BY 1",
        *(width, origin, width, since, origin, last),
    )
    without_off = [[value for place, value in enumerate(row) if place < 2 or (place - 2) % 5 != 4] for row in found]
    wanted = [[pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for v in row] for row in stored]
    assert without_off == wanted


def test_a_series_has_never_more_points_than_were_asked_for(weeks: Db) -> None:
    found = weeks.rows(
        """
        WITH asked AS (
            SELECT time AS since, time + span AS until, points, series_step(time, time + span, points) AS step
            FROM (SELECT now() - random() * interval '1000 days' AS time,
                         exp(random() * 18) * interval '1 second' AS span, ceil(exp(random() * 8))::integer AS points
                  FROM generate_series(1, 20000)) AS drawn
        ), counted AS (
            SELECT *, CASE WHEN step < '1 day' THEN '2000-01-01Z' ELSE time_bucket('1 day', since) END AS origin
            FROM asked
        )
        SELECT count(*), count(*) FILTER (WHERE 1 + extract(epoch FROM
            time_bucket(step, until - interval '1 microsecond', origin) - time_bucket(step, since, origin))
            / extract(epoch FROM step) > points)
        FROM counted
        """
    )
    assert found == [(20000, 0)]


def test_a_narrow_range_from_which_readings_were_dropped_is_drawn_from_the_minutes(weeks: Db) -> None:
    since, until = NOW - 10 * DAY, NOW - 10 * DAY + 30 * MINUTE
    with psycopg.connect(weeks.owner_url) as connection:
        connection.execute("UPDATE retention_setting SET period = interval '5 days' WHERE name = 'raw_retention'")
        if connection.execute("SELECT community FROM vitalflow_edition").fetchone() == (True,):
            connection.execute("DELETE FROM patient_vitals WHERE time BETWEEN %s AND %s", [since, until])
        found = connection.execute("SELECT time FROM vitals_series('bed-001', %s, %s, 5000)", [since, until]).fetchall()
        connection.rollback()
    assert [time for (time,) in found] == [since + number * STEP for number in range(30 * MINUTE // STEP)]


def plan(db: Db, since: datetime, until: datetime) -> list[tuple[str, float]]:
    """The tables that a series reads, and the rows it gets from each."""
    found: list[tuple[str, float]] = []

    def walk(node: dict[str, Any]) -> None:
        if "Relation Name" in node:
            found.append((node["Relation Name"], node["Actual Rows"] * node["Actual Loops"]))
        for below in node.get("Plans", []):
            walk(below)

    with psycopg.connect(db.owner_url) as connection:
        query = connection.execute("SELECT vitals_series_query('bed-001', %s, %s)", [since, until]).fetchone()
        assert query is not None
        plan = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query[0]}".encode()).fetchone()
    assert plan is not None
    walk(plan[0][0]["Plan"])
    return found


def chunks_of(db: Db, relation: str) -> set[str]:
    """The names of the tables that hold the readings, or a rollup's own rows."""
    table = "patient_vitals" if relation == "patient_vitals" else db.one("SELECT rollup_table(%s)::text", relation)
    rows = db.rows("SELECT relname FROM show_chunks(%s::regclass) AS chunk JOIN pg_class ON oid = chunk", table)
    return {str(name) for (name,) in rows}


def test_long_ranges_read_rollups_and_short_ones_readings(weeks: Db) -> None:
    readings = chunks_of(weeks, "patient_vitals")
    if not weeks.one("SELECT community FROM vitalflow_edition"):
        # Views over the readings: no more of them than there are in the range.
        read = plan(weeks, NOW - 10 * DAY, NOW)
        assert {name for name, _ in read} <= readings
        assert sum(rows for _, rows in read) <= 10 * DAY // STEP + HOUR // STEP
        return
    for span, rollup in ((20 * HOUR, "vitals_1m"), (18 * DAY, "vitals_1h")):
        until = NOW - DAY
        names = {name for name, _ in plan(weeks, until - span, until)}
        assert names
        assert names <= chunks_of(weeks, rollup), f"{span} reads more than {rollup}"
        # Up to now: what is not materialized yet comes from the readings, of the present day at most.
        rows = sum(rows for name, rows in plan(weeks, NOW - span, NOW + MINUTE) if name in readings)
        assert rows <= HOUR // STEP
    assert {name for name, _ in plan(weeks, NOW - 5 * MINUTE, NOW)} <= readings


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        ("vitals_series('bed-001', now() - interval '1 day', now(), 0)", "max_points is 0", "max_points"),
        ("vitals_series('bed-001', now() - interval '1 day', now(), -5)", "max_points is -5", "max_points"),
        ("vitals_series('bed-001', now() - interval '1 day', now(), NULL)", "max_points is NULL", "max_points"),
        ("vitals_series('bed-001', now(), now() - interval '1 day')", "the range from .* is empty", "to_time"),
        ("vitals_series('bed-001', now(), now())", "the range from .* is empty", "to_time"),
        ("vitals_series('bed-001', '-infinity', now())", "from_time is -infinity", "from_time"),
        ("vitals_series('bed-001', NULL, now())", "from_time is NULL", "from_time"),
        ("vitals_series('bed-001', now(), 'infinity')", "to_time is infinity", "to_time"),
        ("vitals_series('bed-999', now() - interval '1 day', now())", "unknown device 'bed-999'", "device"),
        ("vitals_series('''; DROP TABLE x', now() - interval '1 day', now())", "unknown device", "device"),
        ("vitals_series(NULL, now() - interval '1 day', now())", "unknown device NULL", "device"),
        ("ingest_health(now(), now() - interval '1 hour')", "the range from .* is empty", "to_time"),
        ("ingest_health(NULL)", "the range from .* is empty", "to_time"),
        ("news2(16, 97, false, 120, 80, 'A', 37, 3)", "scale is 3", "scale"),
        ("news2(16, 97, false, 120, 80, 'X', 37)", "consciousness is 'X'", "consciousness"),
    ],
)
def test_an_argument_that_will_not_do_is_named(weeks: Db, call: str, message: str, hint: str) -> None:
    with psycopg.connect(weeks.owner_url) as connection, pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        connection.execute(f"SELECT * FROM {call}".encode())  # noqa: S608
    assert re.search(message, str(raised.value.diag.message_primary))
    assert str(raised.value.diag.message_hint).startswith(f"{hint}: ")


def test_a_known_device_without_readings_in_the_range_has_an_empty_series(weeks: Db) -> None:
    for device in ("bed-silent", "bed-new"):
        found = weeks.rows("SELECT * FROM vitals_series(%s, %s, %s)", device, NOW - HOUR, NOW)
        assert found == []


def test_a_report_of_a_bed_has_each_hour_once_for_each_patient_and_ward(weeks: Db) -> None:
    since = NOW.replace(hour=0, minute=0) - 2 * DAY
    report = "FROM bed_report('bed-001', %s, %s, %s::text[])"
    found = weeks.rows(
        f"SELECT time, ward, patient_id, readings, minutes, heart_rate_min, heart_rate_max {report}",
        *(since, since + DAY, None),
    )
    assert found == weeks.rows(
        "SELECT time_bucket('1 hour', time), ward, patient_id, count(*), count(DISTINCT time_bucket('1 minute', time)),"
        " min(heart_rate), max(heart_rate) FROM patient_vitals"
        " WHERE device_id = 'bed-001' AND time >= %s AND time < %s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        *(since, since + DAY),
    )
    scores = weeks.rows(f"SELECT max(news2) {report}", since, since + DAY, None)
    assert scores == weeks.rows(
        "SELECT max(total) FROM news2_chart(ARRAY['bed-001'], %s, %s, 60000)", since, since + DAY
    )
    assert weeks.rows(f"SELECT time {report}", since, since + DAY, ["another"]) == []


# The ward


def test_ward_now_is_a_row_a_bed(weeks: Db) -> None:
    beds = weeks.rows(
        "SELECT device_id, device_state, time, alerts, worst_alert, heart_rate IS NOT NULL FROM ward_now ORDER BY 1"
    )
    assert [(bed[0], bed[1]) for bed in beds] == [
        ("bed-001", "online"),
        ("bed-002", None),
        ("bed-003", None),
        ("bed-gap", None),
        ("bed-new", "online"),
        ("bed-silent", "offline"),
    ]
    by_name = {bed[0]: bed[2:] for bed in beds}
    assert by_name["bed-001"] == (NOW + timedelta(milliseconds=37), 2, "high", True)
    assert by_name["bed-silent"] == (NOW - 3 * DAY, 0, None, True)
    assert by_name["bed-new"] == (None, 0, None, False)


def test_ward_now_lists_what_is_open(weeks: Db) -> None:
    (row,) = weeks.rows("SELECT alert_list, age FROM ward_now WHERE device_id = 'bed-001'")
    listed: Any = row[0]
    assert [(alert["rule"], alert["priority"], alert["state"]) for alert in listed] == [
        ("hr-high", "medium", "active"),
        ("spo2-low", "high", "acknowledged"),
    ]
    assert isinstance(row[1], timedelta)
    assert timedelta(0) < row[1] < HOUR


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all below it."""
    yield node
    for below in node.get("Plans", []):
        yield from nodes(below)


def test_ward_now_reads_a_row_a_bed_and_not_the_history(weeks: Db) -> None:
    with psycopg.connect(weeks.owner_url) as connection:
        plan = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM ward_now").fetchone()
    assert plan is not None
    read: list[float] = []
    for node in nodes(plan[0][0]["Plan"]):
        if str(node.get("Relation Name", "")).startswith("_hyper_"):
            assert "Index" in node["Node Type"], node["Node Type"]
            read.append((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
    # Per chunk of the past day: one row to find a bed, its newest row, the rows of three intervals before it, and one
    # row to see that there is no further bed.
    assert read
    assert sum(read) <= 5 * 12


# Completeness and health


def test_completeness_counts_a_gap_where_the_next_reading_came(weeks: Db) -> None:
    found = weeks.rows(
        "SELECT bucket, stored, expected, completeness FROM completeness_1h WHERE device_id = 'bed-gap' ORDER BY 1"
    )
    assert found == [(GAP_HOUR, 10, 10, 1.0), (GAP_HOUR + HOUR, 5, 10, 0.5)]
    whole = weeks.rows("SELECT min(completeness), sum(stored) FROM completeness_1h WHERE device_id = 'bed-002'")
    assert whole == [(1.0, DAYS * (DAY // STEP))]
    assert weeks.rows("SELECT first_missing, last_missing FROM device_gap WHERE device_id = 'bed-gap'") == [(11, 15)]


def test_ingest_health_has_rows_lag_and_rejected_messages_by_minute(weeks: Db) -> None:
    found = weeks.rows("SELECT * FROM ingest_health(%s, %s)", NOW - HOUR, NOW)
    arrival = "arrival_time(received_at, time, arrival_lag_ms)"
    stored = weeks.one(
        f"SELECT count(*) FROM patient_vitals WHERE {arrival} >= %s AND {arrival} < %s",  # noqa: S608
        NOW - HOUR,
        NOW,
    )
    assert sum(int(str(row[1])) for row in found) == stored
    assert stored
    for minute, rows, p50, p95, rejected, by_reason in found:
        if minute == NOW - 5 * MINUTE:
            assert (rejected, by_reason) == (3, {"implausible": 2, "not_json": 1})
        else:
            assert (rejected, by_reason) == (0, {})
        if rows:
            assert isinstance(p50, timedelta)
            assert isinstance(p95, timedelta)
            assert timedelta(milliseconds=50) <= p50 <= p95 <= timedelta(milliseconds=250)


def test_status_lists_what_runs(weeks: Db) -> None:
    said = wait_for_end(start_migrate(settings_of(weeks), command=["status"])).expect_success()
    if weeks.one("SELECT community FROM vitalflow_edition"):
        assert "Community edition" in said
        assert "columnstore        patient_vitals: 0 of" in said
    else:
        assert "Apache edition" in said
        assert "continuous aggregates need the Community edition" in said
    assert "patient_vitals" in said
    assert re.search(rf"readings           {NOW - DAYS * DAY:%Y-%m-%d}", said)
