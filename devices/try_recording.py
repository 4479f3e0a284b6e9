"""Show what would become of a recording, without sending anything."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from vitals.recording import Recording, Row
from vitals.signs import BY_KEY

_SHOWN_ROWS = 5


def show_json(recording: Recording) -> Iterator[str]:
    """Yield the lines of one JSON object; its readings are as many as those of the file."""
    summary = recording.summary()
    head = {
        **_describe(recording),
        "counts": {"readings": summary.readings, "rows_without_value": summary.empty_rows, **summary.omitted},
        "duration_s": summary.duration_s,
    }
    yield json.dumps(head, indent=2)[:-2] + ',\n  "readings": ['
    last = ""
    for row in recording.rows():
        if row.sample is not None:
            if last:
                yield f"{last},"
            last = f"    {json.dumps(_show(row))}"
    yield last
    yield "  ]\n}"


def show_text(recording: Recording) -> Iterator[str]:
    """Yield lines for a person, with the first readings."""
    summary = recording.summary()
    shown = _describe(recording)
    yield f"{recording.path}: read as {shown['format']}, because the file {shown['because']}"
    for key, columns in shown["columns"].items():
        yield f"  {key}: {', then '.join(f'''{item['column']!r} in {item['unit']}''' for item in columns)}"
    if shown["unused_columns"]:
        yield f"  not read: {', '.join(shown['unused_columns'])}"
    yield f"  {summary.readings} readings in {summary.duration_s:g} s, {summary.empty_rows} rows without a value"
    for reason, number in summary.omitted.items():
        yield f"  {number} {reason}"
    for row in islice((row for row in recording.rows() if row.sample is not None), _SHOWN_ROWS):
        yield f"  line {row.line}, at {row.elapsed_s:g} s: {json.dumps(_show(row)['reading'])}"


def _describe(recording: Recording) -> dict[str, Any]:
    return {
        "file": str(recording.path),
        "format": recording.layout.format.value,
        "because": recording.reason,
        "columns": {
            key: [{"column": name, "unit": unit} for name, unit in columns]
            for key, columns in recording.columns.items()
        },
        "unused_columns": list(recording.unused_columns),
    }


def _show(row: Row) -> dict[str, Any]:
    """Return a reading with its line and time, and apart the values that ingest drops."""
    assert row.sample is not None
    values: dict[str, float] = {}
    implausible: dict[str, float] = {}
    for key, value in row.sample.values.items():
        (values if BY_KEY[key].low <= value <= BY_KEY[key].high else implausible)[key] = value
    reading: dict[str, Any] = {"time": row.time.isoformat()} if row.time else {}
    reading |= values | ({"sensor_off": list(row.sample.sensor_off)} if row.sample.sensor_off else {})
    shown: dict[str, Any] = {"line": row.line, "elapsed_s": row.elapsed_s, "reading": reading}
    return {**shown, "implausible": implausible} if implausible else shown
