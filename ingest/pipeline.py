"""The story of ingest, from top to bottom, in one function: `Pipeline.run`.

Two threads. This one owns the socket: it receives, decodes, batches and acknowledges. The writer's owns the database.
Between them go full batches one way and committed ones the other, and a socket pair wakes this side. A third one,
`retention`, drops old readings once an hour and has no part in the story.
"""

import logging
import select
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice

from ingest.batch import Batch
from ingest.brokerconf import complaints
from ingest.intake import Intake
from ingest.metrics import Metrics
from ingest.receipts import Receipts
from ingest.retention import Retention
from ingest.settings import IngestSettings
from ingest.store import Store
from ingest.writer import Writer
from mqtt.instance import refuse_second_instance
from mqtt.poll_throttle import PollThrottle
from mqtt.session import Session
from vitals.audit import audit_filters
from vitals.errors import PermanentError
from vitals.receipt import encode_receipt

log = logging.getLogger("ingest")

RECEIPTS_TURN = 0.05  # seconds between two looks at who is owed a receipt,
RECEIPTS_A_TURN = 100  # and how many are sent at most: 2,000 a second, spread, so that no batch waits behind them
TURN = 0.5  # seconds that a turn sleeps at most when nothing happens
# The part of the linger, which a batch waits in any case, that the socket is left alone after a look that found little.
# A backlog brings more at a look, keeps the writer busy, and is never made to wait.
REST = 0.1
LEAVE_WITHIN = 3.0  # seconds for the last batch after SIGTERM; the whole exit stays below 5


