"""What a nurse reads and sees on the dashboard Alerts, by Grafana's own code."""

from datetime import timedelta
from typing import Any

import pytest

from grafana.result_checks import QueryResult
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import (
    Box,
    Cell,
    answers,
    changed,
    cut,
    panel_of,
    panel_width,
    series,
    strips,
    table,
    tiles,
    widths,
)

OPEN, SHARED, LONGEST = "Open alerts, most urgent first", "Shared equipment in this range", "Longest alerts"
RESPONSE, TIMELINE, BY_RULE = "Response to alerts", "Worst alert by bed over time", "Alarms per bed and day, by rule"
DAY = timedelta(days=1)


def asked(display: Connection, title: str, span: timedelta = DAY, chosen: tuple[str, ...] = ("icu-1",)) -> QueryResult:
    (result,) = answers(display, "alerts", title, now_of(display), span, ward=chosen)
    return result


def shown(display: Connection, title: str, span: timedelta = DAY) -> list[dict[str, Cell]]:
    return table(panel_of("alerts", title), asked(display, title, span))


def test_an_empty_database_or_an_unknown_ward_gives_a_calm_page(display: Connection) -> None:
    store_bed(display, "bed-1")
    for chosen in (("icu-1",), ("no-such-ward",), ()):
        (counts, load) = (asked(display, title, DAY, chosen) for title in ("Open now", "In this range"))
        assert set(tiles(panel_of("alerts", "Open now"), counts).values()) == {Cell("0")}
        assert set(tiles(panel_of("alerts", "In this range"), load).values()) <= {Cell("0"), Cell("0.0"), Cell("–")}
        for title in (OPEN, SHARED, RESPONSE, LONGEST):
            assert asked(display, title, DAY, chosen).rows == []
            assert panel_of("alerts", title)["fieldConfig"]["defaults"]["noValue"].startswith(
                "no alert" if title != OPEN else "no open alert"
            )
        quiet = strips(panel_of("alerts", TIMELINE), asked(display, TIMELINE, DAY, chosen))
        assert {name: [(box.text, box.colour) for box in boxes] for name, boxes in quiet.items()} == {
            "no alert": [("no alert", "")]
        }
        assert asked(display, BY_RULE, DAY, chosen).rows == [("no alarm", 0, 0, 0, 0)]


def test_a_bed_is_a_transparent_strip_with_boxes_in_the_colours_of_its_alerts(display: Connection) -> None:
    for bed, priority, kind in (
        ("bed-1", "high", "physiological"),
        ("bed-2", "medium", "physiological"),
        ("bed-3", "low", "physiological"),
        ("bed-4", "high", "technical"),
    ):
        store_alert(display, bed, "rule", "Text", 3600, priority=priority, kind=kind)
    found = strips(panel_of("alerts", TIMELINE), asked(display, TIMELINE))
    assert {bed: [(box.text, box.colour) for box in boxes] for bed, boxes in found.items()} == {
        "bed-1": [("no alert", ""), ("!!! high", "red")],
        "bed-2": [("no alert", ""), ("!! medium", "yellow")],
        "bed-3": [("no alert", ""), ("! low", "light-blue")],
        "bed-4": [("no alert", ""), ("[!] equipment", "purple")],
    }
    assert all(isinstance(box, Box) for boxes in found.values() for box in boxes)


def test_the_names_of_the_beds_fit_the_rows_of_the_timeline_with_120_beds(display: Connection) -> None:
    for number in range(120):
        store_alert(display, f"bed-{number:03}", "spo2-low", "Oxygen saturation low")
    rows = len(strips(panel_of("alerts", TIMELINE), asked(display, TIMELINE)))
    height = panel_of("alerts", TIMELINE)["gridPos"]["h"] * 38 - 8 - 75  # without its title and time axis
    assert rows == 20
    assert height / rows >= 15, "a name of 12 pixels with space around it"
    assert len(shown(display, OPEN)) == 120


