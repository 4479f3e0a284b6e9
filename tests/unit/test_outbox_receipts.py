"""The outbox and receipts: each reading ends confirmed or counted, whatever happens between device and database."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.outbox.queue import UNCONFIRMED_LIMIT, Confirmed, Outbox
from devices.outbox.unconfirmed import LAST_PROBE_S, RESEND_AFTER_S, in_ranges, merge_ranges
from tests.unit.test_outbox import a_reading, seqs
from vitals.reading import MAX_COUNTER
from vitals.receipt import Range, Receipt, ranges

BOOT = 1  # of a_reading


def stored(*spans: Range) -> Receipt:
    return Receipt(boot=BOOT, stored=spans)


def sent(outbox: Outbox, *numbers: int, at: float) -> None:
    """Put readings and record their PUBACKs."""
    for seq in numbers:
        outbox.put(a_reading(seq))
        outbox.on_puback(outbox.next_batch(), at)


def test_a_reading_stays_until_its_receipt() -> None:
    outbox = Outbox()
    for seq in range(1, 6):
        sent(outbox, seq, at=float(seq))
    assert (outbox.waiting, outbox.unconfirmed) == (0, 5)
    assert outbox.confirm(Receipt(boot=BOOT, stored=((1, 2),), rejected=((3, 3),))) == Confirmed(2, 1, 0)
    assert outbox.unconfirmed == 2
    assert outbox.confirm(stored((1, 5))) == Confirmed(2, 0, 0)
    assert outbox.unconfirmed == 0


def test_a_reading_is_resent_after_the_timeout_once_a_later_one_is_confirmed() -> None:
    outbox = Outbox()
    for seq in range(1, 11):
        sent(outbox, seq, at=float(seq))
    outbox.confirm(stored((1, 3), (6, 8)))
    assert outbox.next_resend(4 + RESEND_AFTER_S - 0.1) == []
    assert outbox.resend_at() == 4 + RESEND_AFTER_S
    again = outbox.next_resend(9 + RESEND_AFTER_S)
    assert seqs(again) == [4, 5], "9 and 10 are late, which is not lost"
    outbox.on_puback(again, 30.0)
    assert seqs(outbox.next_resend(30 + RESEND_AFTER_S)) == [4, 5, 9, 10], "nothing newer was sent: probe with all"


def test_probes_without_new_readings_back_off_and_a_receipt_resets_them() -> None:
    outbox = Outbox(receipts=True)
    sent(outbox, 1, 2, at=0.0)
    probes: list[float] = []
    now = 0.0
    while len(probes) < 7:
        now += 1
        if batch := outbox.next_resend(now):
            assert seqs(batch) == [1, 2]
            outbox.on_puback(batch, now)
            probes.append(now)
    assert [b - a for a, b in zip([0.0, *probes], probes, strict=False)] == [15, 30, 60, 120, 240, 300, LAST_PROBE_S]
    outbox.confirm(stored((1, 1)))
    assert outbox.resend_at() == now + RESEND_AFTER_S


def test_a_receipt_for_a_resent_reading_confirms_no_other() -> None:
    outbox = Outbox(receipts=True)
    sent(outbox, 1, at=0.0)
    outbox.on_puback(outbox.next_resend(15.0), 15.0)
    sent(outbox, 2, at=14.0)
    outbox.confirm(stored((1, 1)))  # the first copy, from a queue; 2 is still behind it in that queue
    assert outbox.resend_at() >= 14 + RESEND_AFTER_S
    assert outbox.unconfirmed == 1


def test_a_receipt_replaces_a_lost_puback() -> None:
    outbox = Outbox(receipts=True)
    for seq in (1, 2, 3):
        outbox.put(a_reading(seq))
    batch = outbox.next_batch()
    outbox.put(a_reading(4))
    assert outbox.confirm(stored((1, 2))) == Confirmed(2, 0, 2)
    assert outbox.on_puback(batch, 1.0) == 1, "only the third still waited"
    assert seqs(outbox.next_batch()) == [4]
    assert outbox.unconfirmed == 1


def test_without_receipts_nothing_is_resent_and_little_is_held() -> None:
    outbox = Outbox()
    for seq in range(1, UNCONFIRMED_LIMIT + 51):
        sent(outbox, seq, at=0.0)
    assert outbox.resend_at() == float("inf")
    assert outbox.next_resend(1e9) == []
    assert (outbox.unconfirmed, outbox.dropped, outbox.evicted_unconfirmed) == (UNCONFIRMED_LIMIT, 0, 0)
    sent(outbox, 1000, at=1.0)
    outbox.confirm(stored((1000, 1000)))
    assert seqs(outbox.next_resend(RESEND_AFTER_S)) == [*range(52, 52 + 150)], "the first receipt turns resending on"


def test_overflow_removes_unconfirmed_readings_first_and_counts_them_with_receipts() -> None:
    for receipts in (False, True):
        outbox = Outbox(4, receipts=receipts)
        sent(outbox, 1, 2, at=0.0)
        assert [outbox.put(a_reading(seq)) for seq in (3, 4, 5, 6, 7)] == [0, 0, 0, 0, 1]
        assert seqs(outbox.next_batch()) == [4, 5, 6, 7]
        assert (outbox.dropped, outbox.evicted_unconfirmed) == (1, 2 if receipts else 0)


def test_a_recording_waits_for_receipts_only_if_they_are_in_use() -> None:
    for receipts in (False, True):
        outbox = Outbox(2, receipts=receipts)
        sent(outbox, 1, 2, at=0.0)
        assert outbox.is_full is receipts


@pytest.mark.parametrize(
    ("receipt", "sentence"),
    [
        (Receipt(boot=2, stored=((1, 1),)), "boot 2, of which this device has no readings"),
        (Receipt(boot=BOOT, stored=((1, 6),)), "the seq 6, and the last one produced is 5"),
        (Receipt(boot=BOOT, rejected=((1, MAX_COUNTER),)), "and the last one produced is 5"),
    ],
)
def test_a_receipt_for_another_device_is_ignored_as_a_whole(receipt: Receipt, sentence: str) -> None:
    outbox = Outbox()
    sent(outbox, 1, 2, 3, at=0.0)
    outbox.put(a_reading(4))
    outbox.put(a_reading(5))
    with pytest.raises(ValueError, match=sentence):
        outbox.confirm(receipt)
    assert (outbox.waiting, outbox.unconfirmed, outbox.receipts) == (2, 3, False)


def test_a_receipt_does_not_release_unsent_readings() -> None:
    outbox = Outbox()
    for seq in (1, 2, 3):
        outbox.put(a_reading(seq))
    outbox.confirm(stored((1, 3)))
    assert seqs(outbox.next_batch()) == [1, 2, 3]


@given(spans=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: (min(p), max(p)))))
def test_merged_ranges_contain_the_same_numbers(spans: list[Range]) -> None:
    numbers = {n for first, last in spans for n in range(first, last + 1)}
    assert tuple(merge_ranges(spans)) == ranges(numbers)
    assert {n for n in range(-1, 42) if in_ranges(merge_ranges(spans), n)} == numbers


class UnreliableBroker:
    """A broker and an ingest that lose, duplicate and reorder messages; it checks the outbox after each step."""

    def __init__(self, capacity: int) -> None:
        self.outbox = Outbox(capacity, receipts=True)
        self.now = 0.0
        self.produced = 0
        self.confirmed = 0
        self.queue: list[list[int]] = []
        self.stored: set[int] = set()
        self.unconfirmed: set[int] = set()
        self.acknowledged: dict[int, float] = {}

    def produce(self) -> None:
        self.produced += 1
        self.outbox.put(a_reading(self.produced))

    def send(self, fate: str) -> None:
        batch = self.outbox.next_batch()
        if not batch:
            batch = self.outbox.next_resend(self.now)
            for seq in seqs(batch):
                assert self.now - self.acknowledged[seq] >= RESEND_AFTER_S, "not within the time-out"
        assert seqs(batch) == sorted(seqs(batch)), "in order"
        if not batch:
            return
        if fate in ("arrives", "twice", "no puback"):
            self.queue += [seqs(batch)] * (2 if fate == "twice" else 1)
        if fate in ("arrives", "twice", "lost"):
            self.outbox.on_puback(batch, self.now)
            self.acknowledged |= dict.fromkeys(seqs(batch), self.now)

    def ingest(self, index: int) -> None:
        if self.queue:
            received = self.queue.pop(index % len(self.queue))
            self.stored |= set(received)
            self.unconfirmed |= set(received)

    def receipt(self, fate: str) -> None:
        if self.unconfirmed and fate != "lost":
            receipt = stored(*ranges(self.unconfirmed))
            for _ in range(2 if fate == "twice" else 1):
                self.confirmed += sum(self.outbox.confirm(receipt)[:2])
        self.unconfirmed.clear()

    def check(self) -> None:
        outbox = self.outbox
        pending = outbox.waiting + outbox.unconfirmed
        assert self.confirmed + outbox.dropped + outbox.evicted_unconfirmed + pending == self.produced
        assert pending <= outbox.capacity


STEPS = st.one_of(
    st.tuples(st.just("produce"), st.none()),
    st.tuples(st.just("send"), st.sampled_from(["arrives", "arrives", "lost", "twice", "no puback", "nowhere"])),
    st.tuples(st.just("ingest"), st.integers(0, 3)),
    st.tuples(st.just("receipt"), st.sampled_from(["arrives", "lost", "twice"])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 40.0])),
    st.tuples(st.just("restart of the broker"), st.none()),
)


def play(broker: UnreliableBroker, steps: Sequence[tuple[str, object]]) -> None:
    for step, how in steps:
        match step, how:
            case "produce", _:
                broker.produce()
            case "send", str(fate):
                broker.send(fate)
            case "ingest", int(index):
                broker.ingest(index)
            case "receipt", str(fate):
                broker.receipt(fate)
            case "wait", float(seconds):
                broker.now += seconds
            case _:
                broker.queue.clear()
        broker.check()


@settings(max_examples=300)
@given(capacity=st.integers(1, 12), steps=st.lists(STEPS, max_size=80), live=st.booleans())
def test_every_reading_is_confirmed_or_counted_at_the_end(
    capacity: int, steps: list[tuple[str, object]], live: bool
) -> None:
    broker = UnreliableBroker(capacity)
    play(broker, steps)
    produced, good_second = broker.produced, [("send", "arrives"), ("ingest", 0), ("ingest", 0), ("receipt", "arrives")]
    for _ in range(60 if live else 1000):
        play(broker, [("produce", None)] * live + good_second * 2 + [("wait", 1.0)])
    outbox = broker.outbox
    assert (outbox.waiting, outbox.unconfirmed) == (0, 0)
    lost = set(range(1, produced + 1)) - broker.stored
    assert len(lost) <= outbox.dropped + outbox.evicted_unconfirmed
    if outbox.dropped + outbox.evicted_unconfirmed == 0:
        assert broker.stored == set(range(1, broker.produced + 1))


def test_another_broker_gets_every_reading_without_receipt_at_once_and_only_once() -> None:
    outbox = Outbox(receipts=True)
    sent(outbox, 1, 2, 3, at=0.0)
    outbox.confirm(stored((1, 1)))
    sent(outbox, 4, at=1.0)
    outbox.on_other_broker()
    again = outbox.next_resend(1.1)
    assert seqs(again) == [2, 3, 4]
    outbox.on_puback(again, 1.2)
    assert outbox.next_resend(1.3) == []
    outbox.confirm(stored((2, 4)))
    assert outbox.unconfirmed == 0


def test_a_device_without_receipts_resends_nothing_to_another_broker() -> None:
    outbox = Outbox()
    sent(outbox, 1, at=0.0)
    outbox.on_other_broker()
    assert outbox.next_resend(100.0) == []
