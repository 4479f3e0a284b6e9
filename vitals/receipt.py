"""A receipt: what ingest tells a device after COMMIT, so that the device may forget it.

`ingest` encodes, `devices` decode. A PUBACK says that the broker holds a reading; a receipt says that the database
does. Only the second survives the broker's own death. Ranges, because a device that sends 1, 2, 3 ... makes nearly
always one.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from vitals.payload import decode_payload
from vitals.reading import MAX_COUNTER

MAX_RECEIPT = 64 * 1024  # bytes
RECEIPT_INTERVAL_S = 5.0
"""Seconds between two receipts to a device, at least."""

Counter = Annotated[int, Meta(ge=0, le=MAX_COUNTER)]
Range = tuple[Counter, Counter]
"""From the first seq to the last, both included."""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one boot's readings. Ranges are in rising order and do not touch.

    stored     rows of the hypertable
    rejected   kept in `rejected_message` with a reason: sending them again would change nothing
    """

    boot: Counter
    stored: tuple[Range, ...] = ()
    rejected: tuple[Range, ...] = ()

    def covers(self, seq: int) -> bool:
        """Whether the device may forget the reading with this seq."""
        return any(first <= seq <= last for first, last in (*self.stored, *self.rejected))


def ranges(numbers: Iterable[int]) -> tuple[Range, ...]:
    """Numbers in any order, as ranges: 3, 1, 2, 7 make (1, 3), (7, 7)."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


_decode = msgspec.json.Decoder(Receipt).decode


def encode_receipt(receipt: Receipt) -> bytes:
    """A receipt as a JSON object."""
    return msgspec.json.encode(receipt)


def decode_receipt(payload: bytes) -> Receipt:
    """Decode a receipt; raises ValueError with one sentence, also for a range whose end precedes its beginning."""
    receipt = decode_payload(_decode, payload, "a receipt", MAX_RECEIPT)
    for first, last in (*receipt.stored, *receipt.rejected):
        if first > last:
            raise ValueError(f"the range {first} to {last} ends before it begins")
    return receipt
