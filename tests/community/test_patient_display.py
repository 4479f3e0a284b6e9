"""What the doctor reads and sees on the dashboard Patient, by Grafana's own code."""

import math
from datetime import timedelta
from typing import Any

import pytest

from grafana.canonical import annotations, panels
from grafana.execute import execute
from grafana.files import Json, read_dashboards
from grafana.macros import QueryContext
from grafana.queries import queries
from grafana.result_checks import QueryResult
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import Cell, answers, changed, cut, panel_of, series, strips, table, tiles, widths

ALERTS = "Alerts of this bed in the range"
SENSORS = panel_of("patient", "Sensors")


def asked(display: Connection, title: str, device: str = "bed-1") -> QueryResult:
    (result,) = answers(
        display, "patient", title, now_of(display), timedelta(minutes=15), device=device, ward=("icu-1",)
    )
    return result


def now_tiles(display: Connection, device: str = "bed-1") -> dict[str, Cell]:
    return tiles(panel_of("patient", "Now"), asked(display, "Now", device))


def test_missing_values_and_an_unknown_bed_have_no_colour(display: Connection) -> None:
    store_bed(display, "bed-1", 600)
    shown = now_tiles(display)
    for name in ("Heart rate /min", "SpO2 %", "Breathing /min", "NEWS2"):
        assert shown[name] == Cell("–"), name
    assert shown["Last reading"] == Cell("10 mins", "#8e8e8e")
    assert set(now_tiles(display, "no-such-bed").values()) == {Cell("–")}
    result = asked(display, "Now")
    nothing = tiles(panel_of("patient", "Now"), changed(result, 0, **{name: None for name, _ in result.columns}))
    assert set(nothing.values()) == {Cell("–")}


def test_the_present_values_are_large_and_coloured_beyond_a_limit(display: Connection) -> None:
    assert panel_of("patient", "Now")["options"]["text"] == {"titleSize": 15, "valueSize": 34}
    store_bed(display, "bed-1", heart_rate=0, spo2=91, resp_rate=25, systolic_bp=69, temperature=41.1)
    assert now_tiles(display) == {
        "Heart rate /min": Cell("0", "red"),
        "SpO2 %": Cell("91", "yellow"),
        "Breathing /min": Cell("25", "yellow"),
        "Systolic mmHg": Cell("69", "red"),
        "Diastolic mmHg": Cell("74"),
        "Temp °C": Cell("41.1", "red"),
        "NEWS2": Cell("14", "red"),
        "Open alerts": Cell("0"),
        "Last reading": Cell("1 s"),
    }


def test_tiles_and_cells_have_the_same_colours() -> None:
    """The limits of the default rules are compared with the cells of Ward."""
    names = {"Heart rate /min": "HR /min", "SpO2 %": "SpO2 %", "Breathing /min": "RR /min", "Systolic mmHg": "Sys mmHg"}
    names |= {"Temp °C": "Temp °C", "NEWS2": "NEWS2"}
    tile, cell = thresholds(panel_of("patient", "Now")), thresholds(panel_of("ward", "Beds, most urgent first"))
    assert {name: tile[name] for name in names} == {name: cell[other] for name, other in names.items()}


def thresholds(panel: Json) -> dict[str, object]:
    found = [(each["matcher"]["options"], each["properties"]) for each in panel["fieldConfig"]["overrides"]]
    return {name: p["value"]["steps"] for name, properties in found for p in properties if p["id"] == "thresholds"}


SPAN = timedelta(minutes=15)


