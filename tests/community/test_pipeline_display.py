"""What the operator reads and sees on the dashboard Pipeline, by Grafana's own code."""

from datetime import timedelta
from typing import Any

import pytest

from grafana.palette import MEANING
from grafana.result_checks import QueryResult
from tests.fixtures.week import as_reader, filled_to
from tests.support.bed_rows import Connection, now_of, store_alert, store_bed
from tests.support.grafana_display import Cell, answers, changed, cut, panel_of, panel_width, series, table, tiles
from tests.support.servers import Db
from vitals.codec import Reason

HOUR = timedelta(hours=1)
DEVICES, REASONS, NEWEST = (
    "Devices: last reading and missing readings",
    "Rejected messages by reason",
    "Newest rejected messages",
)
TABLES = (NEWEST, DEVICES, "Storage", "Rollups", "Database jobs")
PRIORITIES = {colour for colour, meaning in MEANING.items() if "priority" in meaning}


def asked(connection: Connection, title: str) -> QueryResult:
    (result,) = answers(connection, "pipeline", title, now_of(connection), HOUR)
    return result


def reject(connection: Connection, reason: str, topic: str = "vitalflow/vitals/icu-1/bed-1") -> None:
    connection.execute(
        "INSERT INTO rejected_message (topic, reason, detail, payload, payload_size, received_at)"
        " VALUES (%s, %s, 'the message is not JSON: line 1, column 13', '', 0, now() - interval '1 min')",
        [topic, str(reason)],
    )


def test_an_empty_database_gives_a_calm_page(display: Connection) -> None:
    assert tiles(panel_of("pipeline", "Now"), asked(display, "Now")) == {
        "Last reading": Cell("–"),
        "Devices online": Cell("0"),
        "Silent or offline": Cell("0"),
        "Rejected": Cell("0"),
        "Late": Cell("0"),
        "Failed": Cell("0"),
    }
    assert tiles(panel_of("pipeline", "Broker"), asked(display, "Broker")) == {
        "State": Cell("none lost"),
        "Dropped": Cell("0"),
    }
    for title in TABLES:
        rows = table(panel_of("pipeline", title), asked(display, title))
        assert {cell.background for row in rows for cell in row.values()} <= {""}, title


@pytest.mark.parametrize("title", TABLES)
def test_tables_fit_1366_pixels_and_missing_values_are_dashes_without_a_colour(week: Db, title: str) -> None:
    panel = panel_of("pipeline", title)
    assert panel_width(panel) <= 1366
    with as_reader(week) as connection:
        (result,) = answers(connection, "pipeline", title, filled_to(connection), 24 * HOUR)
    assert result.rows
    assert cut(panel, table(panel, result)) == []
    nothing = table(panel, changed(result, 0, **dict.fromkeys(name for name, _ in result.columns)))[0]
    assert {(cell.text, cell.background) for cell in nothing.values()} == {("–", "")}


def test_the_apache_edition_says_what_it_does_not_have(week: Db) -> None:
    community = week.one("SELECT community FROM vitalflow_edition")
    with as_reader(week) as connection:
        for title, column in (("Storage", "Table"), ("Rollups", "Rollup"), ("Database jobs", "Job")):
            (result,) = answers(connection, "pipeline", title, filled_to(connection), HOUR)
            notes = [r[column] for r in table(panel_of("pipeline", title), result) if "Apache" in r[column].text]
            assert len(notes) == (0 if community else 1), title


def test_rejection_reasons_differ_in_colour_and_none_is_a_priority(display: Connection) -> None:
    for reason in Reason:
        reject(display, reason)
    shown = series(panel_of("pipeline", REASONS), asked(display, REASONS))
    assert set(shown) == set(Reason)
    colours = {each.colour for each in shown.values()}
    assert not colours & {*PRIORITIES, "green"}
    assert len(colours) >= 8
    assert {each.legend["sum"] for each in shown.values()} == {"1"}


def test_the_state_of_equipment_never_has_the_colour_of_a_patients_alert(display: Connection) -> None:
    now = asked(display, "Now")
    for values, colour in (((0.4, 0, 0), ""), ((20, 1, 1), "semi-dark-purple"), ((61, 3, 1), "purple")):
        changes: Any = dict(zip(("Last reading", "Rejected", "Failed"), values, strict=True))
        found = tiles(panel_of("pipeline", "Now"), changed(now, 0, **changes))
        assert found["Last reading"].background == colour
        assert not {tile.background for tile in found.values()} & PRIORITIES
    broker = asked(display, "Broker")
    for state, colour in (
        ("dropping", "purple"),
        ("ended, not acknowledged", "semi-dark-purple"),
        ("acknowledged", ""),
        ("none lost", ""),
        ("not known", "#8e8e8e"),
    ):
        assert tiles(panel_of("pipeline", "Broker"), changed(broker, 0, State=state))["State"] == Cell(state, colour)
    store_alert(display, "broker", "broker-dropping", "Drops", ward="stack", kind="technical", value=17)
    assert tiles(panel_of("pipeline", "Broker"), asked(display, "Broker")) == {
        "State": Cell("dropping", "purple"),
        "Dropped": Cell("17", "semi-dark-purple"),
    }


def test_a_devices_row_is_neutral_while_all_is_well_and_ages_are_whole(display: Connection) -> None:
    store_bed(display, "bed-1", 0.672)
    store_bed(display, "bed-2", 672)
    rows = {row["Bed"].text: row for row in table(panel_of("pipeline", DEVICES), asked(display, DEVICES))}
    assert (rows["bed-1"]["State"], rows["bed-1"]["Last message"]) == (Cell(""), Cell("1 s"))
    assert (rows["bed-2"]["State"], rows["bed-2"]["Last message"]) == (
        Cell("SILENT", "purple"),
        Cell("11 mins", "#8e8e8e"),
    )
    result = asked(display, DEVICES)
    shown = [
        table(panel_of("pipeline", DEVICES), changed(result, 0, Complete=share))[0]["Complete"]
        for share in (None, 0.0, 0.96, 1.0)
    ]
    assert [(cell.text, cell.colour) for cell in shown] == [
        ("–", ""),
        ("0.00%", "purple"),
        ("96.00%", "semi-dark-purple"),
        ("100.00%", "green"),
    ]


def test_storage_and_jobs_fold(display: Connection) -> None:
    del display
    for title in ("Storage and rollups", "Jobs"):
        assert panel_of("pipeline", title)["collapsed"]
