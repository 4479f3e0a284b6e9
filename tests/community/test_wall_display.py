"""What is read across a room on the dashboard Wall, by Grafana's own code."""

from datetime import timedelta
from typing import Any

import pytest

from grafana.files import read_dashboards
from grafana.result_checks import QueryResult
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import Cell, answers, panel_of, tiles

BEDS, COUNTS = "Beds of the ward", "Now"


def asked(display: Connection, title: str, *chosen: str) -> QueryResult:
    (result,) = answers(display, "wall", title, now_of(display), timedelta(hours=1), ward=chosen or ("icu-1",))
    return result


def beds(display: Connection) -> dict[str, tuple[str, str]]:
    """Text and colour of each tile, by the name of its bed, in their order."""
    shown = tiles(panel_of("wall", BEDS), asked(display, BEDS))
    return {name: (tile.text, tile.background) for name, tile in shown.items()}


@pytest.mark.parametrize(
    ("signs", "alert", "text", "colour"),
    [
        ({}, None, "70/min 97%", ""),
        ({"heart_rate": None, "spo2": 0}, None, "CRITICAL", "red"),
        ({"heart_rate": None, "spo2": None}, None, "–", ""),
        ({"spo2": 84.6}, {"sign": "spo2", "value": 88}, "!!! SpO2 84.6", "red"),
        ({"resp_rate": 26}, {"sign": "resp_rate", "value": 26, "priority": "medium"}, "!! RR 26", "yellow"),
        ({"temperature": 38.5}, {"sign": "temperature", "value": 38.5, "priority": "low"}, "! Temp 38.5", "light-blue"),
        ({}, {"state": "latched", "sign": "spo2"}, "!!! ended", "red"),
        ({}, {"text": "NEWS2: 9 (RR 3, SpO2 2)", "priority": "medium"}, "!! NEWS2: 9", "yellow"),
        ({}, {"text": "Mean blood pressure low: 58 mmHg"}, "!!! Mean blood p…", "red"),
        ({}, {"text": "The device's clock is wrong", "kind": "technical"}, "[!!!] The device's…", "purple"),
        ({}, {"text": "Text", "kind": "technical", "priority": "low"}, "[!] Text", "semi-dark-purple"),
        ({"spo2": 80}, {"kind": "technical", "priority": "medium"}, "CRITICAL", "red"),
        ({"spo2": 80}, {"state": "latched"}, "CRITICAL", "red"),
        ({"spo2": 80}, {"sign": "spo2", "value": 80}, "!!! SpO2 80", "red"),
        ({"sensor_off": ("spo2",), "spo2": None}, None, "SENSOR OFF", "semi-dark-purple"),
        ({"age_s": 600}, None, "SILENT", "purple"),
        ({"age_s": 600}, {"sign": "spo2"}, "!!! SILENT", "red"),
        ({"age_s": 600}, {"kind": "technical"}, "[!!!] SILENT", "purple"),
    ],
)
def test_a_tile_shows_mark_and_value_in_the_colour_of_what_is_most_urgent(
    display: Connection, signs: dict[str, Any], alert: dict[str, Any] | None, text: str, colour: str
) -> None:
    store_bed(display, "icu-1-7", **signs)
    if alert is not None:
        more = dict(alert)
        store_alert(display, "icu-1-7", "rule", more.pop("text", "Words"), **more)
    assert beds(display) == {"7": (text, colour)}


def test_a_bed_that_is_offline_or_waits_is_grey(display: Connection) -> None:
    store_bed(display, "off", 600)
    display.execute("UPDATE device SET state = 'offline', changed_at = now() - interval '1 min'")
    display.execute("INSERT INTO device VALUES ('waits', 'icu-1', 'online', 1, 1, NULL, now())")
    assert beds(display) == {"off": ("OFFLINE", "#8e8e8e"), "waits": ("WAITING", "#8e8e8e")}


def test_a_vacant_bed_says_so_without_a_colour(display: Connection) -> None:
    store_bed(display, "left", 600)
    display.execute("UPDATE device SET state = 'offline', changed_at = now() - interval '1 min'")
    display.execute(
        "INSERT INTO assignment (device_id, ward, from_time, patient_since)"
        " SELECT device_id, ward, now() - interval '2 min', now() - interval '2 min' FROM device"
    )
    assert beds(display) == {"left": ("VACANT", "")}


def test_forty_beds_keep_their_places_and_of_120_the_most_urgent_are_shown(display: Connection) -> None:
    for number in range(120):
        store_bed(display, f"bed-{number:03}")
    store_alert(display, "bed-117", "spo2-low", "Oxygen saturation low")
    shown = beds(display)
    assert len(shown) == 40
    assert list(shown) == sorted(shown)
    assert "bed-117" in shown
    counts = tiles(panel_of("wall", COUNTS), asked(display, COUNTS))
    assert (counts["Beds"], counts["Not shown"]) == (Cell("120"), Cell("80", "#8e8e8e"))
    assert counts["!!! high"] == Cell("1", "red")


def test_a_tile_leads_to_its_bed(display: Connection) -> None:
    store_bed(display, "icu-1-7")
    (tile,) = tiles(panel_of("wall", BEDS), asked(display, BEDS)).values()
    assert tile.text == "70/min 97%"
    (link,) = panel_of("wall", BEDS)["fieldConfig"]["defaults"]["links"]
    assert (
        "var-ward=${__data.fields.Ward:percentencode}&var-device=${__data.fields.Device:percentencode}" in link["url"]
    )


def test_an_empty_database_or_an_unknown_ward_is_calm(display: Connection) -> None:
    for chosen in ("icu-1", "no-such-ward"):
        assert tiles(panel_of("wall", BEDS), asked(display, BEDS, chosen)) == {"": Cell("no bed")}
        counts = tiles(panel_of("wall", COUNTS), asked(display, COUNTS, chosen))
        assert set(counts.values()) == {Cell("0")}


def test_the_page_fits_a_screen_of_1920_by_1080(display: Connection) -> None:
    del display
    (wall,) = (dashboard for path, dashboard in read_dashboards().items() if path.stem == "wall")
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in wall["panels"])
    navigation, variables = 56, 48
    assert rows * 38 + navigation + variables <= 1080
    assert panel_of("wall", BEDS)["options"]["reduceOptions"]["limit"] == 40
