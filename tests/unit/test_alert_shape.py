"""`vitals.alert.Alert` is the one shape of an alert: the table, the API and the page carry its fields."""

import re

import msgspec

from ingest.store import STATEMENTS
from station import api_models
from station.frame import AlertView
from vitals.alert import Alert

FIELDS = {field.name for field in msgspec.structs.fields(Alert)}
# Constant for a rule or a sign, or only needed by the alert worker.
NOT_STORED = {"loinc", "mdc", "parts", "reading_at", "active_since", "reminders", "attention", "acknowledged_at"}
# The page's short names; the others are the fields' own.
PAGE_NAMES = {
    "id": "alert_id",
    "device": "device_id",
    "patient": "patient_id",
    "raised": "raised_at",
    "changed": "changed_at",
    "paused_until": "audio_paused_until",
    "unanswered_since": "active_since",
    "worst_at": "worst_value_at",
}
DERIVED = {"key", "name", "stale"}


def test_the_table_has_a_column_for_every_field_that_is_stored() -> None:
    columns, values = re.findall(r"\(\s*(\w[^()]*?)\s*\) SELECT(.*?)WHERE", STATEMENTS["alert_event"], re.DOTALL)[0]
    names = [name.strip().strip('"') for name in columns.split(",")]
    assert names == re.findall(r"%\((\w+)\)s", values)
    assert set(names) == FIELDS - NOT_STORED | {"received_at"}


def test_the_api_and_the_page_show_fields_of_an_alert() -> None:
    assert set(api_models.Alert.model_fields) - {"device", "stale"} <= FIELDS
    assert {PAGE_NAMES.get(name, name) for name in AlertView.__struct_fields__} - DERIVED <= FIELDS
