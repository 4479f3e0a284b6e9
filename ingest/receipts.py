"""What each device is told after COMMIT: which of its readings are stored, so that it may forget them. Pure.

Last hop of a reading inside ingest, and the first of the answer: `pipeline` notes every committed batch here and sends
what `due` gives. A receipt that is lost does no harm: the device sends again, and the duplicate is answered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from ingest.batch import Batch
from ingest.store import Written
from vitals.receipt import Receipt, ranges
from vitals.topics import Topics

_Key = tuple[str, int]
"""The topic of a device's readings, and the boot."""


@dataclass(slots=True)
class _Owed:
    """What one boot of one device has not been told yet."""

    stored: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)


class Receipts:
    """What is owed to whom. `every_s`: seconds between two receipts to a device; 0 for none at all."""

    def __init__(self, topics: Topics, every_s: float) -> None:
        self._topics = topics
        self._every_s = every_s
        self._owed: dict[_Key, _Owed] = {}
        self._next: list[tuple[float, _Key]] = []  # a heap of the same keys: who is due first
        self._logged_at: dict[str, float] = {}

    def note(self, batch: Batch, written: Written) -> None:
        """A batch has been committed. A reading without boot and seq has no name to tell."""
        if not self._every_s:
            return
        owed = self._owed
        for row in batch.rows:
            if row.seq:
                key = (row.topic, row.boot)
                (owed.get(key) or self._open(key)).stored.append(row.seq)
        for topic, boot, seq in (*batch.refused, *written.refused):
            key = (topic, boot)
            (owed.get(key) or self._open(key)).rejected.append(seq)

    def due(self, now: float, *, all_of_them: bool = False) -> Iterator[tuple[str, Receipt]]:
        """Topic and receipt for every device that was not told for `every_s` seconds; `now` is monotonic."""
        while self._next and (all_of_them or self._next[0][0] <= now):
            _, key = heappop(self._next)
            owed = self._owed.pop(key)
            topic, boot = key
            self._logged_at[topic] = now
            rejected = set(owed.rejected)
            receipt = Receipt(boot=boot, stored=ranges(set(owed.stored) - rejected), rejected=ranges(rejected))
            _, bed = self._topics.parse(topic)
            yield self._topics.receipts(bed.ward, bed.device), receipt
        if len(self._logged_at) > 2 * len(self._owed) + 100_000:  # devices that are long gone
            self._logged_at = {topic: at for topic, at in self._logged_at.items() if now - at < self._every_s}

    def forget(self) -> None:
        """Nobody can be told now. Devices will send again what they were not told about."""
        self._owed.clear()
        self._next.clear()

    def _open(self, key: _Key) -> _Owed:
        """A new account. It is due `every_s` after the last receipt to that device."""
        heappush(self._next, (self._logged_at.get(key[0], -self._every_s) + self._every_s, key))
        self._owed[key] = owed = _Owed()
        return owed
