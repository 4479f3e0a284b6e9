"""What the broker has taken and no receipt has named yet: the half of an outbox that decides what is sent again.

Pure; time is an argument. Being late alone does not mean being lost: while the database is away the broker keeps
thousands of readings of each device, and sending them again would only make its queue longer. Readings of a device
travel in order, so one is lost when a *later* one has got its receipt and it has not. Only a device that sends
nothing any more has to ask by sending again, more and more rarely.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

from vitals.reading import Reading
from vitals.receipt import RECEIPT_INTERVAL_S, Range

# Seconds from a PUBACK to sending again, at least. Three receipts' time: a reading may just miss one, and a commit
# may take a while.
RESEND_AFTER_S = 3 * RECEIPT_INTERVAL_S
LAST_PROBE_S = 300.0  # a device with nothing new asks after 15, 30, 60 ... and then every 300 seconds

ReadingId = tuple[int, int]
"""Boot and seq: what names a reading within a device."""


class _Sent(NamedTuple):
    reading: Reading
    at: float  # when its last PUBACK came, seconds
    once: bool  # not sent again so far


class Unconfirmed:
    """Readings in the order of their PUBACKs. Nothing here is about time-outs of a connection: that is `publisher`."""

    def __init__(self) -> None:
        self._sent: OrderedDict[ReadingId, _Sent] = OrderedDict()
        self._last = -inf  # when something was sent
        self._proof = -inf  # when the latest reading of those known to have arrived at their first sending was sent
        self._probe_s = RESEND_AFTER_S

    def __len__(self) -> int:
        return len(self._sent)

    def readings(self) -> list[Reading]:
        """All of them, in the order of their PUBACKs."""
        return [sent.reading for sent in self._sent.values()]

    def add(self, reading: Reading, now: float) -> None:
        """The broker has taken a reading for the first time."""
        self._sent[reading_id(reading)] = _Sent(reading, now, once=True)
        self._last = now

    def again(self, reading: Reading, now: float) -> bool:
        """The broker has taken a reading once more; False where it is not among these (or has gone meanwhile)."""
        name = reading_id(reading)
        known = self._sent.pop(name, None)
        if known is None:
            return False
        self._sent[name] = _Sent(reading, now, once=False)
        self._last = now
        return True

    def pop_oldest(self) -> ReadingId:
        """Let go of the one whose PUBACK is the oldest."""
        return self._sent.popitem(last=False)[0]

    def resend_at(self) -> float:
        """When `due` will have something; infinity where there is nothing to wait for."""
        if not self._sent:
            return inf
        oldest = next(iter(self._sent.values()))
        return oldest.at + RESEND_AFTER_S if oldest.at < self._proof else self._last + self._probe_s

    def due(self, now: float, limit: int) -> list[Reading]:
        """At most `limit` of the oldest readings, to be sent again now. They stay."""
        if now < self.resend_at():
            return []
        before = self._proof
        if next(iter(self._sent.values())).at >= self._proof:
            before = inf  # nothing later has arrived either: ask
            self._probe_s = min(2 * self._probe_s, LAST_PROBE_S)
        batch = []
        for sent in islice(self._sent.values(), limit):
            if sent.at >= before or sent.at + RESEND_AFTER_S > now:
                break
            batch.append(sent.reading)
        return sorted(batch, key=reading_id)  # some of them may have been sent again before

    def release(self, boot: int, spans: Sequence[Range]) -> list[ReadingId]:
        """Let go of what the ranges of a receipt name; returns the names. Ranges as `merge_ranges` makes them."""
        if sum(last - first + 1 for first, last in spans) <= len(self._sent):
            names = [(boot, seq) for first, last in spans for seq in range(first, last + 1)]
        else:
            names = [name for name in self._sent if name[0] == boot and in_ranges(spans, name[1])]
        gone = []
        for name in names:
            sent = self._sent.pop(name, None)
            if sent is None:
                continue
            gone.append(name)
            # One that was sent twice may have arrived the first time, long ago: it proves nothing about others.
            if sent.once and sent.at > self._proof:
                self._proof = sent.at
        if gone:
            self._probe_s = RESEND_AFTER_S
        return gone


def reading_id(reading: Reading) -> ReadingId:
    """What names a reading within its device."""
    return reading.boot, reading.seq


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers as rising ranges that do not touch; a receipt from a stranger may have any."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def in_ranges(spans: Sequence[Range], seq: int) -> bool:
    """Whether merged ranges contain a number."""
    place = bisect_right(spans, seq, key=lambda span: span[0]) - 1
    return place >= 0 and seq <= spans[place][1]
