"""The alert worker: `Worker.run` receives readings, evaluates them, and publishes alerts. One thread, no database.

An alert is published before the reading that raised it is acknowledged, on the same connection, so the broker receives
them in that order. A worker that was killed in between finds the alert retained and gets the reading again, which
changes nothing: the alert has an id and the time of its reading (`reading_at`).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import msgspec
from msgspec.structs import replace
from paho.mqtt.subscribeoptions import SubscribeOptions

from alerts.engine.broker_drop_alert import DROPPED, QUEUED
from alerts.engine.engine import CLEARED_RETENTION, Engine, Rejection
from alerts.metrics import Metrics
from alerts.retained import read_back
from alerts.rulefile.parser import InvalidRules, load
from alerts.settings import AlertsSettings
from mqtt.broker_check import BrokerCheck, check_broker
from mqtt.broker_features import Feature
from mqtt.broker_metrics import BrokerMetrics
from mqtt.endpoint import BrokerEndpoint
from mqtt.host_clock import HostClock
from mqtt.instance import Instance
from mqtt.poll_throttle import PollThrottle, is_backlog
from mqtt.session import MAX_IN_FLIGHT, SESSION_EXPIRY_S, Session, SessionTakenOver
from mqtt.session_wait import wait_for_message
from mqtt.standby import ActiveRole
from mqtt.standby_sessions import Elsewhere, standby_sessions
from mqtt.wake_socket import WakeSocket
from vitals.alert import (
    MAX_EPOCH,
    Alert,
    Change,
    Event,
    Priority,
    State,
    decode_alert,
    encode_alert,
    max_epoch,
)
from vitals.errors import TransientError
from vitals.log import Throttle, WaitLog
from vitals.rules import Republished, encode_rules
from vitals.topics import STACK_WARD

log = logging.getLogger("alerts")

WINDOW = 2000  # in-flight readings on the connection; redelivered after a kill. With 500, 10,000 devices wait for it
RESTORE_RETRY_S = 0.5
REPLACED = "it was raised by a process that had been replaced"
TICK_S = 0.5  # between two checks of what time alone changes
COUNT_S = 5.0  # between two counts of all beds and alerts for /metrics
PAUSE_S = 0.02  # in which the socket is not read after a small read; an alert is later by up to as much


class _HostClockSet(Exception):
    """The host's clock was set by more than can be approached."""


