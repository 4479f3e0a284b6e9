"""Receipts: everything committed is confirmed once, at most every `every_s` seconds."""

from datetime import UTC, datetime
from itertools import islice

from ingest.batch import Batch, ReadingRow
from ingest.receipts import Receipts
from ingest.store import WriteResult
from vitals.receipt import Receipt
from vitals.topics import Topics

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BED = "vitalflow/vitals/icu-1/bed-1"


def committed(*keys: tuple[str, int, int]) -> Batch:
    return Batch(readings=[ReadingRow("line", NOW, topic, b"", boot, seq) for topic, boot, seq in keys])


def test_committed_readings_are_confirmed_in_ranges_by_boot() -> None:
    receipts = Receipts(Topics(), 5.0)
    receipts.record(committed((BED, 7, 2), (BED, 7, 1), (BED, 7, 4), (BED, 8, 1)), WriteResult(stored=4))
    due = list(receipts.due(0.0, flush=True))
    topic = "vitalflow/receipts/icu-1/bed-1"
    assert due == [
        (topic, Receipt(boot=7, stored=((1, 2), (4, 4)))),
        (topic, Receipt(boot=8, stored=((1, 1),))),
    ]
    assert list(receipts.due(0.0, flush=True)) == []


def test_a_device_gets_at_most_one_receipt_in_five_seconds_with_everything_since() -> None:
    receipts = Receipts(Topics(), 5.0)
    due = []
    for second in range(20):
        receipts.record(committed((BED, 7, second + 1)), WriteResult(stored=1))
        due += [(second, receipt.stored) for _, receipt in receipts.due(float(second))]
    assert due == [(0, ((1, 1),)), (5, ((2, 6),)), (10, ((7, 11),)), (15, ((12, 16),))]


def test_rejected_readings_are_confirmed_as_rejected_and_not_as_stored() -> None:
    receipts = Receipts(Topics(), 5.0)
    batch = committed((BED, 7, 1), (BED, 7, 2))
    batch.rejected_readings.append((BED, 7, 3))  # by the decoder
    receipts.record(batch, WriteResult(stored=1, rejected_readings=[(BED, 7, 2)]))  # by the database
    assert [receipt for _, receipt in receipts.due(0.0)] == [Receipt(boot=7, stored=((1, 1),), rejected=((2, 3),))]


def test_a_reading_without_seq_gets_no_receipt_and_an_interval_of_zero_turns_receipts_off() -> None:
    receipts = Receipts(Topics(), 5.0)
    receipts.record(committed((BED, 0, 0)), WriteResult(stored=1))
    assert list(receipts.due(0.0)) == []
    disabled = Receipts(Topics(), 0.0)
    disabled.record(committed((BED, 7, 1)), WriteResult(stored=1))
    assert list(disabled.due(0.0, flush=True)) == []


def test_the_last_device_of_an_interrupted_poll_waits_its_five_seconds_too() -> None:
    receipts = Receipts(Topics(), 5.0)
    other = "vitalflow/vitals/icu-1/bed-2"
    receipts.record(committed((BED, 7, 1), (other, 9, 1)), WriteResult(stored=2))
    assert [receipt.boot for _, receipt in islice(receipts.due(0.0), 1)] == [7]
    receipts.record(committed((BED, 7, 2)), WriteResult(stored=1))
    assert [receipt.boot for _, receipt in receipts.due(1.0)] == [9]
    assert [receipt.boot for _, receipt in receipts.due(5.0)] == [7]
