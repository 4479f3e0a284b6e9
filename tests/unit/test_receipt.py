"""Receipts: ranges, and what is not one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.receipt import MAX_RECEIPT, Receipt, decode_receipt, encode_receipt, ranges

numbers = st.lists(st.integers(0, 300), max_size=100)


@given(numbers, numbers)
def test_a_receipt_covers_exactly_what_it_was_made_of(stored: list[int], rejected: list[int]) -> None:
    receipt = Receipt(boot=1, stored=ranges(stored), rejected=ranges(rejected))
    for spans, numbers in ((receipt.stored, stored), (receipt.rejected, rejected)):
        assert {seq for first, last in spans for seq in range(first, last + 1)} == {*numbers}
    assert decode_receipt(encode_receipt(receipt)) == receipt
    assert all(before[1] + 1 < after[0] for before, after in zip(receipt.stored, receipt.stored[1:], strict=False))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{}",
        b'{"boot":-1}',
        b'{"boot":1,"stored":[[2,1]]}',
        b'{"boot":1,"stored":[[1]]}',
        b'{"boot":1,"stored":[["1","2"]]}',
        b'{"boot":1,"stored":[[1,99999999999999999999]]}',
        b"[" * 50_000,
        b" " * (MAX_RECEIPT + 1),
    ],
)
def test_invalid_receipts_are_rejected(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_receipt(payload)
