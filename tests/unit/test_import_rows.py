"""Rows of a recording as lines for the database, and what `vitalflow import` prints about them."""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

import ingest.importing.rows as rows_module
from ingest.batch_builder import COLUMNS
from ingest.importing.report import Progress, describe, estimated_lines, format_seconds
from ingest.importing.rows import RowConverter
from ingest.importing.store import Stored
from vitals.errors import PermanentError
from vitals.recording import Recording, Row
from vitals.sample import Sample
from vitals.topics import DeviceAddress

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OLD = datetime(2020, 2, 1, tzinfo=UTC)
BED = DeviceAddress("icu-1", "bed-1")


def rows(key: str, values: Iterable[float], times: Iterable[datetime | None] | None = None) -> Iterator[Row]:
    moments = iter(times) if times is not None else (OLD + timedelta(minutes=n) for n in range(1_000_000))
    for number, value in enumerate(values):
        yield Row(60.0 * number, Sample({key: value}), next(moments), number + 2)


def converter(start: datetime | None = None) -> RowConverter:
    return RowConverter("stay.csv", BED, lambda: "p-1", start, NOW)


def fields(line: str) -> dict[str, str]:
    return dict(zip(COLUMNS, line.rstrip("\n").split("\t"), strict=True))


def test_a_line_has_the_original_time_and_a_number_made_of_the_content() -> None:
    (batch,) = converter().batches(rows("heart_rate", [80, 80, 81], [OLD, OLD, OLD]))
    first, same, other = map(fields, batch)
    place = first["device_id"], first["ward"], first["patient_id"]
    assert (*place, first["time"], first["boot"]) == ("bed-1", "icu-1", "p-1", "2020-02-01T00:00:00Z", "0")
    assert int(first["seq"]) < 0
    assert first == same
    assert first["seq"] != other["seq"]


def test_the_start_moves_all_times_by_the_same_interval() -> None:
    start = datetime(2021, 5, 1, tzinfo=UTC)
    found = [line for batch in converter(start).batches(rows("spo2", [97, 96], [None, None])) for line in batch]
    assert [fields(line)["time"] for line in found] == ["2021-05-01T00:00:00Z", "2021-05-01T00:01:00Z"]
    with pytest.raises(PermanentError, match="--start"):
        list(converter().batches(rows("spo2", [97], [None])))


def test_an_implausible_value_is_left_out_and_its_reading_kept() -> None:
    made = converter()
    (batch,) = made.batches(rows("heart_rate", [80, 400, 401]))
    assert len(batch) == made.counts.rows == 3
    assert (made.counts.left_out["heart_rate"].number, made.counts.left_out["heart_rate"].first) == (
        2,
        "line 3, 400 /min",
    )


def test_young_and_future_readings_are_rejected_by_reason() -> None:
    times = [NOW - timedelta(hours=25), NOW - timedelta(hours=23), NOW + timedelta(days=1), NOW + timedelta(days=2)]
    made = converter()
    (batch,) = made.batches(rows("heart_rate", [80, 81, 82, 83], times))
    assert len(batch) == 1
    assert {reason: (count.number, count.first) for reason, count in made.counts.rejected.items()} == {
        "of the last 24 hours": (1, "line 3, 2026-11-28T13:00:00+00:00"),
        "later than now": (2, "line 4, 2026-11-30T12:00:00+00:00"),
    }


@pytest.mark.parametrize(
    ("key", "value", "plausible"), [("spo2", 0.97, 97), ("diastolic_bp", 9, 70), ("temperature", 98.6, 37)]
)
def test_no_batch_leaves_while_all_values_look_like_another_unit(
    key: str, value: float, plausible: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 10)
    monkeypatch.setattr(rows_module, "MAX_HELD_ROWS", 40)
    taken = iter(converter().batches(rows(key, [value] * 35)))
    with pytest.raises(PermanentError, match="looks like"):
        next(taken)
    batches = [len(batch) for batch in converter().batches(rows(key, [value] * 25 + [plausible] * 10))]
    assert batches == [26, 9]


def test_the_time_left_is_estimated_from_the_first_lines(tmp_path: Path) -> None:
    file = tmp_path / "stay.csv"
    file.write_text("time,HR\n" + "2020-02-01T00:00:00Z,80\n" * 20_000)
    assert estimated_lines(file) == pytest.approx(20_001, rel=0.01)
    out = io.StringIO()
    progress = Progress(file, 100.0, out)
    progress.show(10, 105.0)  # too early
    progress.show(10_000, 120.0)
    assert out.getvalue() == "stay.csv: 10,000 rows, 500 rows/s, about 20 s left\n"
    (tmp_path / "binary").write_bytes(b"\0\n\0")
    assert estimated_lines(tmp_path / "binary") is None
    assert [format_seconds(seconds) for seconds in (5, 600, 7_800)] == ["5 s", "10 min", "2 h 10 min"]


def test_the_result_names_whatever_is_not_stored(tmp_path: Path) -> None:
    file = tmp_path / "stay.csv"
    file.write_text("time,HR,pump\n2020-02-01T00:00:00Z,80,\n2020-02-01T00:01:00Z,999,\n2020-02-01T00:02:00Z,,x\n")
    recording, made = Recording(file), converter()
    list(made.batches(recording.rows()))
    stored = Stored(1, 1)
    stored.add(Stored(0, 0, 2, OLD, OLD + timedelta(hours=1)))
    assert list(describe(recording, BED, made.counts, stored)) == [
        "stay.csv: 2 readings of icu-1/bed-1 from 2020-02-01 00:00Z to 2020-02-01 00:01Z: 1 new, 1 stored before",
        "  read as csv, because the file has the columns time, HR",
        "  rejected: 2 from 2020-02-01 00:00Z to 2020-02-01 01:00Z, days on which bed-1 sent readings itself, of which "
        "only the averages are kept; import them as another --device",
        "  left out: 1 implausible value of heart_rate (first: line 3, 999 /min)",
        "  skipped: 1 row without a value",
        "  not read: the columns pump",
    ]


def test_the_patient_is_the_given_one_or_the_one_that_the_file_names(tmp_path: Path) -> None:
    file = tmp_path / "stay.csv"
    file.write_text("time,HR,patient_id\n2020-02-01T00:00:00Z,80,4711\n2020-02-01T00:01:00Z,81,4711\n")
    recording = Recording(file)
    made = RowConverter("stay.csv", BED, lambda: recording.patient, None, NOW)
    (batch,) = made.batches(recording.rows())
    assert [fields(line)["patient_id"] for line in batch] == ["4711", "4711"]
    for wrong in ("", " ", "a\tb", "x" * 201):
        with pytest.raises(PermanentError, match="no valid number"):
            list(RowConverter("stay.csv", BED, partial(str, wrong), None, NOW).batches(recording.rows()))
