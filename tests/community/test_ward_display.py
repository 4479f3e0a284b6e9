"""What the nurse in charge reads and sees on the dashboard Ward, by Grafana's own code."""

import tomllib
from datetime import timedelta
from typing import Any

import pytest

from alerts.rulefile.parser import DEFAULT
from grafana.result_checks import QueryResult
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import Cell, answers, changed, cut, panel_of, table, tiles, widths

SIDES = ("above", "below")
BEDS = "Beds, most urgent first"
SIGNS = ("HR /min", "SpO2 %", "RR /min", "Sys mmHg", "Dia mmHg", "Temp °C")


def asked(display: Connection, title: str) -> QueryResult:
    (result,) = answers(display, "ward", title, now_of(display), timedelta(hours=1), ward="icu-1")
    return result


def beds(display: Connection) -> dict[str, dict[str, Cell]]:
    """The rows of the table in their order, by bed."""
    return {row["Bed"].text: row for row in table(panel_of("ward", BEDS), asked(display, BEDS))}


def test_missing_values_are_dashes_without_a_colour(display: Connection) -> None:
    store_bed(display, "silent", 600, on_oxygen=None, consciousness=None)
    row = beds(display)["silent"]
    for column in ("HR /min", "SpO2 %", "RR /min", "NEWS2", "Worst part", "On", "ACVPU", "Alert", "What", "For"):
        assert row[column] == Cell("–"), column
    assert row["State"] == Cell("SILENT", "purple")
    result = asked(display, BEDS)
    nothing = changed(result, 0, **dict.fromkeys(name for name, _ in result.columns if name != "Bed"))
    shown = table(panel_of("ward", BEDS), nothing)[0]
    assert {cell for name, cell in shown.items() if name != "Bed"} == {Cell("–")}


def test_an_alert_has_the_colour_of_its_priority_and_a_bed_without_one_has_none(display: Connection) -> None:
    store_bed(display, "well")
    for badge, colour, priority, kind in (
        ("!!! high", "red", "high", "physiological"),
        ("!! medium", "yellow", "medium", "physiological"),
        ("! low", "light-blue", "low", "physiological"),
        ("[!!!] high", "purple", "high", "technical"),
        ("[!!] medium", "purple", "medium", "technical"),
        ("[!] low", "semi-dark-purple", "low", "technical"),
    ):
        store_bed(display, badge)
        store_alert(display, badge, "rule", "Text", priority=priority, kind=kind)
        assert beds(display)[badge]["Alert"] == Cell(badge, colour)
    assert beds(display)["well"]["Alert"] == Cell("–")


def test_counts_are_coloured_from_one_on_and_an_empty_database_is_calm(display: Connection) -> None:
    nothing = {"!!! high": Cell("0"), "!! medium": Cell("0"), "! low": Cell("0"), "[!] equipment": Cell("0")}
    assert tiles(panel_of("ward", "Open alerts"), asked(display, "Open alerts")) == nothing
    states = tiles(panel_of("ward", "Beds"), asked(display, "Beds"))
    assert set(states.values()) == {Cell("0")}
    assert beds(display) == {}
    store_bed(display, "bed-1", spo2=85)
    store_alert(display, "bed-1", "spo2-low", "Oxygen saturation low")
    assert tiles(panel_of("ward", "Open alerts"), asked(display, "Open alerts"))["!!! high"] == Cell("1", "red")
    assert tiles(panel_of("ward", "Beds"), asked(display, "Beds")) == states | {
        "Beds": Cell("1"),
        "Critical": Cell("1", "red"),
    }


def test_a_state_is_empty_when_normal_and_an_age_is_in_whole_units(display: Connection) -> None:
    store_bed(display, "well", 0.672)
    assert beds(display)["well"]["State"] == Cell("")
    assert beds(display)["well"]["Last reading"] == Cell("1 s")
    result = asked(display, BEDS)
    ages = [(59.9, "59 s"), (89, "1 min"), (3599, "59 mins"), (5400, "1 hour"), (86399, "23 hours"), (950400, "1 week")]
    for seconds, text in ages:
        ((age,),) = display.execute("SELECT whole_age(%s)", [seconds]).fetchall()
        cell = table(panel_of("ward", BEDS), changed(result, 0, **{"Last reading": age}))[0]["Last reading"]
        assert cell == Cell(text, "#8e8e8e" if seconds > 60 else ""), seconds


def test_an_alert_shows_its_state_for_how_long_and_the_present_value(display: Connection) -> None:
    store_bed(display, "bed-1", resp_rate=0)
    rest: Any = {"age_s": 672, "sign": "resp_rate", "value": 8.04, "state": "acknowledged"}
    store_alert(display, "bed-1", "resp-rate-low", "Breathing slow: 8 /min, limit below 9", **rest)
    row = beds(display)["bed-1"]
    assert row["What"].text == "Breathing slow: 8 /min, limit below 9, now 0 (acknowledged)"
    assert row["For"].text == "11 mins"
    assert row["RR /min"] == Cell("0", "red")
    store_bed(display, "bed-2", resp_rate=8)
    store_alert(display, "bed-2", "resp-rate-low", "Breathing slow: 8 /min, limit below 9", sign="resp_rate", value=8)
    assert beds(display)["bed-2"]["What"].text == "Breathing slow: 8 /min, limit below 9"
    store_bed(display, "bed-3", 300, resp_rate=0)
    store_alert(display, "bed-3", "resp-rate-low", "Breathing slow: 8 /min, limit below 9", **rest)
    assert ", now" not in beds(display)["bed-3"]["What"].text, "an old value is not the present one"
    store_bed(display, "bed-4", resp_rate=16, patient="p-0002")
    store_alert(display, "bed-4", "resp-rate-low", "Breathing slow: 8 /min, limit below 9", sign="resp_rate", value=8)
    assert ", now" not in beds(display)["bed-4"]["What"].text, "nor is that of the next patient"


