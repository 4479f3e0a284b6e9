"""The readings a device still owes: kept until a receipt says that they are in the database (docs/receipts.md).

Pure bookkeeping between `source` and `publisher`; time is an argument. A reading is *waiting* until the broker has
acknowledged it (PUBACK), then *unconfirmed*, and gone for good by a receipt. Bounded: when it is full the oldest
unconfirmed one goes first, because the broker has had it, and then the oldest waiting one, because the bedside needs
to know how the patient is now. Both are counted.

A broker without our ingest gives no receipts. Until the first one comes the device is a plain MQTT device: what the
broker took is its care, nothing is sent again, and only the last few minutes are held in case a receipt does come.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple, Protocol

from devices.outbox.unconfirmed import ReadingId, Unconfirmed, in_ranges, merge_ranges, reading_id
from vitals.codec import MAX_PAYLOAD, encode_many
from vitals.reading import MAX_COUNTER, Reading
from vitals.receipt import Range, Receipt

BATCH = 150  # readings in an array: about 40 KiB of the 64 that ingest takes
CAPACITY = 3600  # readings: an hour at one a second, about 2 MB a device
UNCONFIRMED_LIMIT = 300  # unconfirmed readings held by a device that has seen no receipt: five minutes at one a second


class Journal(Protocol):
    """Where an outbox writes down what it holds, so that the next run finds it."""

    def keep(self, readings: Sequence[Reading]) -> None:
        """Write readings down, before anybody else sees them."""

    def forget(self, names: Sequence[ReadingId]) -> None:
        """Strike readings out."""

    def receipts_seen(self) -> None:
        """Note that this device's readings are confirmed by receipts."""


class Confirmed(NamedTuple):
    """What a receipt released: `stored` and `rejected` readings, and how many of both had not got their PUBACK."""

    stored: int
    rejected: int
    waiting: int


