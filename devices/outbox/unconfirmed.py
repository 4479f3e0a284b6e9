"""Readings that have their PUBACK and no receipt yet, and which of them to resend. Pure; time is an argument.

A late receipt alone does not mean that a reading is lost: while the database is unavailable, the broker queues
thousands of readings per device, and resending them would only lengthen its queue. Readings of a device arrive in
order, so a reading is lost if a *later* one has its receipt and it has not. Only a device that sends nothing new has to
probe by resending, at growing intervals.
"""

import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

from vitals.reading import Reading
from vitals.receipt import RECEIPT_INTERVAL_S, Range

# The least time from a PUBACK to resending, in seconds. Three intervals of receipts: a reading may just miss one, and a
# commit may take some time.
RESEND_AFTER_S = 3 * RECEIPT_INTERVAL_S
LAST_PROBE_S = 300.0  # without new readings, probes follow after 15, 30, 60 ... and then every 300 seconds
LONG_AGO = -sys.float_info.max  # later than -inf

ReadingId = tuple[int, int]
"""Boot and seq, which identify a reading of a device."""


class _Sent(NamedTuple):
    reading: Reading
    acknowledged_at: float  # time of its last PUBACK, in seconds
    sent_once: bool


class Unconfirmed:
    """Unconfirmed readings in the order of their PUBACKs."""

    def __init__(self) -> None:
        self._sent: OrderedDict[ReadingId, _Sent] = OrderedDict()
        self._last_sent_at = -inf
        # The latest PUBACK of a reading that was sent once and is confirmed. What was acknowledged before it and has
        # no receipt is lost.
        self._confirmed_until = -inf
        self._probe_s = RESEND_AFTER_S

    def __len__(self) -> int:
        return len(self._sent)

    def readings(self) -> list[Reading]:
        """Return all readings in the order of their PUBACKs."""
        return [sent.reading for sent in self._sent.values()]

    def add(self, reading: Reading, now: float) -> None:
        """Record the first PUBACK of a reading."""
        self._sent[reading_id(reading)] = _Sent(reading, now, sent_once=True)
        self._last_sent_at = now

    def on_resend_puback(self, reading: Reading, now: float) -> bool:
        """Record the PUBACK of a resent reading; return False if it is not unconfirmed (any more)."""
        name = reading_id(reading)
        known = self._sent.pop(name, None)
        if known is None:
            return False
        self._sent[name] = _Sent(reading, now, sent_once=False)
        self._last_sent_at = now
        return True

    def pop_oldest(self) -> ReadingId:
        """Remove the reading with the oldest PUBACK."""
        return self._sent.popitem(last=False)[0]

    def expire(self) -> None:
        """Make all readings due now."""
        for name, sent in self._sent.items():
            self._sent[name] = _Sent(sent.reading, -inf, sent_once=False)
        self._confirmed_until = max(self._confirmed_until, LONG_AGO)

    def resend_at(self) -> float:
        """Return when `due` will return readings; infinity if there are none."""
        if not self._sent:
            return inf
        oldest = next(iter(self._sent.values()))
        return (
            oldest.acknowledged_at + RESEND_AFTER_S
            if oldest.acknowledged_at < self._confirmed_until
            else self._last_sent_at + self._probe_s
        )

    def due(self, now: float, limit: int) -> list[Reading]:
        """Return at most `limit` of the oldest readings, to be resent now. They stay unconfirmed."""
        if now < self.resend_at():
            return []
        before = self._confirmed_until
        if next(iter(self._sent.values())).acknowledged_at >= self._confirmed_until:
            before = inf  # no later reading is confirmed either: probe
            self._probe_s = min(2 * self._probe_s, LAST_PROBE_S)
        batch = []
        for sent in islice(self._sent.values(), limit):
            if sent.acknowledged_at >= before or sent.acknowledged_at + RESEND_AFTER_S > now:
                break
            batch.append(sent.reading)
        return sorted(batch, key=reading_id)  # some may have been resent before

    def release(self, boot: int, spans: Sequence[Range]) -> list[ReadingId]:
        """Remove the readings in ranges of seq, as made by `merge_ranges`; return the removed ones."""
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
            # A reading that was sent twice may have been stored at the first time: it says nothing about the others.
            if sent.sent_once and sent.acknowledged_at > self._confirmed_until:
                self._confirmed_until = sent.acknowledged_at
        if gone:
            self._probe_s = RESEND_AFTER_S
        return gone


def reading_id(reading: Reading) -> ReadingId:
    """Return boot and seq of a reading."""
    return reading.boot, reading.seq


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return the same numbers as ascending ranges that do not touch; a receipt may contain any."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def in_ranges(spans: Sequence[Range], seq: int) -> bool:
    """Return whether merged ranges contain `seq`."""
    index = bisect_right(spans, seq, key=lambda span: span[0]) - 1
    return index >= 0 and seq <= spans[index][1]
