"""Send the messages of a queue to one receiver over HTTP, each until it is accepted or rejected.

The messages of one series go one after the other; those of others do not wait for them. A receiver that is down or busy
is left alone for a while.
"""

import asyncio
import logging
from datetime import UTC, datetime

from edges.alert_webhooks.client import MAX_IN_FLIGHT, Answer, Client, Result, Target
from edges.alert_webhooks.templates import write_open
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Queue, Waiting
from vitals.backoff import Backoff
from vitals.log import WaitLog

log = logging.getLogger("edges")

FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 10.0  # of a receiver, and of a series
MAX_FAILED_SERIES = 3  # that fail without a success in between: it is the receiver that is down
POLL_S = 1.0  # in which a message that `resend` queues is found
REFRESH_S = 60.0  # between two statements of all open alerts to Alertmanager


class WebhookSender:
    """The sender of one receiver."""

    def __init__(self, target: Target, queue: Queue, metrics: Metrics) -> None:
        self.name = target.name
        self.added = asyncio.Event()
        self.oldest: float | None = None
        self._target = target
        self._queue = queue
        self._metrics = metrics
        self._problem = ""
        self._wait_log = WaitLog(f"an acceptance by {target.name}", log.warning)
        self._backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        self._paused_until = 0.0
        self._failing: dict[str, Backoff] = {}  # series -> its pauses
        self._failed_in_succession: set[str] = set()
        self._paused_series: dict[str, float] = {}
        self._refresh_at = 0.0

    def queued(self) -> int:
        """Return how many messages wait."""
        return self._queue.count(self.name)

    def find_problem(self) -> str:
        """Return that the receiver rejected the last message; empty: it accepted one since then."""
        return self._problem

    async def send(self) -> None:
        """Send until it is cancelled; raises sqlite3.Error."""
        tasks: dict[asyncio.Task[None], str] = {}
        async with Client(self._target) as client:
            try:
                while True:
                    self._start(client, tasks)
                    if not tasks:
                        await self._refresh(client)
                    await self._wait(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, client: Client, tasks: dict[asyncio.Task[None], str]) -> None:
        """Begin to send the oldest messages whose series and receiver do not wait."""
        oldest = self._queue.next(self.name)
        self.oldest = oldest and oldest.queued
        now = asyncio.get_running_loop().time()
        self._paused_series = {series: until for series, until in self._paused_series.items() if until > now}
        while now >= self._paused_until and len(tasks) < MAX_IN_FLIGHT:
            waiting = self._queue.next(self.name, {*tasks.values(), *self._paused_series})
            if waiting is None:
                return
            tasks[asyncio.create_task(self._deliver(client, waiting))] = waiting.message.series

    async def _wait(self, tasks: dict[asyncio.Task[None], str]) -> None:
        """Wait until there may be something to send."""
        now = asyncio.get_running_loop().time()
        pauses = [until - now for until in (self._paused_until, *self._paused_series.values()) if until > now]
        added = asyncio.create_task(self.added.wait())
        try:
            done, _ = await asyncio.wait(
                [*tasks, added], timeout=min([POLL_S, *pauses]), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            added.cancel()
        self.added.clear()
        for task in tasks.keys() & done:
            del tasks[task]
            task.result()

    async def _deliver(self, client: Client, waiting: Waiting) -> None:
        answer = await client.post(waiting.message.id, waiting.message.content)
        now = datetime.now(UTC)
        match answer.result:
            case Result.FAILED:
                self._pause(waiting.message.series, answer)
                return
            case Result.ACCEPTED:
                self._queue.delete(waiting)
                self._metrics.accepted(self.name, max(0.0, now.timestamp() - waiting.queued))
                self._problem = ""
            case Result.REJECTED:
                log.error("%s rejects the message %s: %s", self.name, waiting.message.id, answer)
                self._queue.reject(waiting, answer.code, answer.reason, now)
                self._metrics.rejected.labels(self.name).inc()
                self._problem = f"{self.name} rejected the last message: {answer}"
        self._failing.pop(waiting.message.series, None)
        self._failed_in_succession.clear()
        self._backoff.reset()
        if self._wait_log.over():
            log.info("%s answers", self.name)

    def _pause(self, series: str, answer: Answer) -> None:
        """Leave the series alone for a while, and the receiver if no other message would be accepted."""
        self._metrics.failed.labels(self.name).inc()
        now = asyncio.get_running_loop().time()
        self._wait_log.waiting(str(answer), now)
        self._failed_in_succession.add(series)
        if answer.concerns_all or len(self._failed_in_succession) >= MAX_FAILED_SERIES:
            if now >= self._paused_until:  # attempts at the same time fail for one reason
                self._paused_until = now + self._backoff.next()
            self._paused_until = max(self._paused_until, now + (answer.retry_after_s or 0.0))
        else:
            pause_s = self._failing.setdefault(series, Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)).next()
            self._paused_series[series] = now + max(pause_s, answer.retry_after_s or 0.0)

    async def _refresh(self, client: Client) -> None:
        """State all open alerts to an Alertmanager to which nothing waits: it forgets them when it is restarted.

        Nothing else is sent meanwhile, so no alert that has ended is stated after its end.
        """
        now = asyncio.get_running_loop().time()
        if self._target.style.template != "alertmanager" or now < max(self._refresh_at, self._paused_until):
            return
        self._refresh_at = now + REFRESH_S
        if self._queue.next(self.name) is None and (alerts := self._queue.read_open()):
            moment = datetime.now(UTC)
            answer = await client.post(f"open_{moment.timestamp():.0f}", write_open(alerts, self._target.style, moment))
            if answer.result is not Result.ACCEPTED:
                self._metrics.failed.labels(self.name).inc()
                self._wait_log.waiting(str(answer), now)