def test_a_critical_bed_comes_before_an_alert_whose_condition_has_ended(display: Connection) -> None:
    for device in ("latched", "medium", "well", "medium-latched"):
        store_bed(display, device)
    store_alert(display, "latched", "heart-rate-low", "Heart rate low", state="latched")
    store_alert(display, "medium", "news2", "NEWS2: 6", priority="medium")
    store_alert(display, "medium-latched", "news2", "NEWS2: 6", priority="medium", state="latched")
    store_bed(display, "critical", spo2=85)
    store_bed(display, "high", spo2=85)
    store_alert(display, "high", "spo2-low", "Oxygen saturation low")
    store_alert(display, "high", "heart-rate-low", "Heart rate low", state="latched")
    assert list(beds(display)) == ["high", "critical", "latched", "medium", "medium-latched", "well"]
    assert beds(display)["high"]["What"].text == "Oxygen saturation low", "not the alert whose condition has ended"


def shown_as(display: Connection, column: str, value: object) -> Cell:
    return table(panel_of("ward", BEDS), changed(asked(display, BEDS), 0, **{column: value}))[0][column]


def test_a_value_has_the_colour_of_the_highest_level_of_the_default_rules_that_it_exceeds(display: Connection) -> None:
    store_bed(display, "bed-1")
    colours = {None: "", "medium": "yellow", "high": "red"}
    columns = {"heart_rate": SIGNS[0], "spo2": SIGNS[1], "resp_rate": SIGNS[2], "systolic_bp": SIGNS[3]}
    columns |= {"temperature": SIGNS[5], "news2": "NEWS2"}
    rules = [rule for rule in tomllib.loads(DEFAULT.read_text())["rule"] if rule["sign"] in columns]
    checked = 0
    for sign, column in columns.items():
        levels = [
            level | {"rule": rule} for rule in rules if rule["sign"] == sign for level in rule.get("level", [rule])
        ]
        limits = [(level[side], side, level.get("priority")) for level in levels for side in SIDES if side in level]
        step = 1 if sign == "news2" else 0.1
        for limit, _, _ in limits:
            for value in (limit - step, limit, limit + step):
                exceeded = [p for bound, side, p in limits if (value > bound if side == "above" else value < bound)]
                wanted = "high" if "high" in exceeded else "medium" if exceeded else None
                assert shown_as(display, column, value).background == colours[wanted], (column, value)
                checked += 1
    assert checked >= 50


@pytest.mark.parametrize(
    ("column", "value", "text", "colour"),
    [
        ("HR /min", 0, "0", "red"),
        ("SpO2 %", 0, "0", "red"),
        ("RR /min", 0, "0", "red"),
        ("Sys mmHg", 0, "0", "red"),
        ("Dia mmHg", 0, "0", ""),
        ("Temp °C", 0, "0.0", "yellow"),
        ("Temp °C", 36.65, "36.7", ""),
        ("NEWS2", 0, "0", ""),
        ("Worst part", 2, "2", ""),
        ("Worst part", 3, "3", "yellow"),
        ("ACVPU", "A", "A", ""),
        ("ACVPU", "C", "C", "red"),
        ("ACVPU", "V", "V", "red"),
        ("ACVPU", "P", "P", "red"),
        ("ACVPU", "U", "U", "red"),
        ("State", "SENSOR OFF", "SENSOR OFF", "semi-dark-purple"),
        ("State", "OFFLINE", "OFFLINE", "#8e8e8e"),
        ("State", "WAITING", "WAITING", "#8e8e8e"),
        ("State", "VACANT", "VACANT", ""),
    ],
)
def test_zeros_parts_and_states(display: Connection, column: str, value: object, text: str, colour: str) -> None:
    store_bed(display, "bed-1")
    assert shown_as(display, column, value) == Cell(text, colour)


def test_120_beds_are_rows_with_texts_that_fit(display: Connection) -> None:
    """On a laptop of 1366 pixels the table has 1316, and what is left of them is for the text of the alert."""
    for number in range(120):
        device, age_s = f"icu-1-bed-{number:02}", 700 if number % 2 else 0.7
        store_bed(display, device, age_s, patient=f"p-{number:04}", spo2=85 if number % 3 else 97)
        store_alert(display, device, "spo2-low", "Oxygen saturation low", 80_000, kind="technical", priority="medium")
    panel, result = panel_of("ward", BEDS), asked(display, BEDS)
    longest = {"State": "SENSOR OFF", "NEWS2": 20, "HR /min": 188.0, "SpO2 %": 100, "Sys mmHg": 222.0, "On": "oxygen"}
    shown = table(panel, changed(result, 0, **longest))
    assert len(shown) == 120
    assert cut(panel, shown) == []
    assert sum(widths(panel).values()) <= 1316 - 180
