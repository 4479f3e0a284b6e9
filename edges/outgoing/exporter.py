"""Take messages from the broker, and queue what they become, in one function: `Exporter.run`.

A message is acknowledged at the broker after the transaction that holds what it became, so a process that is killed
receives it again. `Delivery` sends the queue in a thread of its own.
"""

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from edges.config.settings import EdgesOutSettings
from edges.outgoing.alert_reports import Reported
from edges.outgoing.delivery import RETRY_S, Delivery
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Message, Queue
from mqtt.broker_metrics import BrokerMetrics
from mqtt.instance import Instance
from mqtt.session import Session
from mqtt.session_wait import wait_for_message
from mqtt.wake_socket import WakeSocket

log = logging.getLogger("edges")

WINDOW = 200  # messages without an acknowledgement that the broker may send
TICK_S = 0.5


@dataclass(slots=True)
class Batch:
    """What is to be queued in one transaction."""

    messages: list[Message] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)


class Source(Protocol):
    """What makes messages of MQTT messages."""

    @property
    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Topic filters with their QoS."""

    def connected(self, now: datetime) -> None:
        """Take note of a new connection."""

    def take(self, topic: str, payload: bytes, now: datetime, batch: Batch, *, retained: bool) -> None:
        """Add to the batch what a message becomes; raises ValueError for one that cannot be read."""

    def tick(self, now: datetime, batch: Batch) -> None:
        """Add to the batch what the time makes due."""


class Exporter:
    """One process that sends to other systems. `stop` may be called from a signal handler."""

    def __init__(
        self, settings: EdgesOutSettings, source: Source, queue: Queue, delivery: Delivery, metrics: Metrics
    ) -> None:
        self._source = source
        self._queue = queue
        self._delivery = delivery
        self._metrics = metrics
        self._stopping = False
        self._wake = WakeSocket()
        self._batch = Batch()
        self._unacknowledged: list[int] = []
        self._received_on = 0
        self._next_tick = 0.0
        self._retry_at = 0.0
        self._file_problem = ""
        self._problem_since: datetime | None = None
        self._instance = Instance(
            settings.broker,
            settings.topics,
            "edges-out",
            settings.edges_out_client_id,
            "a sender to other systems",
            lambda: self._stopping,
            log,
            " and --queue",
        )
        self._session = Session(
            settings.broker,
            settings.edges_out_client_id,
            self._instance.topic,
            list(source.subscriptions),
            window=WINDOW,
            boot=time.time_ns(),
            deliver=self._on_message,
            connected=self._on_connected,
            log=log,
        )
        metrics.mqtt_connected.set_function(lambda: self._session.connected)
        BrokerMetrics(metrics.registry, metrics.prefix, lambda: self._session.order, lambda: self._session.connected)

    def stop(self) -> None:
        """End `run` at once; what is queued stays in the file."""
        self._stopping = True
        self._wake.wake()

    def health(self) -> tuple[str | None, Mapping[str, object]]:
        """Return why messages are not sent, or None, for /healthz. Called from another thread."""
        problem = self._find_problem(datetime.now(UTC)) or self._session.find_problem(time.monotonic())
        return problem or None, {"queued": sum(self._queue.counts().values())}

    def run(self) -> None:
        """Receive, queue, acknowledge, until `stop`."""
        self._instance.refuse_second()
        self._delivery.start()
        try:
            self._run()
        finally:
            self._delivery.stop()

    def _run(self) -> None:
        while not self._stopping:
            self._session.ensure_connected(time.monotonic())
            if self._received_on != self._session.connection:
                self._unacknowledged.clear()  # they are redelivered on the new connection
                self._received_on = self._session.connection
            if wait_for_message(self._session, self._wake, self._next_tick - time.monotonic()):
                self._session.receive()
            self._tick()
            self._store()
            self._session.maintain(time.monotonic())
        self._session.disconnect()

    def _on_connected(self, session_present: bool) -> None:
        self._metrics.mqtt_connections.inc()
        self._source.connected(datetime.now(UTC))

    def _on_message(self, topic: bytes, payload: bytes, message_id: int, retained: bool, dup: bool) -> None:
        """For every message, from inside `Session.receive`."""
        if message_id:
            self._unacknowledged.append(message_id)
        try:
            self._source.take(topic.decode(), payload, datetime.now(UTC), self._batch, retained=retained)
        except (ValueError, OverflowError) as error:  # a time near the year 1 has no UTC
            self._metrics.unreadable.inc()
            log.error("a message on %s cannot be read, and nothing is sent of it: %s", ascii(topic[:300]), error)

    def _tick(self) -> None:
        if time.monotonic() < self._next_tick:
            return
        self._next_tick = time.monotonic() + TICK_S
        now = datetime.now(UTC)
        if not self._session.is_disconnected:  # while disconnected, missing messages prove nothing
            self._source.tick(now, self._batch)
        problem = self._find_problem(now)
        self._problem_since = (self._problem_since or now) if problem else None
        self._session.set_problem((problem, self._problem_since) if self._problem_since is not None else None)

    def _find_problem(self, now: datetime) -> str:
        return self._file_problem or self._delivery.find_problem(now)

    def _store(self) -> None:
        """Queue the batch and acknowledge its messages; on failure try again after RETRY_S."""
        batch = self._batch
        if batch.messages or batch.reported:
            if time.monotonic() < self._retry_at:
                return
            try:
                self._queue.put(batch.messages, batch.reported, datetime.now(UTC))
            except sqlite3.Error as error:
                self._retry_at = time.monotonic() + RETRY_S
                if not self._file_problem:
                    log.error("messages cannot be queued, and are not acknowledged: %s", error)
                self._file_problem = f"messages cannot be queued: {error}"
                return
            self._file_problem = ""
            self._batch = Batch()
            self._delivery.added()
        if self._unacknowledged and not self._session.is_disconnected:
            self._session.acknowledge(self._unacknowledged)
            self._unacknowledged.clear()
