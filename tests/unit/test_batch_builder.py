"""BatchBuilder: messages become rows of the open batch. No socket, no database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Batch, ReadingRow, RejectedRow, RepublishedRow
from ingest.batch_builder import COLUMNS, MAX_CACHED_TOPICS, BatchBuilder, copy_line
from vitals.codec import MAX_PAYLOAD, Problem, Reason, encode, encode_many
from vitals.reading import Reading, reading
from vitals.rules import Republished, RuleSet, encode_rules
from vitals.topics import DeviceAddress, Topics

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def new_builder() -> BatchBuilder:
    builder = BatchBuilder(Topics(), timedelta(days=30))
    builder.set_time(NOW, 0.0)
    return builder


def fields_of(sample: Reading, arrival: datetime) -> dict[str, str]:
    fields = copy_line(sample, DeviceAddress("icu-1", "bed-1"), arrival).rstrip("\n").split("\t")
    return dict(zip(COLUMNS, fields, strict=True))


@pytest.mark.parametrize(
    ("lag", "milliseconds"),
    [
        (timedelta(), "0"),
        (timedelta(microseconds=1), "1"),
        (timedelta(milliseconds=250), "250"),
        (timedelta(microseconds=250_001), "251"),
        (timedelta(days=60), "5184000000"),  # beyond a 4-byte integer: an outbox of two months
        (timedelta(seconds=-90), "-90000"),  # the clock is ahead
        (timedelta(microseconds=-1_500), "-1"),
    ],
)
def test_the_arrival_lag_is_in_milliseconds_rounded_up(lag: timedelta, milliseconds: str) -> None:
    assert fields_of(reading(NOW, {"spo2": 97.0}), NOW + lag)["arrival_lag_ms"] == milliseconds


def test_a_line_has_a_field_for_every_column_and_zero_is_a_value() -> None:
    sample = reading(NOW, {"heart_rate": 0.0, "spo2": 89.5}, boot=3, seq=4, on_oxygen=False, sensor_off=("resp_rate",))
    row = fields_of(sample, NOW + timedelta(seconds=1))
    assert row["device_id"] == "bed-1"
    assert row["time"] == "2026-11-22T10:00:00Z"
    assert (row["boot"], row["seq"], row["patient_id"], row["on_oxygen"]) == ("3", "4", "\\N", "false")
    assert (row["heart_rate"], row["spo2"], row["resp_rate"]) == ("0.0", "89.5", "\\N")
    assert (row["sensor_off"], row["status"]) == ("{resp_rate}", "CRITICAL")


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=50))
def test_printable_text_stays_within_its_field(text: str) -> None:
    sample = reading(NOW, {"spo2": 97.0}, patient_id=text)
    line = copy_line(sample, DeviceAddress("w", "d"), NOW)
    assert line.count("\n") == 1
    assert line.count("\t") == len(COLUMNS) - 1
    assert line.split("\t")[COLUMNS.index("patient_id")].replace("\\\\", "\\") == text


def test_a_batch_counts_messages_and_collects_the_ids_to_acknowledge() -> None:
    builder = new_builder()
    backlog = encode_many([reading(NOW, {"spo2": 97.0}, seq=i + 1) for i in range(3)])
    builder.add(b"vitalflow/vitals/icu-1/bed-1", backlog, 7, False)
    builder.add(b"vitalflow/vitals/icu-1/bed-1", b"rubbish", 8, False)
    builder.add(b"vitalflow/status/icu-1/bed-1", b'{"state":"online","boot":5,"interval_s":1}', 9, True)
    builder.add(b"vitalflow/vitals/icu-1/bed-1", encode(reading(NOW, {"spo2": 97.0})), 0, False)  # QoS 0
    batch = builder.take_batch()
    assert (batch.messages, batch.message_ids) == (4, [7, 8, 9])
    assert (len(batch.readings), len(batch.rejected), len(batch.statuses)) == (4, 1, 1)
    assert batch.statuses[0].retained
    assert builder.batch == Batch(opened_at=0.0)


def test_the_topic_cache_is_bounded() -> None:
    builder = new_builder()
    good = encode(reading(NOW, {"spo2": 97.0}))
    for i in range(MAX_CACHED_TOPICS + 10):
        builder.add(b"vitalflow/vitals/w/%d" % i, good, 1, False)
    assert len(builder._parsed_topics) <= MAX_CACHED_TOPICS
    assert len(builder.batch.readings) == MAX_CACHED_TOPICS + 10


def test_a_rejected_message_is_truncated_at_64_kib_and_contains_no_nul() -> None:
    row = RejectedRow.from_problem(NOW, "a\0b", b"x" * (MAX_PAYLOAD + 1), Problem(Reason.TOO_LARGE, "c\0d"))
    assert len(row.stored_payload) == MAX_PAYLOAD
    assert len(row.payload) == MAX_PAYLOAD + 1
    assert (row.topic, row.detail) == ("a\u2400b", "c\u2400d")


def test_the_rules_of_an_alert_worker_say_that_it_has_published_its_alerts() -> None:
    builder = new_builder()
    known = Republished(7, ("icu-1", "stack"))
    for payload in (encode_rules(RuleSet(())), encode_rules(RuleSet(()), known), b"", b"no rules"):
        builder.add(b"vitalflow/services/alerts/rules", payload, 1, retained=True)
    assert [(row.writer, row.republished) for row in builder.batch.republished] == [("alerts", known)]
    assert [row.reason for row in builder.batch.rejected] == [Reason.BAD_ALERT]


def test_a_batch_can_be_rebuilt_from_its_rows() -> None:
    rejected = RejectedRow(NOW, "t", b"", "not_json", "")
    known = RepublishedRow(NOW, "alerts", Republished(7, ("+",)), "t", b"p")
    batch = Batch(readings=[ReadingRow("line", NOW, "t", b"p", 1, 1)], rejected=[rejected], republished=[known])
    assert Batch.from_rows(batch.all_rows(), batch.oldest_time) == batch
