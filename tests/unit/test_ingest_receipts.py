"""What ingest owes to devices: everything committed, once, and not too often."""

from datetime import UTC, datetime
from itertools import islice

from ingest.batch import Batch, ReadingRow
from ingest.receipts import Receipts
from ingest.store import WriteResult
from vitals.receipt import Receipt
from vitals.topics import Topics

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BED = "vitalflow/vitals/icu-1/bed-1"


def committed(*names: tuple[str, int, int]) -> Batch:
    return Batch(readings=[ReadingRow("line", NOW, topic, b"", boot, seq) for topic, boot, seq in names])


def test_what_was_committed_is_told_in_ranges_by_boot() -> None:
    book = Receipts(Topics(), 5.0)
    book.record(committed((BED, 7, 2), (BED, 7, 1), (BED, 7, 4), (BED, 8, 1)), WriteResult(stored=4))
    told = list(book.due(0.0, flush=True))
    topic = "vitalflow/receipts/icu-1/bed-1"
    assert told == [
        (topic, Receipt(boot=7, stored=((1, 2), (4, 4)))),
        (topic, Receipt(boot=8, stored=((1, 1),))),
    ]
    assert list(book.due(0.0, flush=True)) == []


def test_a_device_is_told_at_most_every_five_seconds_and_then_all_of_it() -> None:
    book = Receipts(Topics(), 5.0)
    told = []
    for second in range(20):
        book.record(committed((BED, 7, second + 1)), WriteResult(stored=1))
        told += [(second, receipt.stored) for _, receipt in book.due(float(second))]
    assert told == [(0, ((1, 1),)), (5, ((2, 6),)), (10, ((7, 11),)), (15, ((12, 16),))]


def test_what_was_rejected_is_told_as_rejected_and_not_as_stored() -> None:
    book = Receipts(Topics(), 5.0)
    batch = committed((BED, 7, 1), (BED, 7, 2))
    batch.rejected_readings.append((BED, 7, 3))  # by the decoder
    book.record(batch, WriteResult(stored=1, rejected_readings=[(BED, 7, 2)]))  # by the database
    assert [receipt for _, receipt in book.due(0.0)] == [Receipt(boot=7, stored=((1, 1),), rejected=((2, 3),))]


def test_a_reading_without_a_name_is_not_told_and_none_are_where_none_are_wanted() -> None:
    book = Receipts(Topics(), 5.0)
    book.record(committed((BED, 0, 0)), WriteResult(stored=1))
    assert list(book.due(0.0)) == []
    silent = Receipts(Topics(), 0.0)
    silent.record(committed((BED, 7, 1)), WriteResult(stored=1))
    assert list(silent.due(0.0, flush=True)) == []


def test_a_device_told_last_in_a_turn_that_was_cut_short_waits_its_five_seconds_too() -> None:
    book = Receipts(Topics(), 5.0)
    other = "vitalflow/vitals/icu-1/bed-2"
    book.record(committed((BED, 7, 1), (other, 9, 1)), WriteResult(stored=2))
    assert [receipt.boot for _, receipt in islice(book.due(0.0), 1)] == [7]
    book.record(committed((BED, 7, 2)), WriteResult(stored=1))
    assert [receipt.boot for _, receipt in book.due(1.0)] == [9]
    assert [receipt.boot for _, receipt in book.due(5.0)] == [7]
