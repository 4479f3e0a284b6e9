"""The readings a device still owes: kept, oldest first, until the broker has taken them.

Pure bookkeeping between `source` and `publisher`. Bounded: when it is full the oldest reading that is not
under way is dropped and counted, because the bedside needs to know how the patient is now.

`taken` is the only way a reading leaves as delivered, and it goes by the readings' names, not by position.
So whoever decides that a reading is safe may change (the broker's acknowledgement today, a receipt for what is
committed later), and so may where they are kept.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from vitals.reading import Reading
from vitals.wire import MAX_PAYLOAD, encode_many

BATCH = 150  # readings in an array: about 40 KiB of the 64 that ingest takes
CAPACITY = 3600  # readings: an hour at one a second, about 2 MB a device


class Outbox:
    """A queue of at most `capacity` readings, in order of seq. `dropped` counts what overflow cost."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("an outbox holds at least one reading")
        self.capacity = capacity
        self.dropped = 0
        self._waiting: deque[Reading] = deque()
        self._under_way = 0  # so many of the oldest were handed out by next_batch and not taken yet

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether the next `put` will drop a reading."""
        return len(self._waiting) >= self.capacity

    def put(self, reading: Reading) -> int:
        """Keep one more reading, the newest. Returns how many were dropped to make room: 0 or 1."""
        full = self.is_full
        if full:
            # What is under way may be with the broker already: dropping it would count as lost what is not.
            # Only where everything is under way does the oldest of it go.
            del self._waiting[self._under_way if self._under_way < len(self._waiting) else 0]
            self._under_way = min(self._under_way, len(self._waiting))
            self.dropped += 1
        self._waiting.append(reading)
        return int(full)

    def next_batch(self) -> list[Reading]:
        """The oldest readings that fit into one message; empty where nothing waits. They stay until `taken`.

        Asked again without `taken`, it begins with the same reading again: that is a redelivery.
        """
        batch = list(islice(self._waiting, BATCH))
        while len(batch) > 1 and len(encode_many(batch)) > MAX_PAYLOAD:
            del batch[len(batch) // 2 :]
        self._under_way = len(batch)
        return batch

    def taken(self, batch: Iterable[Reading]) -> None:
        """Forget the readings of `batch`: they are somebody else's care now."""
        names = {(reading.boot, reading.seq) for reading in batch}
        while self._waiting and names and (self._waiting[0].boot, self._waiting[0].seq) in names:
            first = self._waiting.popleft()
            names.discard((first.boot, first.seq))
        self._under_way = 0
        if names:  # not the oldest ones; a receipt may come for any
            self._waiting = deque(r for r in self._waiting if (r.boot, r.seq) not in names)