class Pipeline:
    """One ingest process. `stop` may be called from a signal handler."""

    def __init__(self, settings: IngestSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stopping = False
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._intake = Intake(settings.topics, settings.retention, settings.ingest_client_id)
        self._writer = Writer(Store(settings.ingest_url), self._wake, metrics.batch_retries.inc)
        self._retention = Retention(settings.ingest_url, metrics.chunks_dropped.inc)
        topics = settings.topics
        self._service_topic = topics.service(settings.ingest_client_id)
        self._session = Session(
            settings.broker,
            settings.ingest_client_id,
            self._service_topic,
            [
                (topics.all_status, 1),
                (topics.alerts(), 1),
                *(
                    (_shared(name, settings.ingest_share_group), 1)
                    for name in (topics.all_vitals, *audit_filters(topics.root))
                ),
            ],
            window=settings.ingest_receive_maximum,
            boot=time.time_ns(),
            deliver=self._intake.take,
            connected=lambda _: metrics.mqtt_connections.inc(),
            log=log,
        )
        metrics.mqtt_connected.set_function(lambda: self._session.connected)
        metrics.database_blocked.set_function(lambda: self._writer.waiting)
        self._receipts = Receipts(topics, settings.ingest_receipt_every_s)
        self._next_receipts = 0.0
        self._rest = PollThrottle(REST * settings.ingest_linger_s)
        self._in_hand = 0  # messages handed to the writer and not yet committed

    def stop(self) -> None:
        """Finish the batch, acknowledge it, say goodbye; `run` returns within 5 seconds."""
        self._stopping = True
        self._wake()

    @property
    def holds_nothing(self) -> bool:
        """Whether every message taken is committed: neither with the writer nor in the open batch is one left."""
        return not self._in_hand and not self._intake.batch.messages

    def run(self) -> None:
        """Receive, store, acknowledge, until `stop`.

        1. Make sure that no other ingest holds our session.
        2. Connect whenever there is no connection and nothing of the last one is still in hand. That rule keeps
           what ingest holds below one window, and an acknowledgement from ever meeting the wrong connection.
        3. Wait for the socket, the writer or the batch's time.
        4. Acknowledge what the writer has committed: never earlier, and also when no message arrives. Now and then
           tell the devices what is stored.
        5. Receive into the open batch; hand it over when it is full, old, or its connection is gone.
        """
        self._refuse_a_second_instance()
        self._warn_of_the_broker()
        self._writer.start()
        self._retention.start()
        while not self._stopping:
            now = time.monotonic()
            if self.holds_nothing:
                self._session.ensure_connected(now)
            readable = self._wait(now)
            self._acknowledge_committed()
            self._send_receipts(now)
            if readable:
                self._receive()
            if self._is_due(self._intake.batch, time.monotonic()):
                self._hand_over()
            self._session.maintain(time.monotonic())
        self._leave()

    def _refuse_a_second_instance(self) -> None:
        refuse_second_instance(
            self._settings.broker,
            self._service_topic,
            f"an ingest with the client id {self._settings.ingest_client_id!r}",
            "VITALFLOW_INGEST_CLIENT_ID",
            lambda: self._stopping,
            log,
        )

    def _warn_of_the_broker(self) -> None:
        path = self._settings.ingest_broker_conf
        if path is None:
            return
        try:
            conf = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(
                f"VITALFLOW_INGEST_BROKER_CONF names {str(path)!r}, which cannot be read: {error}"
            ) from None
        for complaint in complaints(conf, self._settings.ingest_receive_maximum):
            log.warning("the broker's %s: %s", path, complaint)

    def _receive(self) -> None:
        now = time.monotonic()
        self._intake.set_time(datetime.now(UTC), now)
        read = self._session.receive()
        if not self._in_hand:
            self._rest.after(read, now)

    def _wait(self, now: float) -> bool:
        """Sleep until something happens; says whether the MQTT socket can be read."""
        number = self._session.fileno()
        rest = self._rest.left(now)
        readers: list[socket.socket | int] = [self._wake_out] if number is None or rest else [self._wake_out, number]
        writers = [number] if number is not None and self._session.unsent else []
        batch = self._intake.batch
        pause = TURN
        if number is None:
            pause = 0.1
        elif rest:
            pause = rest
        if batch.messages:
            pause = min(pause, max(0.0, batch.opened_at + self._settings.ingest_linger_s - now))
        ready, _, _ = select.select(readers, writers, [], pause)
        if self._wake_out in ready:
            self._wake_out.recv(4096)
        return number is not None and number in ready

    def _acknowledge_committed(self) -> None:
        while not self._writer.done.empty():
            committed = self._writer.done.get()
            batch = committed.batch
            self._session.acknowledge(batch.message_ids)
            self._in_hand -= batch.messages
            self._receipts.note(batch, committed.written)
            self._metrics.committed(batch, committed.written, time.time(), time.monotonic() - batch.opened_at)
        if self._writer.failure is not None:
            raise self._writer.failure
        self._metrics.inflight_messages.set(self._in_hand + self._intake.batch.messages)

    def _send_receipts(self, now: float, *, all_of_them: bool = False) -> None:
        if now < self._next_receipts and not all_of_them:
            return
        self._next_receipts = now + RECEIPTS_TURN
        if self._session.is_disconnected:
            self._receipts.forget()
            return
        due = self._receipts.due(now, all_of_them=all_of_them)
        sent = 0
        for topic, receipt in due if all_of_them else islice(due, RECEIPTS_A_TURN):
            self._session.publish_qos0(topic, encode_receipt(receipt))
            sent += 1
        self._metrics.receipts_sent.inc(sent)

    def _is_due(self, batch: Batch, now: float) -> bool:
        if not batch.messages:
            return False
        return (
            batch.messages >= self._settings.ingest_batch_size
            or now - batch.opened_at >= self._settings.ingest_linger_s
            or self._session.is_disconnected
        )

    def _hand_over(self) -> None:
        batch = self._intake.hand_over()
        self._in_hand += batch.messages
        self._writer.put(batch)

    def _leave(self) -> None:
        """Write what is in hand, acknowledge it, disconnect. What does not get through stays the broker's."""
        if self._intake.batch.messages:
            self._hand_over()
        self._retention.stop()
        self._writer.finish()
        self._writer.join(LEAVE_WITHIN)
        if self._writer.is_alive():
            log.warning("leaving without the database; the broker keeps the %d messages in hand", self._in_hand)
            self._writer.give_up()
        self._acknowledge_committed()
        self._send_receipts(time.monotonic(), all_of_them=True)
        self._session.disconnect()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is full, so the other side will wake anyway
            self._wake_in.send(b".")


def _shared(topic_filter: str, group: str) -> str:
    """The filter, shared with a group where there is one (MQTT 5, section 4.8.2).

    Status and alerts are not shared: they are few, retained ones do not reach shared subscriptions, and storing one
    twice changes nothing. What persons do is shared, because twice would be wrong.
    """
    return f"$share/{group}/{topic_filter}" if group else topic_filter