class Outbox:
    """At most `capacity` readings. `dropped` counts what overflow cost, `let_go` what it took unconfirmed.

    receipts    whether receipts are in use: one has been seen, in this run or (says the journal) before
    """

    def __init__(self, capacity: int = CAPACITY, journal: Journal | None = None, receipts: bool = False) -> None:
        if capacity < 1:
            raise ValueError("an outbox holds at least one reading")
        self.capacity = capacity
        self.receipts = receipts
        self.dropped = 0
        self.evicted_unconfirmed = 0
        self._journal = journal
        self._waiting: deque[Reading] = deque()
        self._in_flight = 0  # so many of the oldest waiting were handed out by next_batch and not taken yet
        self._unconfirmed = Unconfirmed()
        self._newest: dict[int, int] = {}  # boot -> the last seq that was made

    @property
    def waiting(self) -> int:
        """Readings that no broker has acknowledged."""
        return len(self._waiting)

    @property
    def unconfirmed(self) -> int:
        """Readings that a broker has acknowledged and no receipt has named."""
        return len(self._unconfirmed)

    @property
    def is_full(self) -> bool:
        """Whether the next `put` will cost a reading that is owed."""
        return len(self._waiting) + (len(self._unconfirmed) if self.receipts else 0) >= self.capacity

    @property
    def is_persistent(self) -> bool:
        """Whether what it holds outlives the process."""
        return self._journal is not None

    def restore(self, readings: Iterable[Reading]) -> None:
        """Take back what an earlier run wrote down, oldest first and before any `put`; all of it waits."""
        for reading in readings:
            if self.is_full:
                self._make_room()
            self._newest[reading.boot] = MAX_COUNTER  # that run made more than is left of it
            self._waiting.append(reading)

    def put(self, reading: Reading) -> int:
        """Keep one more reading, the newest. Returns how many were dropped to make room: 0 or 1."""
        before = self.dropped
        if len(self._waiting) + len(self._unconfirmed) >= self.capacity:
            self._make_room()
        if self._journal is not None:
            self._journal.keep([reading])
        self._newest[reading.boot] = reading.seq
        self._waiting.append(reading)
        return self.dropped - before

    def _make_room(self) -> None:
        if self._unconfirmed:
            name = self._unconfirmed.pop_oldest()
            self.evicted_unconfirmed += int(self.receipts)
        else:
            # What is under way may be with the broker already: dropping it would count as lost what is not.
            # Only where everything is under way does the oldest of it go.
            place = self._in_flight if self._in_flight < len(self._waiting) else 0
            name = reading_id(self._waiting[place])
            del self._waiting[place]
            self._in_flight = min(self._in_flight, len(self._waiting))
            self.dropped += 1
        if self._journal is not None:
            self._journal.forget([name])

    def next_batch(self) -> list[Reading]:
        """The oldest waiting readings that fit into one message; empty where nothing waits.

        Asked again without `taken`, it begins with the same reading again: that is a redelivery.
        """
        batch = _fit_message(list(islice(self._waiting, BATCH)))
        self._in_flight = len(batch)
        return batch

    def resend_at(self) -> float:
        """When `next_resend` will have something; infinity where there is nothing to wait for."""
        return self._unconfirmed.resend_at() if self.receipts else inf

    def next_resend(self, now: float) -> list[Reading]:
        """The oldest unconfirmed readings that have to be sent again, as many as fit into one message."""
        return _fit_message(self._unconfirmed.due(now, BATCH)) if self.receipts else []

    def on_puback(self, batch: Sequence[Reading], now: float) -> int:
        """The broker has acknowledged `batch`, sent for the first time or again. Returns how many no longer wait."""
        before = len(self._waiting)
        names = {reading_id(reading) for reading in batch if not self._unconfirmed.again(reading, now)}
        while self._waiting and reading_id(self._waiting[0]) in names:
            self._unconfirmed.add(self._waiting.popleft(), now)
        self._in_flight = 0
        taken = before - len(self._waiting)
        if not self.receipts:
            if self._journal is not None:
                self._journal.forget(list(names))
            while len(self._unconfirmed) > UNCONFIRMED_LIMIT:
                self._unconfirmed.pop_oldest()
        return taken

    def confirm(self, receipt: Receipt) -> Confirmed:
        """Forget what `receipt` names. Raises ValueError with a sentence where it cannot be about this device.

        Such a receipt is ignored as a whole: who names a reading that was never made may be wrong about the others.
        """
        newest = self._newest.get(receipt.boot)
        if newest is None and receipt.boot < max(self._newest, default=0):
            return Confirmed(0, 0, 0)  # of a run before this one: true, and of no use any more
        if newest is None:
            raise ValueError(f"it is for the boot {receipt.boot}, of which this device has no readings")
        last = max((last for _, last in (*receipt.stored, *receipt.rejected)), default=0)
        if last > newest:
            raise ValueError(f"it names the seq {last}, and the last one made is {newest}")
        if last and not self.receipts:
            self.receipts = True
            if self._journal is not None:
                self._journal.receipts_seen()
                self._journal.keep(self._unconfirmed.readings())
        waiting = len(self._waiting)
        stored = self._release(receipt.boot, merge_ranges(receipt.stored))
        rejected = self._release(receipt.boot, merge_ranges(receipt.rejected))
        return Confirmed(stored, rejected, waiting - len(self._waiting))

    def _release(self, boot: int, spans: Sequence[Range]) -> int:
        gone = self._unconfirmed.release(boot, spans)
        # Of the waiting ones only those under way can be stored: their PUBACK is late or was lost.
        stay = []
        for reading in [self._waiting.popleft() for _ in range(self._in_flight)]:
            if reading.boot == boot and in_ranges(spans, reading.seq):
                gone.append(reading_id(reading))
            else:
                stay.append(reading)
        self._waiting.extendleft(reversed(stay))
        self._in_flight = len(stay)
        if gone and self._journal is not None:
            self._journal.forget(gone)
        return len(gone)


def _fit_message(batch: list[Reading]) -> list[Reading]:
    """As many of the first as one message carries."""
    while len(batch) > 1 and len(encode_many(batch)) > MAX_PAYLOAD:
        del batch[len(batch) // 2 :]
    return batch
