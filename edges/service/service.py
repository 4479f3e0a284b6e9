"""The service of the edges: inbox, feed, status and metrics, around whatever listener brings messages.

The order at the end: the listener answers what it has received, the beds send what is in memory, the inbox is closed,
the status becomes offline. What has no receipt by then stays in the inbox for the next start.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devices.fleet import ignore_closed_sockets
from edges.admissions.publisher import AdmissionPublisher
from edges.admissions.queue import AdmissionQueue
from edges.config.settings import EdgesSettings
from edges.config.site import Site
from edges.inbox.feed import Feed
from edges.inbox.inbox import Inbox
from edges.inbox.logins import Logins
from edges.service.metrics import Metrics
from edges.service_connection import ServiceConnection
from mqtt.async_client import prepare_loop
from mqtt.broker_check import BrokerCheck, check_broker
from mqtt.broker_metrics import BrokerMetrics
from vitals.program import raise_open_files_limit

log = logging.getLogger("edges")


@dataclass(frozen=True, slots=True)
class Service:
    """The running parts that a listener uses.

    background   what ends the service when it fails; a listener may add to it
    checks       of a listener: each returns why it does not do all of its work, or an empty text
    """

    inbox: Inbox
    feed: Feed
    connection: ServiceConnection
    admissions: AdmissionPublisher
    metrics: Metrics
    broker_check: BrokerCheck
    background: list[asyncio.Task[None]]
    checks: list[Callable[[], str]] = field(default_factory=list)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Wait for `stop`; raises PermanentError if the service cannot go on."""
        stopped = asyncio.ensure_future(stop.wait())
        done, _ = await asyncio.wait([stopped, *self.background], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in done - {stopped}:
            task.result()

    def find_problem(self) -> str:
        """Return why the service does not do all of its work; empty: it does."""
        refused = [feed for feed in self.feed.beds.values() if feed.problem]
        if self.inbox.problem:
            return self.inbox.problem
        if refused:
            bed = refused[0].bed
            others = f" and {len(refused) - 1} more beds" if len(refused) > 1 else ""
            return f"{bed.ward}/{bed.device}{others}: {refused[0].problem}"
        return next(filter(None, (check() for check in self.checks)), self.connection.denied)

    def health(self) -> tuple[str | None, dict[str, object]]:
        """Return why the service does not do its work, for /healthz, and facts."""
        problem = self.inbox.problem
        if not problem and not self.connection.connected:
            problem = "there is no connection to the broker; messages are kept in the inbox"
        facts: dict[str, object] = {
            "beds": len(self.feed.beds),
            "connected": self.feed.connected,
            "waiting": self.inbox.counts.readings,
            "unplaced": self.inbox.counts.unplaced,
            **self.connection.order.facts,
            "broker_lacks": self.broker_check.missing,
        }
        return problem or self.find_problem() or None, facts


@asynccontextmanager
async def running_service(
    settings: EdgesSettings,
    site: Site,
    inbox_path: Path,
    credentials: Path | None,
    model: str,
    *,
    right_clock: bool = False,
) -> AsyncIterator[Service]:
    """Run the service for the time of the block; raises PermanentError if it cannot start.

    model         of the beds in their status, such as HL7 v2
    right_clock   whether the senders' times are right, also of readings that come late
    """
    raise_open_files_limit()
    metrics = Metrics()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(ignore_closed_sockets)
    prepare_loop(loop, settings.broker)
    inbox = Inbox(inbox_path, int(time.time()), log.warning, metrics.commit_seconds.observe)
    left = inbox.begin(site, time.time())
    logins = Logins(settings.broker, credentials or settings.edges_credentials)
    feed = Feed(inbox, settings.broker, settings.topics, logins, model, right_clock=right_clock)
    queue, client_id = AdmissionQueue(inbox_path), settings.edges_client_id
    admissions = AdmissionPublisher(
        queue, settings.topics, client_id, lambda effect: metrics.admissions.labels(effect.value).inc()
    )

    def take(topic: str, payload: bytes, _retained: bool) -> None:
        admissions.take(topic, payload)

    connection = ServiceConnection(settings.broker, settings.topics, client_id, admissions.filters, take)
    background: list[asyncio.Task[None]] = [
        loop.create_task(feed.run()),
        loop.create_task(connection.run(admissions.begin, admissions.work)),
    ]
    in_use = metrics.registry, metrics.prefix, lambda: connection.order, lambda: connection.connected
    BrokerMetrics(*in_use)
    topic = settings.topics.service(client_id)
    broker_check = BrokerCheck(*in_use, lambda broker: check_broker(broker, topic, 0), log)
    broker_check.start()
    service = Service(inbox, feed, connection, admissions, metrics, broker_check, background)
    connection.find_problem = service.find_problem
    metrics.watch(inbox, feed, lambda: connection.connected, queue.waiting)
    host, port = settings.edges_metrics_host, settings.edges_metrics_port
    metrics.serve(host, port, settings.broker, service.health)
    inbox.on_kept = feed.put
    inbox.start()
    for bed in left:
        feed.begin(bed)
    if inbox.counts.readings:
        log.info("%d readings of earlier runs are in %s and will be published", inbox.counts.readings, inbox_path)
    try:
        yield service
    finally:
        await feed.stop()
        await inbox.close()
        connection.stop()
        _, late = await asyncio.wait(background, timeout=5.0)
        for task in late:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        queue.close()
