"""What Grafana makes of a query, and what it can draw of an answer: the rules that `vitalflow grafana check` knows."""

from datetime import UTC, datetime, timedelta

import pytest

from grafana.macros import QueryContext, Value, expand, interval_ms, sqlstring
from grafana.queries import Query, queries
from grafana.result_checks import QueryResult, check_result
from vitals.errors import PermanentError

SINCE = datetime(2018, 4, 12, 18, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=5)
T0, T1 = "'2018-04-12T18:00:00Z'", "'2018-04-12T18:05:00Z'"


def made(sql: str, **variables: Value) -> str:
    return expand(sql, QueryContext(SINCE, UNTIL, 60_000, variables))


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("WHERE $__timeFilter(time)", f"WHERE time BETWEEN {T0} AND {T1}"),
        ("WHERE $__timeFilter(a.time) AND 1", f"WHERE a.time BETWEEN {T0} AND {T1} AND 1"),
        ("SELECT $__timeFrom()::timestamptz, $__timeTo()", f"SELECT {T0}::timestamptz, {T1}"),
        ("$__timeGroupAlias(time,'5m')", "time_bucket('300.000s',time) AS \"time\""),
        ("$__timeGroupAlias(time, $__interval)", "time_bucket('60.000s',time) AS \"time\""),
        ("f($__interval_ms)", "f(60000)"),
        ("ARRAY[${ward:sqlstring}]::text[]", "ARRAY['icu-1','it''s']::text[]"),
        ("ARRAY[${none:sqlstring}]::text[]", "ARRAY[]::text[]"),
        ("ARRAY[${one:sqlstring}]::text[]", "ARRAY['a']::text[]"),
    ],
)
def test_variables_and_macros_are_expanded(sql: str, wanted: str) -> None:
    assert made(sql, ward=("icu-1", "it's"), none=(), one="a") == wanted


def test_a_time_is_written_in_utc_with_its_fraction() -> None:
    moment = datetime.fromisoformat("2018-04-12T20:00:00.250+02:00")
    context = QueryContext(moment, moment, 1000, {})
    assert expand("$__timeFrom()", context) == "'2018-04-12T18:00:00.25Z'"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("${who:sqlstring}", "is not declared"),
        ("$who", "is not declared"),
        ("[[who]]", "is not declared"),
        ("${ward}", "must be written"),
        ("${ward:raw}", "must be written"),
        ("$ward", "must be written"),
        ("$__timeGroup(time, '5m')", r"the macro \$__timeGroup is not one of"),
    ],
)
def test_unknown_variables_and_macros_are_refused(sql: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        made(sql, ward="icu-1")


def test_values_of_variables_are_quoted() -> None:
    assert sqlstring("it's") == "'it''s'"
    assert sqlstring(("a", "'; DROP TABLE x")) == "'a','''; DROP TABLE x'"
    assert sqlstring('say "hi"') == "'say \\\"hi\\\"'"
    assert sqlstring("") == "''"


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        (timedelta(minutes=5), 1),
        (timedelta(minutes=30), 2),
        (timedelta(hours=1), 5),
        (timedelta(hours=3), 10),
        (timedelta(hours=6), 20),
        (timedelta(hours=12), 30),
        (timedelta(hours=24), 60),
        (timedelta(days=2), 120),
        (timedelta(days=7), 600),
        (timedelta(days=30), 1800),
        (timedelta(days=90), 7200),
        (timedelta(days=20_000), 604_800),
    ],
)
def test_the_interval_is_rounded_as_grafana_13_rounds_it(span: timedelta, seconds: int) -> None:
    """The figures are those of @grafana/data 13.2.3 for a thousand points and a least interval of a second."""
    assert interval_ms(UNTIL - span, UNTIL, 1000, 1) == seconds * 1000
    assert interval_ms(UNTIL - span, UNTIL, 1000, 86_400) >= 86_400_000


TIME, FLOAT, TEXT, UUID = 1184, 701, 25, 2950


def said(kind: str, result: QueryResult, format: str = "time_series", **more: object) -> list[str]:
    query = Query("d", "w", kind, "", format, **more)  # type: ignore[arg-type]
    return list(check_result(query, result))


LATER = SINCE + timedelta(seconds=1)
SERIES = [("time", TIME), ("mean", FLOAT)]


def test_a_series_that_grafana_can_draw() -> None:
    assert said("panel", QueryResult(SERIES, [(SINCE, 1.0), (LATER, None)])) == []
    assert said("panel", QueryResult(SERIES, [])) == []
    labelled = QueryResult([("time", TIME), ("bed", TEXT), ("n", FLOAT)], [(SINCE, "a", 1), (SINCE, "b", 2)])
    assert said("panel", labelled) == []


