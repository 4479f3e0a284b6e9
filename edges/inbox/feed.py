"""Publish the readings of the inbox: each bed as a device of its own, each reading until its receipt.

A bed begins with its first message, or at the start if an earlier run left readings of it. Its outbox is a window on
the inbox: what does not fit stays in the inbox and is read when there is room, so memory is bounded and nothing is
dropped. A PUBACK alone deletes nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from devices.fleet_stats import FleetStats
from devices.outbox.queue import Outbox
from devices.publisher import Publisher
from devices.source import Source
from edges.inbox.inbox import Bed, Inbox
from edges.inbox.logins import Logins
from edges.inbox.pace import Pace
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError, TransientError
from vitals.log import Throttle, WaitLog
from vitals.reading import Reading
from vitals.topics import Topics

log = logging.getLogger("edges")

CAPACITY = 1000  # readings of a bed in memory, about 0.5 MB
READ_LIMIT = 200  # readings that are read from the inbox at once: 2 ms
RETRY_S = 5.0  # after a login that is missing or refused, and after a failed read
# A message costs as much as receiving one, whatever number of readings it has. A bed that sends more often than this
# sends what has come meanwhile as one message. A monitor sends every second, if need be in several messages.
BURST = 5
INTERVAL_S = 0.1
POLL_S = 0.5  # between two checks of the connections


class _Journal:
    """Deletes from the inbox what has its receipt; the inbox keeps readings before the outbox has them."""

    def __init__(self, inbox: Inbox, number: int) -> None:
        self._inbox = inbox
        self._number = number

    def keep(self, readings: Sequence[Reading]) -> None:
        """Do nothing: they are in the inbox."""

    def forget(self, keys: Sequence[tuple[int, int]]) -> None:
        """Delete readings."""
        self._inbox.forget(self._number, keys)

    def receipts_seen(self) -> None:
        """Do nothing: receipts are always assumed."""


class BedFeed:
    """What fills the outbox of one bed: a `devices.publisher.Supply`.

    problem   why it cannot log in; empty: it can, or has not tried
    """

    def __init__(self, bed: Bed, inbox: Inbox) -> None:
        self.bed = bed
        self.stats = FleetStats(1)
        self.outbox = Outbox(CAPACITY, _Journal(inbox, bed.number), receipts=True)
        self.changed = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_finished = False
        self.problem = ""
        self._inbox = inbox
        self._last = (0, 0)  # boot and seq of the last reading in the outbox
        self._behind = True  # the inbox has, or may have, readings after it
        self._pace = Pace(BURST, INTERVAL_S)
        self._is_due = False  # `_wake` will be called

    def put(self, reading: Reading) -> None:
        """Add a reading that the inbox has just kept, or leave it there until there is room."""
        if self._behind or self.outbox.is_full:
            self._behind = True
        elif (reading.boot, reading.seq) > self._last:
            self._add(reading)

    def fill(self) -> None:
        """Read on from the inbox while there is room; raises TransientError."""
        while self._behind and not self.outbox.is_full:
            room = min(READ_LIMIT, self.outbox.capacity - self.outbox.waiting - self.outbox.unconfirmed)
            readings = self._inbox.readings_after(self.bed.number, *self._last, room)
            for reading in readings:
                self._add(reading)
            self._behind = len(readings) == room

    def _add(self, reading: Reading) -> None:
        if reading.boot == self.bed.boot:
            self.outbox.put(reading)
            self.stats.produced += 1
        else:
            self.outbox.restore([reading])  # of an earlier run: a receipt may name later ones of it
            self.stats.restored += 1
        self._last = reading.boot, reading.seq
        if not self._is_due:
            self._wake()

    def _wake(self) -> None:
        """Let the publisher send now, or a moment later together with the readings that follow."""
        loop = asyncio.get_running_loop()
        wait_s = self._pace.take(loop.time())
        self._is_due = wait_s > 0
        if self._is_due:
            loop.call_later(wait_s, self._wake)
        else:
            self.changed.set()


class Feed:
    """All beds. Call `begin` and then `run` in the event loop; `put` is the inbox's `on_kept`."""

    def __init__(
        self,
        inbox: Inbox,
        broker: BrokerEndpoint,
        topics: Topics,
        logins: Logins,
        model: str,
        *,
        right_clock: bool = False,
    ) -> None:
        self.beds: dict[int, BedFeed] = {}
        self._inbox = inbox
        self._broker = broker
        self._topics = topics
        self._logins = logins
        self._model = model
        self._right_clock = right_clock
        self._stopping = asyncio.Event()
        self._publishers: set[Publisher] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning, " (readings stay in the inbox)")
        self._bad_receipts = Throttle()
        self._unreadable = Throttle()

    @property
    def connected(self) -> int:
        """Number of beds that are connected."""
        return sum(feed.stats.connected for feed in self.beds.values())

    def put(self, bed: Bed, reading: Reading) -> None:
        """Publish a reading that the inbox has kept."""
        (self.beds.get(bed.number) or self.begin(bed)).put(reading)

    def begin(self, bed: Bed) -> BedFeed:
        """Connect a bed, and publish what the inbox has of it."""
        feed = self.beds[bed.number] = BedFeed(bed, self._inbox)
        for work in (self._fill(feed), self._publish(feed)):
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return feed

    async def run(self) -> None:
        """Report the end of an outage, until `stop`."""
        while not self._stopping.is_set():
            for feed in self.beds.values():
                if feed.stats.connected and feed.problem:
                    feed.problem = ""
                    log.info("%s/%s is connected", feed.bed.ward, feed.bed.device)
            if self.connected and self._wait_log.over():
                log.info("connected to the broker at %s", self._broker)
            await self._pause(POLL_S)

    async def stop(self) -> None:
        """Send what is in memory, for some seconds, and disconnect all beds."""
        self._stopping.set()
        for feed in self.beds.values():
            feed.has_room.set()
        timeouts = [0.0]
        for publisher in self._publishers:
            publisher.request_shutdown()
            timeouts.append(publisher.shutdown_timeout_s + 1.0)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(timeouts))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _fill(self, feed: BedFeed) -> None:
        while not self._stopping.is_set():
            try:
                feed.has_room.clear()
                feed.fill()
            except TransientError as error:
                if self._unreadable.due(asyncio.get_running_loop().time()):
                    log.warning("%s", error)
                feed.has_room.set()
                await self._pause(RETRY_S)
            await feed.has_room.wait()  # also set by `stop`

    async def _publish(self, feed: BedFeed) -> None:
        """Keep a bed connected; a login that is missing or refused is tried again, with the file read anew."""
        bed = feed.bed
        throttle = Throttle()
        while not self._stopping.is_set():
            try:
                broker = self._logins.endpoint(bed.ward, bed.device)
                await self._deliver(feed, broker, throttle)
            except PermanentError as error:
                self._report(feed, str(error), throttle)
            except Exception:
                log.exception("a defect ended the connection of %s/%s; it is restarted", bed.ward, bed.device)
            await self._pause(RETRY_S)

    async def _deliver(self, feed: BedFeed, broker: BrokerEndpoint, throttle: Throttle) -> None:
        bed = feed.bed
        source = Source(
            bed.device, bed.ward, None, self._model, bed.interval_s, bed.boot, (), right_clock=self._right_clock
        )

        def on_failure(reason: str) -> None:
            if reason.startswith("it refuses the login"):
                self._report(feed, "the broker refuses its login; enrol the device", throttle)
                try:
                    publisher.order.broker = self._logins.endpoint(bed.ward, bed.device)
                except PermanentError as error:
                    self._report(feed, str(error), throttle)
            else:
                self._wait_log.waiting(reason, asyncio.get_running_loop().time())

        publisher = Publisher(
            source,
            broker,
            self._topics,
            outbox=feed.outbox,
            supply=feed,
            stats=feed.stats,
            on_failure=on_failure,
            on_bad_receipt=self._report_receipt,
        )
        self._publishers.add(publisher)
        try:
            await publisher.deliver()
        finally:
            self._publishers.discard(publisher)

    def _report(self, feed: BedFeed, problem: str, throttle: Throttle) -> None:
        feed.problem = problem
        if throttle.due(asyncio.get_running_loop().time()):
            bed = feed.bed
            log.error("%s/%s is not published, its readings stay in the inbox: %s", bed.ward, bed.device, problem)

    def _report_receipt(self, problem: str) -> None:
        if self._bad_receipts.due(asyncio.get_running_loop().time()):
            log.warning("a receipt was ignored: %s", problem)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a defect ended the feed of a bed", exc_info=task.exception())

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond `stop`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
