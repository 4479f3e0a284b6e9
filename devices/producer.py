"""Puts a device's readings into its outbox at their moments. Never waits for the network."""

import asyncio
from datetime import UTC, datetime

from devices.fleet_stats import FleetStats
from devices.outbox.queue import Outbox
from devices.source import Source


class Producer:
    """What `source` measures, stamped. `changed` is set with each reading and at the end, after which `is_over`."""

    def __init__(self, source: Source, outbox: Outbox, stats: FleetStats, changed: asyncio.Event) -> None:
        self.is_finished = False
        self.room = asyncio.Event()  # set by whoever takes readings out of the outbox
        self._source = source
        self._outbox = outbox
        self._stats = stats
        self._changed = changed

    async def run(self, start: float) -> None:
        """Each reading at its moment, counted from `start` on the loop's clock, until the source ends."""
        now = asyncio.get_running_loop().time
        outbox, stats = self._outbox, self._stats
        seq = 0
        try:
            for due, sample in self._source.samples:
                # By the schedule and not by the last reading, so that being late once is not being late for ever.
                await asyncio.sleep(max(0.0, start + due - now()))
                if sample is None:
                    continue
                while self._source.can_wait and outbox.is_full:
                    self.room.clear()
                    await self.room.wait()
                seq += 1
                evicted_unconfirmed = outbox.evicted_unconfirmed
                stats.dropped += outbox.put(self._source.stamp(sample, seq, datetime.now(UTC)))
                stats.evicted_unconfirmed += outbox.evicted_unconfirmed - evicted_unconfirmed
                stats.produced += 1
                self._changed.set()
        finally:
            self.is_finished = True
            self._changed.set()
