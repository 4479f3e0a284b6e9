"""The helper that asks Grafana's own code for texts and colours agrees with what was seen in running Grafanas.

Each panel here has a mistake that was seen in Grafana 7.5.5 and in the front end of 9.4, and shows what was seen there.
"""

from datetime import UTC, datetime, timedelta

from grafana.files import Json
from grafana.result_checks import QueryResult
from tests.support.grafana_display import Cell, changed, series, strips, table, tiles

TEXT, FLOAT, TIME, LONG = 25, 701, 1184, 20
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COLOURED_BASE: Json = {
    "mode": "absolute",
    "steps": [{"color": "red", "value": None}, {"color": "transparent", "value": 41}],
}
DASH: Json = {"type": "special", "options": {"match": "null+nan", "result": {"color": "transparent", "text": "–"}}}


def panel(kind: str, options: Json, form: str, **defaults: object) -> Json:
    return {
        "type": kind,
        "title": kind,
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [{"format": form}],
    }


def cells(**defaults: object) -> Json:
    return panel(
        "table",
        {},
        "table",
        custom={"cellOptions": {"type": "color-background"}},
        color={"mode": "thresholds"},
        noValue="–",
        **defaults,
    )


def test_a_missing_value_has_the_colour_of_the_base_step_unless_it_is_mapped() -> None:
    result = QueryResult([("HR", FLOAT)], [(None,), (0.0,), (40.9,), (41.0,)])
    shown = [row["HR"] for row in table(cells(thresholds=COLOURED_BASE, decimals=0), result)]
    assert shown == [Cell("–", "red"), Cell("0", "red"), Cell("41", "red"), Cell("41")]
    mapped = table(cells(thresholds=COLOURED_BASE, decimals=0, mappings=[DASH]), result)
    assert [row["HR"] for row in mapped] == [Cell("–"), *shown[1:]]


def test_a_missing_text_has_the_colour_of_texts_as_background() -> None:
    neutral = {"mode": "absolute", "steps": [{"color": "text", "value": None}]}
    result = QueryResult([("Alert", TEXT)], [(None,)])
    assert table(cells(thresholds=neutral), result) == [{"Alert": Cell("–", "text")}]
    assert table(cells(thresholds=neutral, mappings=[DASH]), result) == [{"Alert": Cell("–")}]


def test_a_stat_reduces_each_column_and_an_empty_result_has_the_colour_of_the_base_step() -> None:
    options = {"colorMode": "background_solid", "reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    shown = panel("stat", options, "table", thresholds=COLOURED_BASE, noValue="none", unit="suffix:/min")
    result = QueryResult([("HR", FLOAT), ("RR", LONG)], [(70.2, 12), (None, 50)])
    assert tiles(shown, result) == {"HR": Cell("70.2 /min"), "RR": Cell("50 /min")}
    assert tiles(shown, QueryResult(result.columns, [])) == {"": Cell("none", "red")}


def test_a_state_timeline_with_colours_by_thresholds_joins_before_the_mappings() -> None:
    merging = panel(
        "state-timeline",
        {"mergeValues": True},
        "time_series",
        color={"mode": "thresholds"},
        unit="percentunit",
        thresholds={"mode": "absolute", "steps": [{"color": "text", "value": None}]},
        mappings=[{"type": "range", "options": {"from": 0.5, "to": 1, "result": {"text": "off", "color": "purple"}}}],
    )
    rows = [(NOON + timedelta(seconds=at), value) for at, value in enumerate([0.0, 1.0, 1.0, None, 0.0])]
    result = QueryResult([("time", TIME), ("SpO2", FLOAT)], rows)
    assert [(box.start.second, box.text, box.colour) for box in strips(merging, result)["SpO2"]] == [
        (0, "-∞%+", "text"),
        (4, "-∞%+", "text"),
    ]
    merging["fieldConfig"]["defaults"]["color"] = {"mode": "fixed", "fixedColor": "transparent"}
    assert [(box.start.second, box.text, box.colour) for box in strips(merging, result)["SpO2"]] == [
        (0, "0%", ""),
        (1, "off", "purple"),
        (4, "0%", ""),
    ]


def test_a_long_series_becomes_one_series_for_each_label() -> None:
    shown = panel("timeseries", {"legend": {"calcs": ["max"]}}, "time_series", unit="percent")
    rows = [(NOON, "a", 1), (NOON, "b", 2), (NOON + timedelta(seconds=1), "b", 4)]
    found = series(shown, QueryResult([("time", TIME), ("bed", TEXT), ("share", LONG)], rows))
    assert {name: (each.values, each.legend) for name, each in found.items()} == {
        "share a": (["1%", ""], {"max": "1%"}),
        "share b": (["2%", "4%"], {"max": "4%"}),
    }
    shown["fieldConfig"]["defaults"]["displayName"] = "${__field.labels.bed}"
    assert set(series(shown, QueryResult([("time", TIME), ("bed", TEXT), ("share", LONG)], rows))) == {"a", "b"}


def test_a_link_is_filled_from_its_row() -> None:
    shown = panel(
        "table", {}, "table", links=[{"title": "x", "url": "/d/p?var-bed=${__data.fields.Bed:percentencode}&x=1"}]
    )
    result = QueryResult([("Bed", TEXT)], [("bed-1",)])
    assert table(shown, result)[0]["Bed"].href == "/d/p?var-bed=bed-1&x=1"
    assert table(shown, changed(result, 0, Bed="2"))[0]["Bed"].href == "/d/p?var-bed=2&x=1"
