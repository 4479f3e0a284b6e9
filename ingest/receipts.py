"""What each device is told after COMMIT: which of its readings are stored, so that it may forget them. Pure.

Last hop of a reading inside ingest, and the first of the answer: `pipeline` notes every committed batch here and sends
what `due` gives. A receipt that is lost does no harm: the device sends again, and the duplicate is answered.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.batch import Batch
from ingest.store import Written
from vitals.receipt import Receipt, ranges
from vitals.topics import Topics


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
        self._owed: defaultdict[tuple[str, int], _Owed] = defaultdict(_Owed)
        self._told_at: dict[str, float] = {}

    def note(self, batch: Batch, written: Written) -> None:
        """A batch has been committed. A reading without boot and seq has no name to tell."""
        if not self._every_s:
            return
        owed = self._owed
        for row in batch.rows:
            if row.seq:
                owed[row.topic, row.boot].stored.append(row.seq)
        for topic, boot, seq in (*batch.refused, *written.refused):
            owed[topic, boot].rejected.append(seq)

    def due(self, now: float, *, all_of_them: bool = False) -> Iterator[tuple[str, Receipt]]:
        """Topic and receipt for every device that was not told for `every_s` seconds; `now` is monotonic."""
        for key in list(self._owed):
            topic, boot = key
            if not all_of_them and now - self._told_at.get(topic, -self._every_s) < self._every_s:
                continue
            owed = self._owed.pop(key)
            rejected = set(owed.rejected)
            receipt = Receipt(boot=boot, stored=ranges(set(owed.stored) - rejected), rejected=ranges(rejected))
            _, bed = self._topics.parse(topic)
            yield self._topics.receipts(bed.ward, bed.device), receipt
            self._told_at[topic] = now
        if len(self._told_at) > 2 * len(self._owed) + 100_000:  # devices that are long gone
            self._told_at = {topic: at for topic, at in self._told_at.items() if now - at < self._every_s}

    def forget(self) -> None:
        """Nobody can be told now. Devices will send again what they were not told about."""
        self._owed.clear()
