"""What the doctor reads and sees on the dashboard Patient, by Grafana's own code."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from grafana.result_checks import QueryResult
from stack.servers import DatabaseServer
from tests.support.bed_rows import Connection, now_of, store_bed
from tests.support.grafana_display import Cell, answers, panel_of, tiles
from tests.support.servers import Db, copy_of_template


@pytest.fixture(scope="module")
def empty(database: DatabaseServer) -> Db:
    """A migrated database without rows."""
    return copy_of_template(database, "patient_display")


@pytest.fixture
def bed(empty: Db) -> Iterator[Connection]:
    """A transaction in it, which no test commits. Its bed is bed-1."""
    with psycopg.connect(empty.owner_url) as connection:
        yield connection
        connection.rollback()


def asked(bed: Connection, title: str, device: str = "bed-1") -> QueryResult:
    (result,) = answers(bed, "patient", title, now_of(bed), timedelta(minutes=15), device=device, ward=("icu-1",))
    return result


def now_tiles(bed: Connection, device: str = "bed-1") -> dict[str, Cell]:
    return tiles(panel_of("patient", "Now"), asked(bed, "Now", device))


def test_missing_values_and_an_unknown_bed_have_no_colour(bed: Connection) -> None:
    store_bed(bed, "bed-1", 600)
    shown = now_tiles(bed)
    for name in ("Heart rate", "SpO2", "Breathing", "NEWS2"):
        assert shown[name] == Cell("–"), name
    assert {cell.background for cell in now_tiles(bed, "no-such-bed").values()} == {""}
    store_bed(bed, "bed-2", heart_rate=None, spo2=None, resp_rate=None, systolic_bp=None, temperature=None)
    assert {
        now_tiles(bed, "bed-2")[name] for name in ("Heart rate", "SpO2", "Breathing", "Systolic", "Temperature")
    } == {Cell("–")}