class Worker:
    """One alert worker. `stop` and `reload` may be called from a signal handler."""

    def __init__(self, settings: AlertsSettings, metrics: Metrics, *, standby: bool = False) -> None:
        self._settings = settings
        self._metrics = metrics
        self._topics = settings.topics
        self._alerts = f"{self._topics.root}/alerts/".encode()
        self._service = settings.alerts_client_id
        self._stopping = False
        self._reloading = False
        self._wake = WakeSocket()
        instance = Instance(
            settings.broker,
            self._topics,
            "alerts",
            self._service,
            "an alert worker",
            lambda: self._stopping,
            log,
            " and VITALFLOW_ALERTS_WARDS",
            [self._topics.rules(self._service)],  # every alert worker reads the status of all services
        )
        self._role = ActiveRole(instance, standby=standby)
        self._throttle = PollThrottle(PAUSE_S)
        self._received_at = 0.0
        self._rules = load(settings.rules_path)
        self._restore_log = WaitLog("the retained alerts", log.warning)
        self._defect_log = Throttle()
        self._begin()
        metrics.mqtt_connected.set_function(lambda: self._session.connected)
        metrics.standby.set_function(lambda: self._role.is_standing_by)
        in_use = metrics.registry, metrics.prefix, lambda: self._session.order, lambda: self._session.connected
        BrokerMetrics(*in_use)
        self._broker_check = BrokerCheck(*in_use, self._check_broker, log)

    def _begin(self, last_boot: int = 0) -> None:
        """Begin as an instance of its own, after the one with `last_boot`, and without anything that it has known."""
        settings, topics = self._settings, self._topics
        self._clock = HostClock()
        self._now = self._clock.now()
        self._engine = Engine(topics, self._rules, self._now)
        self._held: list[tuple[bytes, bytes, int, bool, bool]] | None = []  # messages until the connection is confirmed
        self._restored = False
        self._next_restore = 0.0
        self._unacknowledged: list[int] = []  # messages evaluated and not yet acknowledged,
        self._received_on = 0  # and the connection they came on
        self._next_tick = 0.0
        self._next_count = 0.0
        boot = max(time.time_ns(), last_boot + 1)  # the clock of another host may be ahead
        self._epoch = min(boot, MAX_EPOCH)
        self._session = Session(
            settings.broker,
            self._service,
            topics.service(self._service),
            [
                (name, 1)
                for ward in settings.wards
                for name in (
                    topics.vitals(ward, "+"),
                    topics.status(ward, "+"),
                    topics.limits(ward),
                    topics.assignments(ward),
                    topics.alert_commands(ward),
                    topics.alert_commands(ward, user="+"),
                )
            ]
            + [(topics.alerts(ward), 0) for ward in settings.wards]
            + [(DROPPED, 0), (QUEUED, 0), (topics.service("+"), 0)],
            window=WINDOW,
            boot=boot,
            deliver=self._on_message,
            connected=self._on_connected,
            log=log,
        )

    def stop(self) -> None:
        """Publish and acknowledge what was received, publish the end, and disconnect; `run` returns soon."""
        self._stopping = True
        self._wake.wake()

    def reload(self) -> None:
        """Read the rule file again; if it has mistakes, keep the old rules."""
        self._reloading = True
        self._wake.wake()

    def health(self) -> tuple[str | None, Mapping[str, object]]:
        """Return why alerts are not raised, or why this standby cannot take over, or None; and whether it stands by.

        For /healthz. Called from another thread.
        """
        if self._role.is_standing_by:
            return self._role.problem, {"standby": True}
        return self._session.find_problem(time.monotonic()), {
            "standby": False,
            **self._session.order.facts,
            "broker_lacks": self._broker_check.missing,
        }

    def _check_broker(self, broker: BrokerEndpoint) -> list[tuple[Feature, str | None]]:
        topic = self._topics.service(self._service)
        return check_broker(broker, topic, SESSION_EXPIRY_S, sys_filters=(DROPPED, QUEUED))

    def run(self) -> None:
        """Evaluate, publish, acknowledge, until `stop`.

        1. Make sure that no other worker uses the same session; as a standby, wait until there is none.
        2. Connect. The session has queued the readings since the last worker, and what is delivered is held.
        3. When the broker has returned this worker's status, and no later instance has: read back the retained alerts
           and limits, which no other worker changes any more. At every later connection publish all alerts again,
           because a broker that crashed may have lost the last of them, or all.
        4. Evaluate what was held and what is received; publish the changes, then acknowledge the readings.
        5. Twice a second, see what time alone changes: silence, audio pauses.
        6. If this process or its link stood still, end the connection and go on with 2: another worker may have taken
           over, and what lies in the socket is out of date. If one has, discard everything, and stand by or end.
        7. If the host's clock was set by more than a minute, begin anew.
        """
        self._broker_check.start()
        while not self._stopping:
            self._begin(self._role.acquire())
            try:
                with self._standby_sessions() as self._elsewhere:
                    self._work()
            except _HostClockSet as error:
                log.warning("%s: the worker begins anew, because delays and ages would be wrong by as much", error)
                self._session.disconnect()
            except SessionTakenOver as error:
                self._role.lose(error)
        self._session.disconnect()

    # --- the steps of `run` ---

    def _standby_sessions(self) -> AbstractContextManager[Elsewhere]:
        """Keep a session on the other brokers, so that no reading is missing in a delay."""
        settings, topics = self._settings, self._topics
        filters = [(topics.vitals(ward, "+"), SubscribeOptions(qos=1)) for ward in settings.wards]
        return standby_sessions(
            settings.standby_brokers, self._service, topics.service(self._service), filters, self._session, log
        )

    def _work(self) -> None:
        while not self._stopping:
            self._session.ensure_connected(time.monotonic())
            self._session.set_problem(self._elsewhere.problem)
            if self._received_on != self._session.connection:
                # The broker delivers again what was not acknowledged on the connection before. Not in `_on_connected`:
                # its first messages may be read before paho has read the CONNACK that came with them.
                self._unacknowledged.clear()
                self._held = []
                self._received_on = self._session.connection
            now = time.monotonic()
            readable = wait_for_message(self._session, self._wake, self._next_tick - now, self._throttle.left(now))
            if not self._session.end_stale_connection() and readable:
                self._set_time()
                read = self._session.receive()
                backlog = is_backlog(len(self._unacknowledged), WINDOW)
                self._throttle.after(read, self._received_at, backlog=backlog)
            if self._held is not None and self._session.is_confirmed:
                self._resume(self._held)
            self._acknowledge()
            if self._reloading:
                self._reload()
            if time.monotonic() >= self._next_tick:
                self._tick()
            self._session.maintain(time.monotonic())

    def _resume(self, held: Sequence[tuple[bytes, bytes, int, bool, bool]]) -> None:
        """Act on this connection: publish all alerts, and evaluate what was delivered so far."""
        if not self._restored:
            self._restored = time.monotonic() >= self._next_restore and self._restore()
            if not self._restored:
                return
            held = [message for message in held if not message[0].startswith(self._alerts)]  # they were read back
        everything = self._engine.current_alerts()
        for alert in everything:
            self._publish_alert(alert)
        log.info("republished %d alerts", len(everything))
        self._held = None
        self._publish_rules()
        for message in held:
            self._on_message(*message)

    def _restore(self) -> bool:
        """Restore what the broker retains; return whether it was read."""
        settings = self._settings
        try:
            found = read_back(
                self._session.order.current,
                self._topics,
                self._service,
                [*settings.wards, STACK_WARD],
                self._maintain,
            )
        except TransientError as error:
            self._restore_log.waiting(str(error), time.monotonic())
            self._next_restore = time.monotonic() + RESTORE_RETRY_S
            return False
        if found is None:
            return False
        alerts, settings_of_beds = found
        self._set_time()
        earlier = [alert.epoch for alert in alerts if alert.writer == self._service]
        self._epoch = max(self._epoch, *(epoch + 1 for epoch in earlier if epoch < max_epoch(self._now)), 0)
        self._metrics.epoch.set(self._epoch / 1e9)
        self._publish(self._engine.restore(alerts, self._now))
        for topic, payload in settings_of_beds:
            self._publish(self._evaluate(topic.encode(), payload, True))
        still_open = sum(alert.is_open for alert in alerts)
        log.info("%d rules; %d open alerts read back", len(self._engine.rules.rules), still_open)
        return True

    def _maintain(self) -> bool:
        """Keep the session alive while another connection is waited for; return whether to stop."""
        self._session.maintain(time.monotonic())
        return self._stopping or self._session.is_disconnected

    def _set_time(self) -> None:
        self._now = self._clock.now()
        self._received_at = time.monotonic()

    def _on_message(self, topic: bytes, payload: bytes, message_id: int, retained: bool, dup: bool) -> None:
        """For every message, from inside `Session.receive`."""
        if self._held is not None:
            self._held.append((topic, payload, message_id, retained, dup))
            return
        if topic.startswith(self._alerts):
            self._correct(topic.decode(errors="replace"), payload)
            return
        events = self._evaluate(topic, payload, retained, dup)
        if events:
            self._publish(events)
            self._metrics.latency_seconds.observe(time.monotonic() - self._received_at)
        if self._engine.rejections:
            self._publish_rejections()
        if message_id:
            self._unacknowledged.append(message_id)

    def _evaluate(self, topic: bytes, payload: bytes, retained: bool, dup: bool = False) -> Sequence[Event]:
        try:
            return self._engine.take(topic, payload, retained, self._now, dup=dup)
        except Exception as error:
            # The broker delivers it again to each worker that it ends: one message would end the alarms of all beds.
            name = topic.decode(errors="replace")[:300]
            reason = f"it is not evaluated, because of a defect: {error!r}"
            self._engine.rejected += 1
            self._engine.rejections.append(Rejection(name, reason))
            if self._defect_log.due(time.monotonic()):
                log.exception("a message on %s is not evaluated, because of a defect; report it", name)
            return ()

    def _correct(self, topic: str, payload: bytes) -> None:
        """Publish the state of a place again if a process that this one has replaced has written there since."""
        try:
            alert = decode_alert(payload)
        except ValueError:
            return
        if (
            alert.writer != self._service
            or alert.epoch >= self._epoch
            or topic != self._topics.alert(alert.ward, alert.device_id, alert.rule)
        ):
            return
        own = [
            known
            for known in self._engine.current_alerts()
            if (known.ward, known.device_id, known.rule) == (alert.ward, alert.device_id, alert.rule)
        ]
        if not own and alert.is_open:
            cleared = {"state": State.CLEARED, "change": Change.CLEARED, "latched": False, "reason": REPLACED}
            revision, at = alert.revision + 1, max(alert.changed_at, self._now)
            own = [replace(alert, level=0, revision=revision, changed_at=at, **cleared)]
        log.warning("%s was written by a replaced process; publishing its state again", topic[:300])
        for known in own:
            self._publish_alert(known)

    def _acknowledge(self) -> None:
        if self._session.is_disconnected:
            self._unacknowledged.clear()  # they come again, on the next connection
        elif self._unacknowledged and self._session.unpublished <= MAX_IN_FLIGHT:  # else the broker sends no more
            self._session.acknowledge(self._unacknowledged)
            self._unacknowledged.clear()

    def _tick(self) -> None:
        self._next_tick = time.monotonic() + TICK_S
        self._now = self._clock.now()
        if self._session.is_confirmed and self._held is None:  # otherwise missing readings prove nothing
            self._publish(self._engine.tick(self._now))
        self._count_messages()
        if step := self._clock.find_step():
            raise _HostClockSet(step)
        if self._next_tick >= self._next_count:
            self._next_count = self._next_tick + COUNT_S
            self._update_metrics()

    def _count_messages(self) -> None:
        metrics, engine = self._metrics, self._engine
        metrics.readings_evaluated.inc(engine.evaluated)
        metrics.messages_rejected.inc(engine.rejected)
        metrics.messages_throttled.inc(engine.throttled)
        engine.evaluated = engine.rejected = engine.throttled = 0

    def _update_metrics(self) -> None:
        metrics, engine = self._metrics, self._engine
        metrics.devices.set(len(engine.beds))
        if engine.broker.dropped is not None:
            metrics.broker_dropped_messages.set(engine.broker.dropped)
        metrics.broker_stored_messages.set(engine.broker.queued)
        pending, by_priority = 0, dict.fromkeys(Priority, 0)
        for bed in (*engine.beds.values(), *engine.stack_beds):
            if bed.counts:
                pending += sum([state.is_pending for state in bed.counts.values()])
            for alert in bed.alerts.values():
                by_priority[alert.priority] += 1
        metrics.pending_rules.set(pending)
        for priority, number in by_priority.items():
            metrics.open_alerts.labels(priority).set(number)

    def _on_connected(self, session_present: bool) -> None:
        self._metrics.mqtt_connections.inc()
        self._now = self._clock.now()
        self._engine.restart_no_data_timers(self._now)

    def _reload(self) -> None:
        self._reloading = False
        try:
            rules = load(self._settings.rules_path)
        except InvalidRules as bad:
            log.error("kept the old rules, because of mistakes in the new ones:\n%s", bad)
            answer = {"topic": str(self._settings.rules_path), "reason": str(bad)}
            self._session.publish(self._topics.rejections(self._service), msgspec.json.encode(answer), retain=False)
            return
        self._now = self._clock.now()
        self._rules = rules
        self._publish(self._engine.apply_rules(rules, self._now))
        self._publish_rules()
        log.info("%d rules read again", len(rules.rules))

    # --- publishing ---

    def _publish_rules(self) -> None:
        # After all alerts: of an open one with a lower epoch, ingest then knows that this worker does not have it.
        known = Republished(self._epoch, (*self._settings.wards, STACK_WARD))
        self._session.publish(self._topics.rules(self._service), encode_rules(self._engine.rules, known), retain=True)

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            alert = event.alert
            if event.old_ward is not None:
                self._session.publish(self._topics.alert(event.old_ward, alert.device_id, alert.rule), b"", retain=True)
            self._publish_alert(alert)
            self._metrics.published(event)

    def _publish_alert(self, alert: Alert) -> None:
        topic = self._topics.alert(alert.ward, alert.device_id, alert.rule)
        expiry = None if alert.is_open else int(CLEARED_RETENTION.total_seconds())
        written = replace(alert, writer=self._service, epoch=self._epoch)
        self._session.publish(topic, encode_alert(written), retain=True, expiry_s=expiry)

    def _publish_rejections(self) -> None:
        for rejection in self._engine.rejections:
            answer = {"topic": rejection.topic, "reason": rejection.reason}
            where = self._topics.rejections(self._service, rejection.person)
            self._session.publish(where, msgspec.json.encode(answer), retain=False)
            self._metrics.commands_rejected.inc()
        self._engine.rejections.clear()