def test_a_sensor_is_on_partly_off_or_off(display: Connection) -> None:
    store_bed(display, "bed-1", 30, sensor_off=("spo2",))
    result = asked(display, "Sensors")
    shown = {name: [(box.text, box.colour) for box in boxes] for name, boxes in strips(SENSORS, result).items()}
    on, off = [("on", "")], [("off", "purple")]
    assert shown == {"heart rate": on, "SpO2": off, "breathing": on, "pressure": on, "temperature": on}
    start = now_of(display).replace(microsecond=0)
    rows = [
        (start + timedelta(minutes=minute), *[math.ceil(2 * share)] * 5)
        for minute, share in enumerate((0, 0, 0.1, 0.4, 0.5, 0.51, 1, 0))
    ]
    boxes = strips(SENSORS, QueryResult(result.columns, rows))["SpO2"]
    assert [((box.start - start) // timedelta(minutes=1), box.text, box.colour) for box in boxes] == [
        (0, "on", ""),
        (2, "partly off", "semi-dark-purple"),
        (5, "off", "purple"),
        (7, "on", ""),
    ]


def test_completeness_shows_the_share_of_each_hour(display: Connection) -> None:
    panel, result = panel_of("patient", "Completeness"), asked(display, "Completeness")
    assert strips(panel, result) == {"stored": []}, "no strip for a device without numbers"
    hours = [now_of(display) + timedelta(hours=hour) for hour in range(6)]
    shares = [1.0, 1.0, 0.999, 0.95, 0.9, 0.0]
    boxes = strips(panel, QueryResult(result.columns, list(zip(hours, shares, strict=True))))["stored"]
    assert [(box.text, box.colour) for box in boxes] == [
        ("100.0%", "green"),
        ("100.0%", "green"),
        ("99.9%", "semi-dark-purple"),
        ("95.0%", "semi-dark-purple"),
        ("90.0%", "purple"),
        ("0.0%", "purple"),
    ]


def test_one_lost_reading_is_not_rounded_away(display: Connection) -> None:
    start = (now_of(display) - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    display.execute(
        "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
        " SELECT %(start)s + number * interval '1 s', 'bed-1', 1, number, 'icu-1', 70, 'NORMAL', now()"
        " FROM generate_series(1, 3000) AS number WHERE number <> 1500",
        {"start": start},
    )
    until = start + timedelta(hours=1)
    (result,) = answers(display, "patient", "Completeness", until, SPAN, device="bed-1", ward=("icu-1",))
    boxes = strips(panel_of("patient", "Completeness"), result)["stored"]
    assert ("99.9%", "semi-dark-purple") in {(box.text, box.colour) for box in boxes}


CHARTS = ("Heart rate", "Oxygen saturation", "Respiratory rate", "Temperature", "Blood pressure", "NEWS2 and its parts")


@pytest.mark.parametrize("device", ["no-such-bed", ""])
def test_without_a_bed_charts_are_empty_and_not_an_error(display: Connection, device: str) -> None:
    for title in CHARTS:
        shown = series(panel_of("patient", title), asked(display, title, device))
        assert {tuple(each.values) for each in shown.values()} == {("–",)}, title
    assert set(map(len, strips(SENSORS, asked(display, "Sensors", device)).values())) == {0}


def test_the_legend_has_the_last_the_lowest_and_the_highest_reading(display: Connection) -> None:
    store_bed(display, "bed-1", 1.5, heart_rate=70)
    result = asked(display, "Heart rate")
    assert series(panel_of("patient", "Heart rate"), result)["lowest"].legend["lastNotNull"] == "70 /min"
    start = now_of(display).replace(microsecond=0)
    rows = [(start, 72.0, 41, 90), (start + SPAN, 80.0, 60, 131)]
    shown = series(panel_of("patient", "Heart rate"), QueryResult(result.columns, rows))
    assert shown["lowest"].legend["min"] == "41 /min"
    assert shown["highest"].legend["max"] == "131 /min"
    for title in CHARTS[:4]:
        assert legend_of(panel_of("patient", title)) == {"lowest", "highest"}, "the means would hide the extremes"


def legend_of(panel: Json) -> set[str]:
    found = [(each["matcher"]["options"], each["properties"]) for each in panel["fieldConfig"]["overrides"]]
    return {
        name
        for name, properties in found
        for p in properties
        if p["id"] == "custom.hideFrom" and not p["value"]["legend"]
    }


def test_systolic_and_diastolic_are_told_apart_without_limits_of_the_other(display: Connection) -> None:
    store_bed(display, "bed-1", 1.5)
    panel = panel_of("patient", "Blood pressure")
    shown = series(panel, asked(display, "Blood pressure"))
    assert shown["systolic"].colour != shown["diastolic"].colour
    assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] == {"mode": "off"}
    (dashed,) = [
        each["matcher"]["options"]
        for each in panel["fieldConfig"]["overrides"]
        for p in each["properties"]
        if p["id"] == "custom.lineStyle" and p["value"]["fill"] == "dash"
    ]
    assert dashed == "diastolic"


def test_limits_lie_within_the_axis_and_charts_are_aligned() -> None:
    """Grafana draws a limit below the axis through the labels of the time; axes of one width align the charts."""
    for title in (*CHARTS, "Sensors", "Completeness"):
        defaults = panel_of("patient", title)["fieldConfig"]["defaults"]
        assert defaults["custom"]["axisWidth"] == 72
        if title in CHARTS:
            limits = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
            lowest = defaults["custom"].get("axisSoftMin", defaults.get("min"))
            assert all(limit > lowest for limit in limits), title


# Regions of alerts


def regions(display: Connection, span: timedelta = SPAN) -> dict[str, list[str]]:
    """The texts of the regions on each panel, without what is off by default."""
    (dashboard,) = [read for path, read in read_dashboards().items() if path.stem == "patient"]
    titles = {panel["id"]: panel["title"] for panel in panels(dashboard)}
    found: dict[str, list[str]] = {}
    by_name = {query.where: query for query in queries(dashboard)}
    for each in annotations(dashboard):
        if not each["enable"] or each.get("builtIn"):
            continue
        now = now_of(display)
        context = QueryContext.for_range(now - span, now, 1000, 1, {"device": "bed-1"})
        result = execute(display, by_name[f"annotation {each['name']}"], context)
        for panel in each["filter"]["ids"]:
            found.setdefault(titles[panel], []).extend(f"{each['iconColor']} {row[2]}" for row in result.rows)
    return {title: texts for title, texts in found.items() if texts}


def test_a_chart_shows_the_alerts_of_its_own_sign_only(display: Connection) -> None:
    store_bed(display, "bed-1")
    store_alert(display, "bed-1", "heart-rate-low", "Heart rate low", sign="heart_rate")
    store_alert(display, "bed-1", "mean-bp-low", "Mean pressure low", sign="mean-bp", priority="medium")
    store_alert(display, "bed-1", "news2", "NEWS2: 7", sign="news2")
    store_alert(display, "bed-1", "sensor-off-spo2", "Sensor off", sign="sensor-off", kind="technical")
    assert regions(display) == {
        "Heart rate": ["red !!! high Heart rate low"],
        "Blood pressure": ["yellow !! medium Mean pressure low"],
        "NEWS2 and its parts": ["red !!! high NEWS2: 7"],
    }


def test_alerts_close_together_are_one_region_on_a_long_range(display: Connection) -> None:
    store_bed(display, "bed-1")
    for number, hours in enumerate((50, 49, 48, 20)):
        ended: Any = {
            "state": "cleared",
            "change": "cleared",
            "changed_at": now_of(display) - timedelta(hours=hours - 0.1),
        }
        store_alert(display, "bed-1", f"spo2-low-{number}", "SpO2 low", hours * 3600, sign="spo2", **ended)
    assert regions(display, timedelta(days=7)) == {
        "Oxygen saturation": ["red 3 alerts, the last: !!! high SpO2 low", "red !!! high SpO2 low"]
    }
    assert len(regions(display, timedelta(hours=51))["Oxygen saturation"]) == 4


def test_the_texts_of_the_alerts_fit_their_columns(display: Connection) -> None:
    store_bed(display, "bed-1")
    store_alert(display, "bed-1", "resp-rate-high", "Breathing fast", 3000, priority="medium", kind="technical")
    panel, result = panel_of("patient", ALERTS), asked(display, ALERTS)
    (row,) = table(panel, changed(result, 0, **{"Acknowledged after": 3540, "Times sounded": 1}))
    assert (row["Alert"], row["Times sounded"].text, row["Lasted"].text) == (
        Cell("[!!] medium", "purple"),
        "1",
        "50 mins",
    )
    assert row["Acknowledged after"].text == "59 mins"
    assert cut(panel, [row]) == []
    assert sum(widths(panel).values()) <= 1316 - 200
    (calm,) = table(panel, changed(result, 0, **{name: None for name, _ in result.columns}))
    assert set(calm.values()) == {Cell("–")}
