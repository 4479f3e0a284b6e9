"""A receipt: ingest confirms to a device, after COMMIT, which readings are stored or rejected.

`ingest` encodes, `devices` decode. A PUBACK confirms that the broker has a reading, a receipt that the database has it;
only the second holds if the broker loses its store. Receipts carry ranges of seq, nearly always a single one.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from vitals.payload import decode_payload
from vitals.reading import MAX_COUNTER

MAX_RECEIPT = 64 * 1024  # bytes
RECEIPT_INTERVAL_S = 5.0
"""Minimum seconds between two receipts to a device."""

Counter = Annotated[int, Meta(ge=0, le=MAX_COUNTER)]
Range = tuple[Counter, Counter]
"""First and last seq, both included."""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Outcome of the readings of one boot. Ranges are in ascending order and not adjacent.

    stored     in the hypertable
    rejected   in `rejected_message` with a reason; the device need not send them again
    """

    boot: Counter
    stored: tuple[Range, ...] = ()
    rejected: tuple[Range, ...] = ()


def ranges(numbers: Iterable[int]) -> tuple[Range, ...]:
    """Merge numbers in any order into ranges: 3, 1, 2, 7 make (1, 3), (7, 7)."""
    merged: list[tuple[int, int]] = []
    ordered = sorted(set(numbers))
    if ordered and ordered[-1] - ordered[0] == len(ordered) - 1:  # nearly always
        return ((ordered[0], ordered[-1]),)
    for number in ordered:
        if merged and merged[-1][1] == number - 1:
            merged[-1] = (merged[-1][0], number)
        else:
            merged.append((number, number))
    return tuple(merged)


_decode = msgspec.json.Decoder(Receipt).decode


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode as a JSON object."""
    return msgspec.json.encode(receipt)


def decode_receipt(payload: bytes) -> Receipt:
    """Decode a receipt; raises ValueError with one sentence, also for a range whose end precedes its beginning."""
    receipt = decode_payload(_decode, payload, "a receipt", MAX_RECEIPT)
    for first, last in (*receipt.stored, *receipt.rejected):
        if first > last:
            raise ValueError(f"the range {first} to {last} ends before it begins")
    return receipt
