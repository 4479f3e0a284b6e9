"""Every query of every dashboard on a real database with a filled week, on both editions, as the reader."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from grafana.canonical import annotations
from grafana.execute import RANGES, UNUSUAL, check_results, check_rules, default_values, execute
from grafana.files import read_dashboards
from grafana.macros import QueryContext, Value
from grafana.provisioning import read_provisioning, rule_queries
from grafana.queries import Query, queries
from tests.fixtures.week import WEEK, as_reader, filled_to
from tests.support.process import environ_of, run_module
from tests.support.servers import Db

DASHBOARDS = {path.stem: dashboard for path, dashboard in read_dashboards().items()}
PATIENT = DASHBOARDS["patient"]
# What stays empty where everything is well, or where the edition has no such thing.
ALERTS_OF_THE_WEEK = {"Oxygen saturation: high", "Respiratory rate: medium", "NEWS2: medium", "Equipment"}
MAY_BE_EMPTY = {f"annotation {each['name']}" for each in annotations(PATIENT) if each["name"] not in ALERTS_OF_THE_WEEK}
OF_COMMUNITY = {"panel 9 'Rollups' A", "panel 10 'Database jobs' A"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_can_draw_every_result(week: Db, name: str) -> None:
    # What a value becomes in a query does not depend on the edition.
    unusual: Mapping[str, Value] = {} if week.one("SELECT community FROM vitalflow_edition") else UNUSUAL
    with as_reader(week) as connection:
        found = list(check_results(connection, DASHBOARDS[name], datetime.now(UTC), unusual))
    assert found == [], "\n".join(map(str, found))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_has_something_to_show(week: Db, name: str) -> None:
    dashboard = DASHBOARDS[name]
    community = week.one("SELECT community FROM vitalflow_edition")
    with as_reader(week) as connection:
        now = filled_to(connection)
        chosen = default_values(connection, dashboard, now)
        empty = set()
        for query in queries(dashboard):
            context = QueryContext.for_range(
                now - RANGES["7 days"], now, query.max_points, query.min_interval_s, chosen
            )
            rows = execute(connection, query, context).rows
            if not any(value is not None for row in rows for value in row[1:] or row):
                empty.add(query.where)
    assert empty <= MAY_BE_EMPTY | (set() if community else OF_COMMUNITY)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_shows_the_same_in_every_session(week: Db, name: str) -> None:
    with as_reader(week) as connection, connection.transaction():
        now = filled_to(connection)
        chosen = default_values(connection, DASHBOARDS[name], now)
        for query in queries(DASHBOARDS[name]):
            context = QueryContext.for_range(
                now - RANGES["90 days"], now, query.max_points, query.min_interval_s, chosen
            )
            shown = []
            for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
                connection.execute("SELECT set_config('timezone', %s, true)", [zone])
                rows = execute(connection, query, context).rows
                shown.append([[v.timestamp() if isinstance(v, datetime) else v for v in row] for row in rows])
            assert shown[1:] == shown[:1] * 2, query


def test_the_alert_rules_return_a_number_and_fire(week: Db) -> None:
    rules = list(rule_queries(read_provisioning()))
    assert len(rules) == 2
    with as_reader(week) as connection:
        assert list(check_rules(connection, rules, datetime.now(UTC))) == []
        silent, dropping = [_number(connection, rule) for rule in rules]
    assert silent < 600  # since the week was filled
    assert dropping == 1
    with psycopg.connect(week.owner_url) as connection:
        connection.execute("DELETE FROM patient_vitals WHERE time > now() - interval '1 hour'")
        connection.execute("UPDATE alert_event SET acknowledged_by = 'nurse Ada' WHERE rule = 'broker-dropping'")
        assert [_number(connection, rule) for rule in rules] == [pytest.approx(3600, abs=300), 0]
        connection.execute("UPDATE device SET state = 'offline'")
        assert _number(connection, rules[0]) == 0  # no device is expected to send readings
        connection.rollback()


def _number(connection: "psycopg.Connection[tuple[object, ...]]", rule: Query) -> float:
    now = datetime.now(UTC)
    ((value,),) = execute(connection, rule, QueryContext(now, now, 1000, {})).rows
    return float(value)


CHARTS = [query for query in queries(PATIENT) if query.kind == "panel" and query.format == "time_series"]


@pytest.mark.parametrize("span", ["7 days", "90 days"])
def test_long_ranges_read_rollups_and_no_readings(week: Db, span: str) -> None:
    if not week.one("SELECT community FROM vitalflow_edition"):
        return  # its rollups are the readings
    pipeline = queries(DASHBOARDS["pipeline"])
    whole = [q for q in pipeline if "Readings stored" in q.where or "missing readings" in q.where]
    with as_reader(week) as connection:
        now = filled_to(connection)
        chosen = default_values(connection, PATIENT, now)
        # What is not materialized yet comes from the readings. Completeness depends on the oldest reading, and a table
        # also shows how each bed is now.
        row = connection.execute(
            "SELECT count(*) FROM patient_vitals WHERE time >= ("
            "SELECT min(watermark) FROM rollup_now WHERE rollup IN ('vitals_1m', 'sequence_1h'))"
        ).fetchone()
        assert row is not None
        present = int(str(row[0]))
        oldest = _reads(connection, lambda: connection.execute("SELECT oldest_reading()").fetchall())
        assert oldest < 20
        newest = _reads(connection, lambda: connection.execute("SELECT * FROM ward_condition").fetchall())
        for query in [*CHARTS, *whole]:
            context = QueryContext.for_range(now - RANGES[span], now, query.max_points, query.min_interval_s, chosen)
            read = _reads(connection, lambda q=query, c=context: execute(connection, q, c).rows)  # type: ignore[misc]
            of_beds = WEEK.beds + (newest if query.format == "table" else 0)
            assert read <= present + oldest + of_beds, f"{query} reads {read} readings"
    assert (len(CHARTS) >= 8, len(whole)) == (True, 2)


def _reads(connection: "psycopg.Connection[tuple[object, ...]]", ask: Callable[[], Sequence[object]]) -> int:
    """How many readings a query that returns a row reads."""
    with connection.transaction():
        before = _read(connection)
        assert ask()
        return _read(connection) - before


def _read(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    """Rows of readings that this transaction has taken from their chunks."""
    row = connection.execute(
        "SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)"
        " FROM pg_stat_xact_all_tables"
        " WHERE relid IN (SELECT show_chunks('patient_vitals'))"
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_the_row_counter_counts(week: Db) -> None:
    with as_reader(week) as connection, connection.transaction():
        connection.execute("SELECT avg(heart_rate) FROM patient_vitals")
        assert _read(connection) >= WEEK.beds * 2000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER VIEW ward_board RENAME COLUMN age_s TO age", "age_s"),
        ("ALTER TABLE rejected_message RENAME COLUMN reason TO why", "reason"),
        ("ALTER VIEW alert_active RENAME COLUMN text TO words", "text"),
        ("DROP FUNCTION news2_chart", "news2_chart"),
        ("REVOKE SELECT ON alert_event FROM vitalflow_reader", "permission denied for table alert_event"),
    ],
)
def test_a_changed_schema_is_found(week: Db, change: str, named: str) -> None:
    with psycopg.connect(week.owner_url) as connection:
        connection.execute(change.encode())
        connection.execute("SET ROLE vitalflow_reader")
        found = [
            str(finding) for dashboard in DASHBOARDS.values() for finding in _until_it_fails(connection, dashboard)
        ]
        connection.rollback()
    assert any(named in sentence for sentence in found), found[:3]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("patient", 'AS "highest"', 'AS "top"', "names the column 'highest'"),
        ("patient", 'AS "lowest"', 'AS "low"', "names the column 'lowest'"),
        ("patient", "SELECT time, heart_rate_avg", 'SELECT time AS "Time", heart_rate_avg', "must be named time"),
        (
            "patient",
            "SELECT time, heart_rate_avg",
            "SELECT CAST(time AS text) AS time, heart_rate_avg",
            "the column time is not a time",
        ),
        ("patient", "$__interval_ms)\nORDER BY 1", "$__interval_ms)\nORDER BY 1 DESC", "the times are not in order"),
        ("patient", '"timeEnd"', '"timeEnd" AS "until"', "an annotation needs a column timeEnd"),
        ("patient", "AS __value", "AS id", "the columns of a variable are __text and __value"),
        ("ward", 'AS "Bed"', 'AS "Device"', "names the column 'Bed'"),
        ("ward", 'news2 AS "NEWS2"', 'news2 AS "Score"', "the column 'Score' is a number"),
        ("ward", "FROM ward_board", "FROM ward_bord", 'relation "ward_bord" does not exist'),
        ("alerts", "text[])", "int[])", "operator does not exist: text = integer"),
        ("pipeline", "GROUP BY 1, 2", "GROUP BY 1", "must appear in the GROUP BY clause"),
    ],
)
def test_a_changed_query_is_found(week: Db, name: str, old: str, new: str, said: str) -> None:
    changed, times = _replaced(DASHBOARDS[name], old, new)
    assert times > 0, "the dashboard does not ask so any more"
    with as_reader(week) as connection:  # no further than to the finding: to ask all of it takes seconds
        assert any(said in str(finding) for finding in check_results(connection, changed, datetime.now(UTC)))


def _replaced(value: Any, old: str, new: str) -> tuple[Any, int]:
    """A dashboard with other texts in its queries, and how many there were."""
    if isinstance(value, str):
        return value.replace(old, new), value.count(old)
    if isinstance(value, list):
        pairs = [_replaced(below, old, new) for below in value]
        return [below for below, _ in pairs], sum(times for _, times in pairs)
    if isinstance(value, dict):
        done = {key: _replaced(below, old, new) for key, below in value.items()}
        return {key: below for key, (below, _) in done.items()}, sum(times for _, times in done.values())
    return value, 0


def _until_it_fails(connection: "psycopg.Connection[tuple[object, ...]]", dashboard: dict[str, object]) -> list[str]:
    """The errors of a dashboard, each query in a savepoint of its own."""
    now = datetime.now(UTC)
    found = []
    for query in queries(dashboard):
        context = QueryContext(now - timedelta(hours=1), now, 5000, {"ward": ("icu-1",), "device": "bed-001"})
        try:
            with connection.transaction():
                execute(connection, query, context)
        except Exception as refused:
            found.append(f"{query}: {refused}")
    return found


def test_check_executes_on_the_database_of_the_setting(week: Db) -> None:
    if week.one("SELECT community FROM vitalflow_edition"):
        return  # the WebAssembly build has one connection, and everybody is its superuser
    done = run_module("grafana", "check", environ=environ_of(READER_URL=week.reader_url))
    assert (done.returncode, done.stderr) == (0, "")
    assert "executed on postgresql://vitalflow_reader@127.0.0.1" in done.stdout
