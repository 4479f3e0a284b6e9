"""Main loop of the ingest service: `Pipeline.run`.

Two threads. This one owns the socket: it receives, decodes, batches and acknowledges. The writer owns the database.
Two queues connect them, of full batches and of committed ones, and a socket pair wakes this thread. Four more threads
have a connection each: `retention` drops old readings once an hour, `snapshots` keeps the readings around each alert,
`late` moves late readings to where they belong, `database-watch` asks every 10 s whether the database answers, for
/metrics.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

from ingest.batch import Batch
from ingest.batch_builder import BatchBuilder
from ingest.database_watch import DatabaseWatch
from ingest.late import LateReadings
from ingest.metrics import Metrics
from ingest.mosquitto_conf import check_mosquitto_conf
from ingest.receipts import Receipts
from ingest.retention import Retention
from ingest.settings import IngestSettings
from ingest.snapshots import AlertSnapshots
from ingest.store import Store
from ingest.writer import Writer
from mqtt.broker_check import BrokerCheck, check_broker
from mqtt.broker_features import Feature
from mqtt.broker_log import LOG_TOPICS
from mqtt.broker_metrics import BrokerMetrics
from mqtt.endpoint import BrokerEndpoint
from mqtt.instance import Instance
from mqtt.logins import REPORTED_AFTER, Logins, decode_login_report, encode_login_report
from mqtt.poll_throttle import PollThrottle, is_backlog
from mqtt.session import RETAINED_ONCE, SESSION_EXPIRY_S, Session, SessionTakenOver
from mqtt.session_wait import wait_for_message
from mqtt.standby import ActiveRole
from mqtt.standby_sessions import Elsewhere, standby_sessions
from mqtt.wake_socket import WakeSocket
from sql.connection import find_connect_problem
from vitals.audit import audit_filters
from vitals.codec import Reason
from vitals.errors import PermanentError
from vitals.log import Throttle
from vitals.receipt import encode_receipt

log = logging.getLogger("ingest")

RECEIPT_POLL_S = 0.05  # interval between two searches for due receipts,
RECEIPTS_PER_POLL = 100  # and the most that are sent then: 2,000 a second, spread so that they delay no batch
CHECK_S = 1.0  # interval between two searches for devices without readings, and for a wrong clock of this host
WITHOUT_READINGS_LINES = 20  # the most that are logged one by one then
ASK_DATABASE_AFTER = timedelta(seconds=10)  # without a commit, /healthz connects to the database
MAX_WAIT_S = 0.5  # maximum wait for an event
# After a read that returned little, the socket is not read for this part of the linger, for which a batch waits anyway.
# With a backlog each read returns more and the writer is busy, so it is never throttled.
THROTTLE_SHARE = 0.1
SHUTDOWN_TIMEOUT_S = 3.0  # for the last batch after SIGTERM; the whole exit takes less than 5 s


class Pipeline:
    """One ingest process. `stop` may be called from a signal handler."""

    def __init__(
        self, settings: IngestSettings, metrics: Metrics, *, standby: bool = False, drain: bool = False
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stopping = False
        self._wake = WakeSocket()
        self._service_topic = settings.topics.service(settings.ingest_client_id)
        self._role = ActiveRole(
            Instance(
                settings.broker,
                settings.topics,
                "ingest",
                settings.ingest_client_id,
                "an ingest",
                lambda: self._stopping,
                log,
            ),
            standby=standby,
        )
        self._drain = drain
        self._begin()
        metrics.standby.set_function(lambda: self._role.is_standing_by)
        in_use = metrics.registry, metrics.prefix, lambda: self._session.order, lambda: self._session.connected
        BrokerMetrics(*in_use)
        self._broker_check = BrokerCheck(*in_use, self._check_broker, log)
        metrics.late_readings_waiting.set_function(lambda: self._late.waiting)
        metrics.mqtt_connected.set_function(lambda: self._session.connected)
        metrics.database_blocked.set_function(lambda: self._writer.problem(datetime.now(UTC)) is not None)
        metrics.oldest_unacknowledged_seconds.set_function(lambda: self._age_of_oldest(time.monotonic()))

    def _begin(self, last_boot: int = 0) -> None:
        """Begin as an instance of its own, after the one with `last_boot`, and with nothing received."""
        settings, metrics = self._settings, self._metrics
        self._builder = BatchBuilder(settings.topics, settings.retention, settings.ingest_client_id)
        boot = max(time.time_ns(), last_boot + 1)  # the clock of another host may be ahead
        metrics.epoch.set(boot / 1e9)
        require_standby = settings.durability == "synchronous"
        store = Store(settings.ingest_url, settings.ingest_client_id, boot, require_standby=require_standby)
        self._writer = Writer(store, self._wake.wake, metrics.batch_retries.inc)
        self._retention = Retention(settings.ingest_url, metrics.chunks_dropped.inc, metrics.rollup_days_different.set)
        self._snapshots = AlertSnapshots(
            settings.ingest_url, metrics.alert_snapshots_taken.inc, metrics.alert_snapshots_waiting.set
        )
        topics = settings.topics
        self._late = LateReadings(
            settings.ingest_url, topics, metrics.moved, metrics.messages_rejected.labels(Reason.DATABASE).inc
        )
        self._database_watch = DatabaseWatch(
            settings.ingest_url,
            metrics.database_connected.set,
            metrics.replicated,
            metrics.commit_waits_for_standby.set,
        )
        self._logins = Logins()
        self._logins_topic = topics.logins(settings.ingest_client_id)
        self._clock_problem = ""
        self._clock_log = Throttle()
        self._next_check = 0.0
        self._refused_logins = self._failed_connections = 0  # counted in the metrics
        self._session = Session(
            settings.broker,
            settings.ingest_client_id,
            self._service_topic,
            [
                (topics.all_status, 1),
                (topics.alerts(), 1),
                (_shared(topics.all_vitals, settings.ingest_share_group), RETAINED_ONCE),
                *((_shared(name, settings.ingest_share_group), 1) for name in audit_filters(topics.root)),
                (topics.rules("+"), 1),  # after the alerts: a worker publishes them in this order
            ],
            window=settings.ingest_receive_maximum,
            boot=boot,
            deliver=self._builder.add,
            connected=lambda _: metrics.mqtt_connections.inc(),
            log=log,
            callbacks={self._logins_topic: self._restore_logins, **dict.fromkeys(LOG_TOPICS, self._on_broker_log)},
            drain=self._drain,
        )
        self._receipts = Receipts(topics, settings.ingest_receipt_every_s)
        self._next_receipts = 0.0
        self._throttle = PollThrottle(THROTTLE_SHARE * settings.ingest_linger_s)
        self._last_commit: datetime | None = None
        self._stored = 0
        self._in_flight = 0  # messages handed to the writer and not yet committed,
        self._submitted: deque[float] = deque()  # and when the first message of each of their batches arrived
        self._oldest: float | None = None  # of these and the open batch

    def stop(self) -> None:
        """Store the batch, acknowledge it, disconnect; `run` returns within 5 seconds."""
        self._stopping = True
        self._wake.wake()

    @property
    def is_drained(self) -> bool:
        """Return whether every message received is committed: none is in the open batch or with the writer."""
        return not self._in_flight and not self._builder.batch.messages

    @property
    def _is_behind(self) -> bool:
        """Whether the broker has more than ingest stores at once."""
        held = self._in_flight + self._builder.batch.messages
        return is_backlog(held, self._settings.ingest_receive_maximum)

    def health(self) -> tuple[str | None, Mapping[str, object]]:
        """Return why readings are not stored, or None, and facts, for /healthz. Called from another thread.

        Late readings that wait are a fact and no failure: they are committed, and the others are stored. If nothing was
        stored lately, because nothing arrived, it asks the database.
        """
        if self._role.is_standing_by:
            return self._role.problem or find_connect_problem(self._settings.ingest_url), {"standby": True}
        now, last = time.monotonic(), self._last_commit
        problem = self._session.find_problem(now) or self._clock_problem or None
        if problem is None and (last is None or datetime.now(UTC) - last > ASK_DATABASE_AFTER):
            problem = find_connect_problem(self._settings.ingest_url)
        return problem, {
            "standby": False,
            **self._session.order.facts,
            "broker_lacks": self._broker_check.missing,
            "last_commit": last and last.isoformat(timespec="milliseconds"),
            "late_readings_waiting": self._late.waiting,
            "late_readings": self._late.problem(datetime.now(UTC)),
        }

    def _age_of_oldest(self, now: float) -> float:
        oldest = self._oldest  # once: the main thread replaces it
        return 0.0 if oldest is None else now - oldest

    def run(self) -> None:
        """Receive, store and acknowledge until `stop`, or, if it drains a session, until that is empty.

        1. Make sure that no other ingest uses this client id; as a standby, wait until there is none.
        2. Connect whenever there is no connection and nothing received on the last one is uncommitted. So at most
           one receive maximum of messages is held, and each is acknowledged on the connection that delivered it.
        3. Wait for the socket, the writer or the end of the batch's linger.
        4. Acknowledge what the writer has committed, and not before, even while no message arrives. Send receipts
           to the devices.
        5. Receive into the open batch. Submit it when it is full or its linger is over, or if its connection is lost.
        6. If this process or its link stood still, discard the open batch: another ingest may have taken over, and then
           this one stands by or ends. The broker delivers what is not acknowledged again, to the one that is there.
        """
        self._check_broker_conf()
        self._broker_check.start()
        while not self._stopping:
            boot = self._role.acquire()
            if self._stopping:
                return
            self._begin(boot)
            try:
                with self._standby_sessions() as self._elsewhere:
                    self._work()
                return
            except SessionTakenOver as error:
                self._role.lose(error)
                self._end_threads(discard=True)

    def _standby_sessions(self) -> AbstractContextManager[Elsewhere]:
        """Keep a session on the other brokers, for readings alone: everything else is retained, or rare."""
        settings = self._settings
        vitals = _shared(settings.topics.all_vitals, settings.ingest_share_group)
        return standby_sessions(
            settings.standby_brokers,
            settings.ingest_client_id,
            self._service_topic,
            [(vitals, RETAINED_ONCE)],
            self._session,
            log,
        )

    def _work(self) -> None:
        self._writer.start()
        self._retention.start()
        self._snapshots.start()
        self._late.start()
        self._database_watch.start()
        while not self._stopping and not (self._session.is_drained and self.is_drained):
            now = time.monotonic()
            if self.is_drained:
                self._session.ensure_connected(now)
            readable = self._wait(now)
            if self._session.end_stale_connection():
                self._builder.take_batch()
                readable = False
            self._acknowledge_committed()
            self._send_receipts(now)
            if now >= self._next_check:
                self._next_check = now + CHECK_S
                self._check_logins()
                self._check_clock(now)
            if readable:
                self._receive()
            if self._is_due(self._builder.batch, time.monotonic()):
                self._submit_batch()
            self._session.set_problem(self._writer.problem(datetime.now(UTC)) or self._elsewhere.problem)
            self._session.maintain(time.monotonic())
        self._shut_down()

    def _check_clock(self, now: float) -> None:
        """Log that this host's clock is wrong, again at intervals, and the end of it."""
        self._clock_problem = problem = self._builder.clock_check.find_problem(now)
        if problem and self._clock_log.due(now):
            log.error("%s", problem)
        elif not problem and self._clock_log.reset():
            log.info("the clock of this host and those of the devices agree again")

    def _check_broker(self, broker: BrokerEndpoint) -> list[tuple[Feature, str | None]]:
        shared = bool(self._settings.ingest_share_group)
        return check_broker(broker, self._service_topic, SESSION_EXPIRY_S, sys_filters=LOG_TOPICS, shared=shared)

    def _check_broker_conf(self) -> None:
        path = self._settings.ingest_broker_conf
        if path is None:
            return
        try:
            conf = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(
                f"VITALFLOW_INGEST_BROKER_CONF names {str(path)!r}, which cannot be read: {error}"
            ) from None
        for problem in check_mosquitto_conf(conf, self._settings.ingest_receive_maximum):
            log.warning("%s: %s", path, problem)

    def _receive(self) -> None:
        now = time.monotonic()
        self._builder.set_time(datetime.now(UTC), now)
        read = self._session.receive()
        backlog = self._is_behind
        if backlog or not self._in_flight:
            self._throttle.after(read, now, backlog=backlog)

    def _wait(self, now: float) -> bool:
        """Wait for an event; return whether the MQTT socket can be read."""
        batch, timeout = self._builder.batch, MAX_WAIT_S
        if batch.messages:
            timeout = min(timeout, batch.opened_at + self._settings.ingest_linger_s - now)
        return wait_for_message(self._session, self._wake, timeout, self._throttle.left(now))

    def _acknowledge_committed(self) -> None:
        while not self._writer.committed.empty():
            committed = self._writer.committed.get()
            batch = committed.batch
            self._session.acknowledge(batch.message_ids)
            self._in_flight -= batch.messages
            self._stored += batch.messages
            self._submitted.popleft()
            self._last_commit = datetime.now(UTC)
            if committed.result.late:
                self._late.notify(committed.result.late, self._last_commit)
            self._receipts.record(batch, committed.result)
            self._logins.note_readings(chain(batch.last_readings, batch.rejections))
            self._metrics.committed(batch, committed.result, time.time(), time.monotonic() - batch.opened_at)
        if self._writer.failure is not None:
            raise self._writer.failure
        opened = self._builder.batch
        self._metrics.inflight_messages.set(self._in_flight + opened.messages)
        self._oldest = self._submitted[0] if self._submitted else opened.opened_at if opened.messages else None

    def _send_receipts(self, now: float, *, flush: bool = False) -> None:
        if now < self._next_receipts and not flush:
            return
        self._next_receipts = now + RECEIPT_POLL_S
        if self._session.is_disconnected:
            self._receipts.clear()
            return
        due = self._receipts.due(now, flush=flush)
        sent = 0
        for topic, receipt in due if flush else islice(due, RECEIPTS_PER_POLL):
            self._session.publish_qos0(topic, encode_receipt(receipt))
            sent += 1
        self._metrics.receipts_sent.inc(sent)

    def _on_broker_log(self, topic: bytes, payload: bytes, *_: int) -> None:
        sentence = self._logins.take(topic.decode(), payload.decode(errors="replace"), datetime.now(UTC))
        if sentence is not None:
            log.warning("%s", sentence)

    def _restore_logins(self, _topic: bytes, payload: bytes, _id: int, retained: bool, _dup: bool) -> None:
        report = decode_login_report(payload)
        if retained and report is not None:
            self._logins.restore(report)

    def _check_logins(self) -> None:
        """Log devices of which no reading arrives, and publish the report if it changed."""
        wall = datetime.now(UTC)
        if self._writer.problem(wall) is not None or not self._session.connected or self._is_behind:
            self._logins.behind(wall)
        waiting = self._logins.newly_without_readings(wall)
        for login in waiting[:WITHOUT_READINGS_LINES]:
            log.warning(
                "%s logged in %d s ago, and no reading has arrived since; a wrong topic? `vitalflow devices doctor` "
                "shows what is missing",
                login,
                REPORTED_AFTER.total_seconds(),
                extra={"device": login.user},
            )
        if len(waiting) > WITHOUT_READINGS_LINES:
            log.warning(
                "%d further devices logged in, and no reading of them has arrived",
                len(waiting) - WITHOUT_READINGS_LINES,
            )
        self._metrics.devices_without_readings.set(self._logins.without_readings)
        self._metrics.logins_refused.inc(self._logins.refused - self._refused_logins)
        self._refused_logins = self._logins.refused
        self._metrics.connections_failed.inc(self._logins.failed - self._failed_connections)
        self._failed_connections = self._logins.failed
        if self._logins.changed and self._session.connected:
            self._session.publish(self._logins_topic, encode_login_report(self._logins.report()), retain=True)

    def _is_due(self, batch: Batch, now: float) -> bool:
        if not batch.messages:
            return False
        return (
            batch.messages >= self._settings.ingest_batch_size
            or now - batch.opened_at >= self._settings.ingest_linger_s
            or self._session.is_disconnected
        )

    def _submit_batch(self) -> None:
        batch = self._builder.take_batch()
        self._in_flight += batch.messages
        self._submitted.append(batch.opened_at)
        self._writer.put(batch)

    def _shut_down(self) -> None:
        """Store what is in flight, acknowledge it, disconnect. The broker keeps what cannot be stored."""
        if self._builder.batch.messages:
            self._submit_batch()
        self._end_threads()
        self._acknowledge_committed()
        self._send_receipts(time.monotonic(), flush=True)
        has_ended = self._session.is_drained and self.is_drained
        self._session.disconnect(end_session=has_ended)
        if has_ended:
            self._log_drained()

    def _log_drained(self) -> None:
        name = self._settings.ingest_client_id
        if self._session.session_present:
            log.info("stored %d messages of the session of %r, and ended it", self._stored, name)
        else:
            log.warning("the broker had no session for %r with this password; nothing was stored", name)

    def _end_threads(self, *, discard: bool = False) -> None:
        self._retention.stop()
        self._snapshots.stop()
        self._late.stop()
        self._database_watch.stop()
        if discard:
            self._writer.abort()
        else:
            self._writer.finish()
        self._writer.join(SHUTDOWN_TIMEOUT_S)
        if self._writer.is_alive():
            log.warning("stopping without the database; the broker keeps %d unacknowledged messages", self._in_flight)
            self._writer.abort()


def _shared(topic_filter: str, group: str) -> str:
    """Return the filter, as a shared subscription if there is a group (MQTT 5, section 4.8.2).

    Status and alerts are not shared: they are few, a shared subscription gets no retained messages, and storing one
    twice changes nothing. Users' actions are shared, because they must be stored once.
    """
    return f"$share/{group}/{topic_filter}" if group else topic_filter
