"""Put a device's readings into its outbox at their scheduled times, without waiting for the network."""

import asyncio
from datetime import UTC, datetime

from devices.fleet_stats import FleetStats
from devices.outbox.queue import Outbox
from devices.source import Source


class Producer:
    """Produces the readings of `source`.

    Its fields are those of `devices.publisher.Supply`.
    """

    def __init__(self, source: Source, outbox: Outbox, stats: FleetStats) -> None:
        self.is_finished = False
        self.changed = asyncio.Event()
        self.has_room = asyncio.Event()
        self._source = source
        self._outbox = outbox
        self._stats = stats

    async def run(self, start: float) -> None:
        """Produce each reading at its time, counted from `start` on the loop's clock, until the source ends."""
        now = asyncio.get_running_loop().time
        outbox, stats = self._outbox, self._stats
        seq = 0
        try:
            for due, sample in self._source.samples:
                # Relative to the start and not to the last reading, so that one delay does not delay all that follow.
                await asyncio.sleep(max(0.0, start + due - now()))
                if sample is None:
                    continue
                while self._source.can_wait and outbox.is_full:
                    self.has_room.clear()
                    await self.has_room.wait()
                seq += 1
                evicted = outbox.evicted_unconfirmed
                stats.dropped += outbox.put(self._source.stamp(sample, seq, datetime.now(UTC)))
                stats.evicted_unconfirmed += outbox.evicted_unconfirmed - evicted
                stats.produced += 1
                self.changed.set()
        finally:
            self.is_finished = True
            self.changed.set()