def test_an_open_alert_shows_text_present_value_state_and_whole_ages(display: Connection) -> None:
    store_bed(display, "bed-1", resp_rate=0)
    what = "Breathing slow: 8 /min, limit below 9"
    values = {"value": 8, "first_value": 8, "worst_value": 0}
    more: Any = {"sign": "resp_rate", **values, "state": "acknowledged", "acknowledged_by": "nurse Ada"}
    store_alert(display, "bed-1", "resp-rate-low", what, 0.672, **more)
    (row,) = shown(display, OPEN)
    assert row["Alert"] == Cell("!!! high", "red")
    assert {name: row[name].text for name in ("What", "First", "Worst", "Now", "State", "For", "By")} == {
        "What": what,
        "First": "8.0",
        "Worst": "0.0",
        "Now": "0.0",
        "State": "acknowledged",
        "For": "1 s",
        "By": "nurse Ada",
    }
    assert row["Bed"].href.startswith("/d/vitalflow-patient/patient?var-ward=icu-1&var-device=bed-1&")
    store_bed(display, "bed-2", 300, resp_rate=8)
    store_alert(display, "bed-2", "resp-rate-low", what, 672, sign="resp_rate", value=8)
    (row,) = (row for row in shown(display, OPEN) if row["Bed"].text == "bed-2")
    assert (row["For"].text, row["Now"]) == ("11 mins", Cell("–")), "an old value is not the present one"
    store_bed(display, "bed-3", resp_rate=16, patient="p-0002")
    store_alert(display, "bed-3", "resp-rate-low", what, sign="resp_rate", value=8)
    (row,) = (row for row in shown(display, OPEN) if row["Bed"].text == "bed-3")
    assert (row["Patient"].text, row["Now"]) == ("p-0001", Cell("–")), "nor is that of the next patient"


def test_a_latched_alert_follows_the_others_of_its_priority(display: Connection) -> None:
    store_alert(display, "latched", "heart-rate-low", "Heart rate low", 10, state="latched")
    store_alert(display, "active", "spo2-low", "Oxygen saturation low", 900)
    store_alert(display, "medium", "news2", "NEWS2: 6", 10, priority="medium")
    store_alert(display, "medium-latched", "news2", "NEWS2: 6", 5, priority="medium", state="latched")
    assert [row["Bed"].text for row in shown(display, OPEN)] == ["active", "latched", "medium", "medium-latched"]


def test_shared_equipment_is_no_bed_and_has_no_link(display: Connection) -> None:
    text = "The broker drops messages: 17 of 1,000"
    technical: Any = {"ward": "stack", "kind": "technical", "state": "latched"}
    store_alert(display, "broker", "broker-dropping", text, 1560, **technical)
    everything = ("icu-1", "stack")
    assert asked(display, OPEN, DAY, everything).rows == asked(display, LONGEST, DAY, everything).rows == []
    (row,) = shown(display, SHARED)
    assert row["Alert"] == Cell("[!!!] high", "purple")
    assert (row["Part"], row["What"], row["State"], row["For"]) == (
        Cell("broker"),
        Cell(text),
        Cell("open"),
        Cell("26 mins"),
    )


def test_alarms_of_a_short_range_are_not_multiplied_to_a_day(display: Connection) -> None:
    store_bed(display, "bed-1")
    store_alert(display, "bed-1", "spo2-low", "Oxygen saturation low", 60)
    short = timedelta(minutes=5)
    assert tiles(panel_of("alerts", "In this range"), asked(display, "In this range", short)) == {
        "Alarms": Cell("1"),
        "Per bed and day": Cell("1.0"),
        "Acknowledged": Cell("0%"),
        "Median time": Cell("–"),
    }
    assert series(panel_of("alerts", BY_RULE), asked(display, BY_RULE, short))["high"].values == ["1.0"]


@pytest.mark.parametrize("title", [OPEN, SHARED, RESPONSE, LONGEST])
def test_tables_fit_1366_pixels_and_missing_values_are_dashes_without_a_colour(display: Connection, title: str) -> None:
    store_bed(display, "cardio-bed-007")
    at = now_of(display) - DAY / 3
    long: Any = {"state": "acknowledged", "acknowledged_by": "nurse Ada Long", "sign": "spo2", "value": 82}
    words = "Oxygen saturation low: 82.4 %, limit below 85"
    for kind, stage in (("technical", "stack"), ("physiological", "icu-1")):
        more = {**long, "kind": kind, "ward": stage, "change": "acknowledged", "changed_at": at + timedelta(minutes=59)}
        store_alert(display, "cardio-bed-007", f"sign-gone-{kind[:4]}", words, 8 * 3600, **more)
    rows = shown(display, title)
    assert rows
    panel = panel_of("alerts", title)
    assert cut(panel, rows) == []
    assert panel_width(panel) <= 1366
    result = asked(display, title)
    nothing = table(panel, changed(result, 0, **dict.fromkeys(name for name, _ in result.columns)))[0]
    assert {(cell.text, cell.background) for cell in nothing.values()} == {("–", "")}
    assert set(widths(panel)) >= {"Alert"}


def test_an_alert_of_the_past_has_the_text_of_its_worst_change(display: Connection) -> None:
    store_alert(display, "bed-1", "news2", "NEWS2: 9", 600)
    display.execute(
        "INSERT INTO alert_event SELECT (jsonb_populate_record(alert_event, %s)).* FROM alert_event",
        ['{"revision": 2, "priority": "low", "text": "NEWS2: 0 and later in the alphabet", "change": "de-escalated"}'],
    )
    (row,) = shown(display, LONGEST)
    assert row["What"].text == "NEWS2: 9"
