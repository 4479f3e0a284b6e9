"""Send the messages of a queue to a receiver of HL7 in their order, each until it is accepted or rejected."""

import asyncio
import logging
from datetime import UTC, datetime

from edges.hl7.client import Client, Receiver, Result
from edges.hl7.er7 import parse_header
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Queue, Waiting

log = logging.getLogger("edges.hl7")


class Hl7Sender:
    """The sender of one queue."""

    def __init__(self, receiver: Receiver, queue: Queue, metrics: Metrics) -> None:
        self.name = str(receiver)
        self.added = asyncio.Event()
        self.oldest: float | None = None
        self._receiver = receiver
        self._queue = queue
        self._metrics = metrics

    def queued(self) -> int:
        """Return how many messages wait."""
        return self._queue.count()

    def find_problem(self) -> str:
        """Return nothing: a rejected message is logged, and the next one is sent."""
        return ""

    async def send(self) -> None:
        """Send until it is cancelled; raises sqlite3.Error."""
        async with Client(self._receiver) as client:
            while True:
                waiting = self._queue.next()
                self.oldest = waiting and waiting.queued
                if waiting is None:
                    await self.added.wait()
                    self.added.clear()
                    continue
                await self._deliver(client, waiting)

    async def _deliver(self, client: Client, waiting: Waiting) -> None:
        answer = await client.deliver(waiting.message.content)
        now = datetime.now(UTC)
        if answer.result is Result.ACCEPT:
            self._queue.delete(waiting)
            self._metrics.accepted(self.name, max(0.0, now.timestamp() - waiting.queued))
            return
        control_id = parse_header(waiting.message.content).header.raw(10)
        log.error("%s rejects the message %s: %s %s", self._receiver, control_id, answer.code, answer.text)
        self._queue.reject(waiting, answer.code, answer.text, now)
        self._metrics.rejected.labels(self.name).inc()
