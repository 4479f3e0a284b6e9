"""What the nurse in charge reads and sees on the dashboard Ward, by Grafana's own code."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from grafana.result_checks import QueryResult
from stack.servers import DatabaseServer
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import Cell, answers, changed, panel_of, table, tiles
from tests.support.servers import Db, copy_of_template

BEDS = "Beds, most urgent first"
SIGNS = ("HR", "SpO2", "RR", "Sys", "Dia", "Temp")


@pytest.fixture(scope="module")
def empty(database: DatabaseServer) -> Db:
    """A migrated database without rows."""
    return copy_of_template(database, "ward_display")


@pytest.fixture
def ward(empty: Db) -> Iterator[Connection]:
    """A transaction in it, which no test commits."""
    with psycopg.connect(empty.owner_url) as connection:
        yield connection
        connection.rollback()


def asked(ward: Connection, title: str) -> QueryResult:
    (result,) = answers(ward, "ward", title, now_of(ward), timedelta(hours=1), ward="icu-1")
    return result


def beds(ward: Connection) -> dict[str, dict[str, Cell]]:
    """The rows of the table in their order, by bed."""
    return {row["Bed"].text: row for row in table(panel_of("ward", BEDS), asked(ward, BEDS))}


def test_missing_values_are_dashes_without_a_colour(ward: Connection) -> None:
    store_bed(ward, "silent", 600, on_oxygen=None, consciousness=None)
    row = beds(ward)["silent"]
    for column in ("HR", "SpO2", "RR", "NEWS2", "Worst part", "On", "ACVPU", "Alert", "What"):
        assert row[column] == Cell("–"), column
    assert row["State"] == Cell("SILENT", "purple")
    empty_cells = changed(asked(ward, BEDS), 0, **dict.fromkeys(["Alert", "State", "Last_reading", *SIGNS]))
    shown = table(panel_of("ward", BEDS), empty_cells)[0]
    assert {shown[column] for column in ("Alert", "State", "Last reading", *SIGNS)} == {Cell("–")}


def test_an_alert_has_the_colour_of_its_priority_and_a_bed_without_one_has_none(ward: Connection) -> None:
    store_bed(ward, "well")
    for badge, colour, priority, kind in (
        ("!!! high", "red", "high", "physiological"),
        ("!! medium", "yellow", "medium", "physiological"),
        ("! low", "light-blue", "low", "physiological"),
        ("[!!!] high", "purple", "high", "technical"),
        ("[!!] medium", "purple", "medium", "technical"),
        ("[!] low", "semi-dark-purple", "low", "technical"),
    ):
        store_bed(ward, badge)
        store_alert(ward, badge, "rule", "Text", priority=priority, kind=kind)
        assert beds(ward)[badge]["Alert"] == Cell(badge, colour)
    assert beds(ward)["well"]["Alert"] == Cell("–")


def test_counts_are_coloured_from_one_on_and_an_empty_database_is_calm(ward: Connection) -> None:
    nothing = {"!!! high": Cell("0"), "!! medium": Cell("0"), "! low": Cell("0"), "[!] equipment": Cell("0")}
    assert tiles(panel_of("ward", "Open alerts"), asked(ward, "Open alerts")) == nothing
    states = tiles(panel_of("ward", "Beds"), asked(ward, "Beds"))
    assert set(states.values()) == {Cell("0")}
    assert beds(ward) == {}
    store_bed(ward, "bed-1", spo2=85)
    store_alert(ward, "bed-1", "spo2-low", "Oxygen saturation low")
    assert tiles(panel_of("ward", "Open alerts"), asked(ward, "Open alerts"))["!!! high"] == Cell("1", "red")
    assert tiles(panel_of("ward", "Beds"), asked(ward, "Beds")) == states | {
        "Beds": Cell("1"),
        "Critical": Cell("1", "red"),
    }
