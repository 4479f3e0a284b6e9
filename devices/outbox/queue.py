"""A device's readings until a receipt says that they are in the database (docs/receipts.md). Pure; time is an argument.

A reading is *waiting* until the broker acknowledges it (PUBACK), then *unconfirmed* until a receipt names it. The queue
is bounded. When it is full, the oldest unconfirmed reading is removed first, because the broker has received it, and
after those the oldest waiting one, because the newest readings matter most at the bedside. Both are counted.

A broker without VitalFlow's ingest sends no receipts. Until the first receipt a device behaves as a plain MQTT device:
it resends nothing that has its PUBACK, and holds only the last few minutes in case a receipt does come. A recording,
whose source can wait, may assume for a while that receipts will come.
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

BATCH = 150  # readings in an array: about 40 KiB; ingest accepts 64
CAPACITY = 3600  # readings: an hour at one a second, about 2 MB a device
UNCONFIRMED_LIMIT = 300  # unconfirmed readings held before the first receipt: five minutes at one a second


class Journal(Protocol):
    """Persists what an outbox holds, for the next run."""

    def keep(self, readings: Sequence[Reading]) -> None:
        """Store readings, before they are published."""

    def forget(self, keys: Sequence[ReadingId]) -> None:
        """Delete readings."""

    def receipts_seen(self) -> None:
        """Record that receipts are in use for this device."""


class Confirmed(NamedTuple):
    """How many readings a receipt released; `waiting` of them had no PUBACK yet."""

    stored: int
    rejected: int
    waiting: int


class Outbox:
    """At most `capacity` readings.

    receipts              whether receipts are in use: one was received, in this run or, by the journal, before; or it
                          is assumed
    assumes_receipts      whether that is only assumed
    dropped               waiting readings that overflow removed
    evicted_unconfirmed   unconfirmed readings that overflow removed
    """

    def __init__(self, capacity: int = CAPACITY, journal: Journal | None = None, receipts: bool = False) -> None:
        if capacity < 1:
            raise ValueError("the capacity of an outbox must be at least 1")
        self.capacity = capacity
        self.receipts = receipts
        self.assumes_receipts = False
        self.dropped = 0
        self.evicted_unconfirmed = 0
        self._journal = journal
        self._waiting: deque[Reading] = deque()
        self._in_flight = 0  # the number of oldest waiting readings that next_batch returned last
        self._unconfirmed = Unconfirmed()
        self._newest: dict[int, int] = {}  # boot -> last seq produced

    @property
    def waiting(self) -> int:
        """Number of readings that the broker has not acknowledged."""
        return len(self._waiting)

    @property
    def unconfirmed(self) -> int:
        """Number of readings that the broker acknowledged and no receipt named."""
        return len(self._unconfirmed)

    @property
    def is_full(self) -> bool:
        """Return whether the next `put` would remove a reading that is still needed."""
        return len(self._waiting) + (len(self._unconfirmed) if self.receipts else 0) >= self.capacity

    @property
    def is_persistent(self) -> bool:
        """Return whether the readings survive the process."""
        return self._journal is not None

    def assume_receipts(self) -> None:
        """Hold readings as if receipts were in use, until the first one or `stop_assuming_receipts`."""
        if not self.receipts:
            self.receipts = self.assumes_receipts = True

    def stop_assuming_receipts(self) -> None:
        """Behave as a plain MQTT device if no receipt has been received."""
        if self.assumes_receipts:
            self.receipts = self.assumes_receipts = False
            if self._journal is not None:
                self._journal.forget([reading_id(reading) for reading in self._unconfirmed.readings()])
            self._trim_unconfirmed()

    def restore(self, readings: Iterable[Reading]) -> None:
        """Add readings of an earlier run as waiting ones, oldest first. Call it before any `put`."""
        for reading in readings:
            if self.is_full:
                self._make_room()
            self._newest[reading.boot] = MAX_COUNTER  # the last seq of that run is unknown
            self._waiting.append(reading)

    def put(self, reading: Reading) -> int:
        """Add the newest reading; return how many waiting ones were dropped to make room: 0 or 1."""
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
            key = self._unconfirmed.pop_oldest()
            self.evicted_unconfirmed += int(self.receipts)
        else:
            # The broker may have received the batch in flight: dropping it would count it as lost. Only if all
            # waiting readings are in flight is the oldest of them dropped.
            index = self._in_flight if self._in_flight < len(self._waiting) else 0
            key = reading_id(self._waiting[index])
            del self._waiting[index]
            self._in_flight = min(self._in_flight, len(self._waiting))
            self.dropped += 1
        if self._journal is not None:
            self._journal.forget([key])

    def next_batch(self) -> list[Reading]:
        """Return the oldest waiting readings that fit into one message; an empty list if none waits.

        If called again without `on_puback`, it begins with the same reading: a redelivery.
        """
        batch = _fit_message(list(islice(self._waiting, BATCH)))
        self._in_flight = len(batch)
        return batch

    def on_other_broker(self) -> None:
        """Make every unconfirmed reading due for resending: the broker that acknowledged it may be lost with it."""
        self._unconfirmed.expire()

    def resend_at(self) -> float:
        """Return when `next_resend` will return readings; infinity if there are none to resend."""
        return self._unconfirmed.resend_at() if self.receipts else inf

    def next_resend(self, now: float) -> list[Reading]:
        """Return the oldest unconfirmed readings that are due for resending, as many as fit into one message."""
        return _fit_message(self._unconfirmed.due(now, BATCH)) if self.receipts else []

    def on_puback(self, batch: Sequence[Reading], now: float) -> int:
        """Record a PUBACK for `batch`, sent for the first time or resent; return how many no longer wait."""
        before = len(self._waiting)
        keys = {reading_id(reading) for reading in batch if not self._unconfirmed.on_resend_puback(reading, now)}
        while self._waiting and reading_id(self._waiting[0]) in keys:
            self._unconfirmed.add(self._waiting.popleft(), now)
        self._in_flight = 0
        acknowledged = before - len(self._waiting)
        if not self.receipts:
            if self._journal is not None:
                self._journal.forget(list(keys))
            self._trim_unconfirmed()
        return acknowledged

    def _trim_unconfirmed(self) -> None:
        while len(self._unconfirmed) > UNCONFIRMED_LIMIT:
            self._unconfirmed.pop_oldest()

    def confirm(self, receipt: Receipt) -> Confirmed:
        """Release what `receipt` names. Raises ValueError with a sentence if it cannot be for this device.

        Such a receipt is ignored as a whole: if it names a reading that was never produced, the rest may be wrong too.
        """
        newest = self._newest.get(receipt.boot)
        if newest is None and receipt.boot < max(self._newest, default=0):
            return Confirmed(0, 0, 0)  # for an earlier run, of which nothing is left here
        if newest is None:
            raise ValueError(f"it is for the boot {receipt.boot}, of which this device has no readings")
        last = max((last for _, last in (*receipt.stored, *receipt.rejected)), default=0)
        if last > newest:
            raise ValueError(f"it names the seq {last}, and the last one produced is {newest}")
        if last and (self.assumes_receipts or not self.receipts):
            self.receipts, self.assumes_receipts = True, False
            if self._journal is not None:
                self._journal.receipts_seen()
                self._journal.keep(self._unconfirmed.readings())
        waiting = len(self._waiting)
        stored = self._release(receipt.boot, merge_ranges(receipt.stored))
        rejected = self._release(receipt.boot, merge_ranges(receipt.rejected))
        return Confirmed(stored, rejected, waiting - len(self._waiting))

    def _release(self, boot: int, spans: Sequence[Range]) -> int:
        released = self._unconfirmed.release(boot, spans)
        # Of the waiting readings only those in flight can be stored already: their PUBACK is late or lost.
        remaining = []
        for reading in [self._waiting.popleft() for _ in range(self._in_flight)]:
            if reading.boot == boot and in_ranges(spans, reading.seq):
                released.append(reading_id(reading))
            else:
                remaining.append(reading)
        self._waiting.extendleft(reversed(remaining))
        self._in_flight = len(remaining)
        if released and self._journal is not None:
            self._journal.forget(released)
        return len(released)


def _fit_message(batch: list[Reading]) -> list[Reading]:
    """Return as many of the first readings as fit into one message."""
    while len(batch) > 1 and len(encode_many(batch)) > MAX_PAYLOAD:
        del batch[len(batch) // 2 :]
    return batch