@pytest.mark.parametrize(
    ("columns", "rows", "wanted"),
    [
        ([("Time", TIME), ("mean", FLOAT)], [], "must be named time"),
        ([("mean", FLOAT), ("time", TIME)], [], "must be named time"),
        ([("time", TEXT), ("mean", FLOAT)], [], "is not a time"),
        ([("time", TIME), ("bed", TEXT)], [], "needs a column of numbers"),
        ([("time", TIME), ("id", UUID)], [], "a type that Grafana does not know"),
        ([*SERIES, ("mean", FLOAT)], [], "the same name"),
        (SERIES, [(LATER, 1.0), (SINCE, 1.0)], "not in order"),
        (SERIES, [(None, 1.0)], "a time is NULL"),
        (SERIES, [(SINCE, 1.0), (SINCE, 2.0)], "occurs twice"),
        (SERIES, [(SINCE + timedelta(seconds=n), 1.0) for n in range(2100)], "2100 rows of 1 series for 1000 points"),
        ([("time", TIME), ("bed", TEXT), ("n", FLOAT)], [(SINCE, str(n), 1.0) for n in range(61)], "61 series"),
    ],
)
def test_a_series_that_grafana_cannot_draw(
    columns: list[tuple[str, int]], rows: list[tuple[object, ...]], wanted: str
) -> None:
    assert any(wanted in sentence for sentence in said("panel", QueryResult(columns, rows)))


def test_columns_that_a_panel_names_must_exist() -> None:
    (sentence,) = said("panel", QueryResult(SERIES, []), names=frozenset({"mean", "max"}))
    assert "names the column 'max'" in sentence
    assert said("panel", QueryResult([("a", TEXT)], [("x",)] * 5001), "table")[0].startswith("5001 rows")


def test_a_number_in_a_table_needs_a_unit() -> None:
    answer = QueryResult([("bed", TEXT), ("n", FLOAT)], [("x", 1.0)])
    (sentence,) = said("panel", answer, "table", units=frozenset({"bed"}))
    assert "the column 'n' is a number, and the panel gives no unit" in sentence
    assert said("panel", answer, "table", units=frozenset({"n"})) == []
    assert said("panel", answer, "table", units=None) == []


def test_a_panel_names_the_columns_of_its_overrides_bands_and_links() -> None:
    panel = {
        "id": 1,
        "title": "x",
        "targets": [{"refId": "A", "rawSql": "SELECT 1", "format": "table"}],
        "fieldConfig": {
            "defaults": {},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": "max"},
                    "properties": [{"id": "custom.fillBelowTo", "value": "min"}],
                },
                {"matcher": {"id": "byName", "options": "n"}, "properties": [{"id": "unit", "value": "none"}]},
                {
                    "matcher": {"id": "byName", "options": "Bed"},
                    "properties": [{"id": "links", "value": [{"url": "/d/x?var-ward=${__data.fields.Ward}"}]}],
                },
            ],
        },
    }
    (query,) = queries({"uid": "d", "panels": [panel]})
    assert query.names == {"max", "min", "n", "Bed", "Ward"}
    assert query.units == frozenset({"n"})


def test_variables_annotations_and_rules_have_their_own_columns() -> None:
    assert said("variable", QueryResult([("__text", TEXT), ("__value", TEXT)], [("a", "a")]), "table") == []
    assert said("variable", QueryResult([("ward", TEXT)], []), "table") == [
        "the columns of a variable are __text and __value, not ward"
    ]
    assert said("variable", QueryResult([("__text", FLOAT)], [(None,)]), "table") == [
        "column __text is not a text",
        "a value is NULL",
    ]
    columns = [("time", TIME), ("timeEnd", TIME), ("text", TEXT)]
    assert said("annotation", QueryResult(columns, [(SINCE, LATER, "x")]), "table") == []
    assert "an annotation from" in said("annotation", QueryResult(columns, [(LATER, SINCE, "x")]), "table")[0]
    assert said("annotation", QueryResult(columns[:1], []), "table") == [
        "an annotation needs a column timeEnd that is a time"
    ]
    assert said("annotation", QueryResult(columns[:2], []), "table") == ["an annotation needs a column text"]
    assert said("rule", QueryResult([("n", FLOAT)], [(1.0,)]), "table") == []
    assert said("rule", QueryResult([("n", FLOAT)], []), "table") == ["an alert rule needs one row with one number"]
    assert said("rule", QueryResult([("n", FLOAT)], [(None,)]), "table") == [
        "an alert rule needs a number, and this is NULL"
    ]
