"""Send the messages of a queue in their order, each until it is accepted or rejected, in a thread of its own."""

import asyncio
import logging
import sqlite3
import threading
from datetime import UTC, datetime

from edges.hl7.client import Client, Receiver, Result
from edges.hl7.er7 import parse_header
from edges.hl7.outgoing import Outgoing, Waiting
from edges.hl7.outgoing_metrics import Metrics

log = logging.getLogger("edges.hl7")

LATE_S = 30.0  # age of a message from which on the receiver counts as down
RETRY_S = 1.0  # between two attempts to write the file


class Delivery:
    """The sender of one queue."""

    def __init__(self, receiver: Receiver, outgoing: Outgoing, metrics: Metrics) -> None:
        self._receiver = receiver
        self._outgoing = outgoing
        self._metrics = metrics
        self._oldest: float | None = None
        self._loop = asyncio.new_event_loop()
        self._added = asyncio.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        metrics.queued.set_function(lambda: outgoing.count)
        metrics.oldest_age_seconds.set_function(lambda: self.oldest_age_s(datetime.now(UTC)))

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def added(self) -> None:
        """Send what was added to the queue. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._added.set)

    def stop(self) -> None:
        """End; a message without an acknowledgement stays in the queue."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5.0)

    def oldest_age_s(self, now: datetime) -> float:
        """Return the age of the oldest message without an acknowledgement, 0 without one."""
        oldest = self._oldest
        return 0.0 if oldest is None else max(0.0, now.timestamp() - oldest)

    def find_problem(self, now: datetime) -> str:
        """Return why messages do not arrive, in one sentence; empty: they do."""
        if not self._thread.is_alive():
            return "the sender of HL7 has ended because of a defect"
        age_s = self.oldest_age_s(now)
        return f"{self._receiver} has not acknowledged a message for {LATE_S:g} s" if age_s > LATE_S else ""

    def _run(self) -> None:
        self._loop.run_until_complete(self._until_stopped())

    async def _until_stopped(self) -> None:
        sending = asyncio.ensure_future(self._send())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([sending, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, stopping):
            task.cancel()
        results = await asyncio.gather(sending, stopping, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send(self) -> None:
        async with Client(self._receiver) as client:
            while True:
                try:
                    waiting = self._outgoing.first()
                    self._oldest = waiting and waiting.queued
                    if waiting is None:
                        await self._added.wait()
                        self._added.clear()
                        continue
                    await self._deliver(client, waiting)
                except sqlite3.Error as error:
                    log.error("the queue cannot be written: %s", error)
                    await asyncio.sleep(RETRY_S)

    async def _deliver(self, client: Client, waiting: Waiting) -> None:
        answer = await client.deliver(waiting.content)
        now = datetime.now(UTC)
        if answer.result is Result.ACCEPT:
            self._outgoing.delete(waiting.number)
            self._metrics.sent.inc()
            self._metrics.delay_seconds.observe(max(0.0, now.timestamp() - waiting.queued))
            return
        control_id = parse_header(waiting.content).header.raw(10)
        log.error("%s rejects the message %s: %s %s", self._receiver, control_id, answer.code, answer.text)
        self._outgoing.reject(waiting.number, answer.code, answer.text, now)
        self._metrics.rejected.inc()
