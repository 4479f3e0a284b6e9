"""Send the messages of a queue to its receivers, each until it is accepted or rejected, in a thread of its own."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from edges.outgoing.metrics import Metrics

log = logging.getLogger("edges")

LATE_S = 30.0  # age of a message from which on the receiver counts as down
RETRY_S = 1.0  # between two attempts to write the file


class Sender(Protocol):
    """What sends to one receiver.

    name     of the receiver
    added    set when messages were added to the queue
    oldest   when the oldest message without an acknowledgement was queued, in unix seconds; None without one
    """

    name: str
    added: asyncio.Event
    oldest: float | None

    async def send(self) -> None:
        """Send until it is cancelled; may raise sqlite3.Error, and is called again."""

    def queued(self) -> int:
        """Return how many messages wait."""

    def find_problem(self) -> str:
        """Return why messages are not accepted, in one sentence; empty: they are, or are only late."""


class Delivery:
    """The senders of one queue. No sender waits for another one."""

    def __init__(self, senders: Sequence[Sender], metrics: Metrics) -> None:
        self._senders = senders
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        for sender in senders:
            metrics.add_receiver(sender.name, sender.queued, partial(_age_now_s, sender))

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def added(self) -> None:
        """Send what was added to the queue. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._set_added)

    def stop(self) -> None:
        """End; a message without an acknowledgement stays in the queue."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5.0)

    def find_problem(self, now: datetime) -> str:
        """Return why messages do not arrive; empty: they do."""
        if not self._thread.is_alive():
            return "the sender has ended because of a defect"
        problems = []
        for sender in self._senders:
            if problem := sender.find_problem():
                problems.append(problem)
            elif _age_s(sender, now) > LATE_S:
                problems.append(f"{sender.name} has not acknowledged a message for {LATE_S:g} s")
        return "; ".join(problems)

    def _set_added(self) -> None:
        for sender in self._senders:
            sender.added.set()

    def _run(self) -> None:
        self._loop.run_until_complete(self._until_stopped())

    async def _until_stopped(self) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        tasks = [stopping, *(asyncio.ensure_future(_send(sender)) for sender in self._senders)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def _send(sender: Sender) -> None:
    while True:
        try:
            await sender.send()
        except sqlite3.Error as error:
            log.error("the queue cannot be written: %s", error)
            await asyncio.sleep(RETRY_S)


def _age_s(sender: Sender, now: datetime) -> float:
    return 0.0 if sender.oldest is None else max(0.0, now.timestamp() - sender.oldest)


def _age_now_s(sender: Sender) -> float:
    return _age_s(sender, datetime.now(UTC))
