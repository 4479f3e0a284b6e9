"""Receipts: confirm to each device after COMMIT which of its readings are stored, so that it may delete them. Pure.

`pipeline` records every committed batch here and publishes what `due` yields. A lost receipt does no harm: the device
sends the readings again, and they are confirmed as duplicates.
"""

from collections import defaultdict, deque
from collections.abc import Iterator

from msgspec import Struct

from ingest.batch import Batch
from ingest.store import WriteResult
from vitals.receipt import Receipt, ranges
from vitals.topics import Topics

_Key = tuple[str, int]
"""The topic of a device's readings, and the boot."""


class _Pending(Struct):
    """The seqs of one boot of a device that no receipt has named yet."""

    stored: list[int] = []
    rejected: list[int] = []


class Receipts:
    """Receipts that are not sent yet. `every_s`: seconds between two receipts to a device; 0 for no receipts."""

    def __init__(self, topics: Topics, every_s: float) -> None:
        self._topics = topics
        self._vitals = topics.vitals("", "").removesuffix("/")  # what the topics of readings begin with
        self._every_s = every_s
        self._pending: dict[_Key, _Pending] = {}
        # The same keys by the time at which each is due. These times are few: devices with a receipt at once share one.
        self._due: defaultdict[float, deque[_Key]] = defaultdict(deque)
        self._sent_at: dict[str, float] = {}

    def record(self, batch: Batch, result: WriteResult) -> None:
        """Record a committed batch. A reading without boot and seq cannot be named in a receipt."""
        if not self._every_s:
            return
        pending = self._pending
        for row in batch.readings:
            if row.seq:
                key = (row.topic, row.boot)
                (pending.get(key) or self._add_pending(key)).stored.append(row.seq)
        for topic, boot, seq in (*batch.rejected_readings, *result.rejected_readings):
            key = (topic, boot)
            (pending.get(key) or self._add_pending(key)).rejected.append(seq)

    def due(self, now: float, *, flush: bool = False) -> Iterator[tuple[str, Receipt]]:
        """Yield topic and receipt for each device whose last receipt is `every_s` seconds old, or for all if `flush`.

        `now` is monotonic.
        """
        for at in sorted(self._due):
            if at > now and not flush:
                break
            keys = self._due[at]
            while keys:
                key = keys.popleft()
                pending = self._pending.pop(key)
                topic, boot = key
                self._sent_at[topic] = now
                rejected = set(pending.rejected)
                receipt = Receipt(boot=boot, stored=ranges(set(pending.stored) - rejected), rejected=ranges(rejected))
                ward, _, device = topic.removeprefix(self._vitals).partition("/")
                yield self._topics.receipts(ward, device), receipt
            del self._due[at]
        if len(self._sent_at) > 2 * len(self._pending) + 100_000:  # drop devices that no longer send
            self._sent_at = {topic: at for topic, at in self._sent_at.items() if now - at < self._every_s}

    def clear(self) -> None:
        """Drop all receipts, because the connection is lost. Devices resend what no receipt named."""
        self._pending.clear()
        self._due.clear()

    def _add_pending(self, key: _Key) -> _Pending:
        """Add an entry that is due `every_s` after the last receipt to its device."""
        self._due[self._sent_at.get(key[0], -self._every_s) + self._every_s].append(key)
        self._pending[key] = pending = _Pending()
        return pending
