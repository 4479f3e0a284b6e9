"""The alerts of a review as CSV, and the place in the list as a text."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from station.alert_review import csv_header, csv_lines, read_cursor, write_cursor
from station.api_models import PastAlert

RAISED = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
ID = "6d1f7a52-3c0e-5b8e-9a57-0d6f3f2f7c11"


def past(**fields: Any) -> PastAlert:
    none: dict[str, Any] = dict.fromkeys(PastAlert.model_fields)
    known: dict[str, Any] = {
        "alert_id": ID, "rule": "spo2-low", "kind": "physiological", "ward": "icu-1", "device": "bed-1",
        "state": "cleared", "priority": "high", "text": "Oxygen saturation low", "raised_at": RAISED, "duration_s": 60,
    }  # fmt: skip
    return PastAlert(**none | known | fields)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize(
    "hostile",
    ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1", "a;=1+1", "a,@x", "a\n=1", 'a";=1'],
)
def test_no_cell_is_a_formula_whatever_the_separator_of_the_spreadsheet(hostile: str) -> None:
    text = csv_header() + csv_lines([past(patient_id=hostile, acknowledged_by=hostile, text=hostile, ward=hostile)])
    (row,) = rows(text)
    for value in (row["patient_id"], row["acknowledged_by"], row["text"], row["ward"]):
        assert value.replace("'", "") == hostile, "nothing else is changed"
        for separator in (",", ";", "\t", "\n"):
            for cell in value.split(separator):
                assert cell.strip()[:1] not in set("=+-@＝＋－＠") | {"\t", "\r"} or cell == "", (value, separator)


def test_values_times_and_names_are_as_stored() -> None:
    alert = past(worst_value=-1.5, worst_value_at=RAISED + timedelta(seconds=1), patient_id='Zoë "Z", 7', limit=90.0)
    (row,) = rows(csv_header() + csv_lines([alert]))
    assert row["worst_value"] == "-1.5"
    assert row["raised_at"] == "2026-11-22T10:00:00.123456Z"
    assert (row["patient_id"], row["limit"], row["cleared_at"]) == ('Zoë "Z", 7', "90.0", "")
    assert csv_header().startswith("\ufeff")


def test_a_cursor_is_read_as_it_was_written_and_no_other_text_is() -> None:
    abroad = RAISED.astimezone(timezone(timedelta(hours=2)))
    assert read_cursor(write_cursor(past(raised_at=abroad))) == (RAISED, UUID(ID))
    for text in ("", "x", f"2026-11-22T10:00:00_{ID}", "2026-11-22T10:00:00Z_x", f"_{ID}"):
        with pytest.raises(ValueError, match=r"."):
            read_cursor(text)
