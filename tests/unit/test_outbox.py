"""The outbox: readings leave in order; overflow removes the oldest and counts it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from devices.outbox.queue import BATCH, Outbox
from vitals.codec import MAX_PAYLOAD, encode_many
from vitals.reading import MAX_TEXT, Reading, reading
from vitals.signs import SIGN_KEYS

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def a_reading(seq: int, patient_id: str = "p-0001") -> Reading:
    return reading(NOON, {key: 80.0 for key in SIGN_KEYS}, boot=1, seq=seq, patient_id=patient_id)


def seqs(readings: Sequence[Reading]) -> list[int]:
    return [r.seq for r in readings]


def test_readings_leave_in_order_and_only_after_their_puback() -> None:
    outbox = Outbox()
    for seq in range(1, 401):
        outbox.put(a_reading(seq))
    sent: list[int] = []
    while batch := outbox.next_batch():
        assert outbox.next_batch() == batch  # without a PUBACK the same batch: a redelivery
        sent += seqs(batch)
        outbox.on_puback(batch, 0.0)
    assert sent == list(range(1, 401))
    assert outbox.waiting == outbox.dropped == 0


def test_overflow_drops_the_oldest_and_counts_it() -> None:
    outbox = Outbox(3)
    dropped = [outbox.put(a_reading(seq)) for seq in range(1, 6)]
    assert dropped == [0, 0, 0, 1, 1]
    assert outbox.dropped == 2
    assert seqs(outbox.next_batch()) == [3, 4, 5]


def test_overflow_spares_the_batch_in_flight() -> None:
    outbox = Outbox(2)
    outbox.put(a_reading(1))
    batch = outbox.next_batch()
    for seq in (2, 3, 4):
        outbox.put(a_reading(seq))
    outbox.on_puback(batch, 0.0)
    assert seqs(outbox.next_batch()) == [4]
    assert outbox.dropped == 2


def test_a_batch_fits_into_one_message_even_with_the_longest_texts() -> None:
    outbox = Outbox()
    for seq in range(1, 301):
        outbox.put(a_reading(seq, "\N{WHITE SMILING FACE}" * MAX_TEXT))
    batch = outbox.next_batch()
    assert 1 <= len(batch) <= BATCH
    assert len(encode_many(batch)) <= MAX_PAYLOAD


def test_a_capacity_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Outbox(0)
