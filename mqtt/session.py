"""The MQTT 5 session of ingest and alerts: connect, subscribe, receive, acknowledge, publish, heartbeat.

One persistent session under a fixed client id (Clean Start 0, a Session Expiry Interval, Receive Maximum = the window):
the broker keeps every message that is not acknowledged. Nothing here waits for the database.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.endpoint import BrokerEndpoint, configure_client
from mqtt.failover import BrokerOrder
from mqtt.fast_client import Deliver, FastClient
from mqtt.instance import read_status
from mqtt.one_shot import SubscriptionRefused
from mqtt.properties import expiry, packet_properties
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, State, decode_service_status, encode_service_status
from mqtt.standstill import Standstill, boot_clock
from mqtt.tls import client_cert_hint, describe_tls_error
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.log import WaitLog

SESSION_EXPIRY_S = 14 * 86_400  # as persistent_client_expiration in mosquitto.conf
KEEPALIVE_S = 15  # the broker publishes the will after 1.5 times this without a packet
CONNECT_TIMEOUT_S = 3.0
MAX_LOOP_S = 10.0  # of the main loop, which waits half a second at most
MAX_IN_FLIGHT = 1000  # messages without a PUBACK: one takes paho 8 KB, one that waits 1 KB; packet ids end at 65,535
RETRY_S = (0.2, 5.0)  # first and maximum pause between two attempts to connect
RETAINED_ONCE = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
"""A subscription to which the broker sends retained messages when the session begins, not at each connection. What is
published meanwhile is in the session's queue."""
TLS_HINT = "; if it expects TLS, write mqtts:// in VITALFLOW_MQTT_URL"


class SessionTakenOver(PermanentError):
    """Another process, which started as `boot`, has the session now; this one publishes nothing more on it."""

    def __init__(self, text: str, boot: int) -> None:
        super().__init__(text)
        self.boot = boot


class _Outgoing(NamedTuple):
    """A message at QoS 1 until its PUBACK."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None


class Session:
    """One session. `deliver` is called for every message except those on `service_topic`.

    client_id      identifies the session at the broker; one per process
    service_topic  topic of this service's retained status
    subscriptions  (topic filter, QoS or options of MQTT 5)
    callbacks      take the messages of further topics, which the work does not depend on: they are subscribed at QoS 0,
                   and a refusal is logged
    window         Receive Maximum: unacknowledged messages that the broker may send
    boot           start of this process in unix nanoseconds; identifies the instance
    connected      called at every connection with CONNACK's Session Present flag
    drain          unsubscribe from everything at each connection; `is_drained` is true once all that the session held
                   has been delivered
    order          names the broker in use

    What is published waits until `is_confirmed`: another process may have taken over the session, acted on it and gone
    while this one, or its link, stood still. Then `SessionTakenOver` is raised, and what waits is discarded.
    """

    def __init__(
        self,
        broker: BrokerEndpoint,
        client_id: str,
        service_topic: str,
        subscriptions: Sequence[tuple[str, int | SubscribeOptions]],
        *,
        window: int,
        boot: int,
        deliver: Deliver,
        connected: Callable[[bool], None],
        log: logging.Logger,
        callbacks: Mapping[str, Deliver] | None = None,
        drain: bool = False,
    ) -> None:
        if broker.websockets is not None:  # the fast path reads MQTT packets, not WebSocket frames
            raise PermanentError(f"{broker} is for devices and browsers; services need mqtts:// in VITALFLOW_MQTT_URL")
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = [
            (name, how if isinstance(how, SubscribeOptions) else SubscribeOptions(qos=how))
            for name, how in (*subscriptions, (service_topic, 0), *((name, 0) for name in callbacks or {}))
        ]
        self._callbacks = dict(callbacks or {})
        self._drain = drain
        self.is_drained = False
        self._window = window
        self._deliver = deliver
        self._on_connected = connected
        self._log = log
        self.boot = boot
        self._service = service_topic
        self._unpublished: dict[int, _Outgoing] = {}  # by packet identifier, without a PUBACK
        self._waiting: deque[_Outgoing] = deque()  # until the connection is confirmed, and fewer are in flight
        self._confirmed = False
        self._silence = ""  # why the last connection was ended, if the broker was silent
        self.connection = 0  # number of attempts; packet identifiers belong to one connection
        self._problem: tuple[str, datetime] | None = None
        self._connected = False
        self._lost_reason = "connecting"
        self._ever_connected = False
        self._announces = False  # whether the log has to state the connection
        self.session_present = False  # at the first connection
        self._has_unsubscribed = False
        self._failed: str | None = None
        self._replaced_by: ServiceStatus | None = None
        self._maintained_at = time.monotonic()
        self._echoed_at = time.monotonic()  # when this process last received its own heartbeat
        self._backoff = Backoff(*RETRY_S)
        self.order = BrokerOrder(broker, self._backoff)
        self._connected_at: float | None = None
        self._attempted_at = self._next_attempt = 0.0
        self._attempt_ends = 0.0
        self._next_beat = 0.0
        self._next_maintenance = 0.0
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning)
        self._standstill = Standstill(boot_clock())
        self._client = self._make_client()

    # --- called by the main loop, in this order ---

    def ensure_connected(self, now: float) -> None:
        """Connect or reconnect when the back-off allows it, without raising. `now` is monotonic."""
        if self._client.socket() is not None:
            if not self._connected and now > self._attempt_ends:
                reason = f"no answer within {CONNECT_TIMEOUT_S:g} s" + ("" if self._broker.tls else TLS_HINT)
                self._drop(reason, silent=True)
            return
        if now < self._next_attempt:
            return
        self._attempted_at = now
        broker = self.order.current
        try:
            if self._ever_connected:
                self._refuse_later_instance()
            self._attempt_ends = time.monotonic() + CONNECT_TIMEOUT_S
            if self.connection:
                self._client = self._make_client()  # without the messages that the last one has queued
            self.connection += 1
            self._client.reconnect()
        except TransientError as error:
            self._log_failure(str(error))
        except (OSError, ValueError) as error:
            self._log_failure(describe_tls_error(error, broker.host, broker.port, broker.ca))
        finally:
            self._standstill.passed(boot_clock())  # connecting may wait for seconds

    def _refuse_later_instance(self) -> None:
        """Raise PermanentError if another process has held the session since this one did.

        A process that stood still, or whose network did, finds its connection ended. Its next one would take the
        session back, and publish what it has queued, before it receives the status of the other.
        """
        try:
            other = read_status(self.order.current, self._service)
        except SubscriptionRefused:
            return  # the session reports it
        if other is not None and other.boot > self.boot:
            self._replaced_by = other
            self._raise_if_replaced()

    def _raise_if_replaced(self) -> None:
        if self._replaced_by:
            if self._connected:  # it has ended the connection of the other; with a DISCONNECT, for its will is no news
                self._client.disconnect()
                self._client.loop_write()
            self._drop(None)
            raise SessionTakenOver(
                f"another process with the client id {self._client_id!r} ({self._replaced_by}) started after this one "
                "and took over the session. Give each process its own client id, or start it with --standby",
                self._replaced_by.boot,
            )

    def end_stale_connection(self) -> bool:
        """End the connection, without reading what lies in it, if this process or its link stood still for 5 s.

        Call it after each wait and before `receive`. Another process may have taken over the session meanwhile.
        """
        stood_s = self._standstill.passed(boot_clock())
        if self.is_disconnected:
            return False
        if stood_s:
            self._silence = f"this process stood still for {stood_s:.0f} s"
        elif self._connected and self.is_echo_missing(time.monotonic()):
            self._silence = f"the broker has not returned a heartbeat for {2.5 * HEARTBEAT_S:.0f} s"
        else:
            return False
        self._drop(self._silence, silent=not stood_s)
        return True

    def set_problem(self, problem: tuple[str, datetime] | None) -> None:
        """Report with the next heartbeat why the service does not do its work, and since when; None: it does."""
        if (problem is None) != (self._problem is None):
            self._next_beat = self._next_maintenance = 0.0  # at once
        self._problem = problem

    def fileno(self) -> int | None:
        """Return the socket's descriptor for select(), None without a connection."""
        return (
            None if self._client.fast_path is None or self._client.socket() is None else self._client.fast_path.fileno()
        )

    @property
    def unsent(self) -> bool:
        """Return whether data waits for the socket to become writable."""
        return not self.is_disconnected and self._client.fast_path is not None and self._client.fast_path.unsent

    def receive(self) -> int:
        """Read from the socket, pass messages to `deliver` and other packets to paho; return the bytes read.

        Raises PermanentError if another process took over the session.
        """
        fast_path = self._client.fast_path
        if fast_path is None:
            return 0
        read = fast_path.receive()
        while self._client.socket() is not None and fast_path.has_control:
            self._client.loop_read()
        if self._failed:
            self._drop(self._failed)
        self._raise_if_replaced()
        if self._waiting and self._confirmed:
            self._publish_waiting()  # PUBACKs may have come
        return read

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Queue a PUBACK for each of these messages; they must be of the present connection."""
        if self._client.fast_path is not None and self._client.socket() is not None:
            self._client.fast_path.acknowledge(message_ids)

    def publish(self, topic: str, payload: bytes, *, retain: bool, expiry_s: int | None = None) -> None:
        """Publish at QoS 1. Messages leave in the order of the calls. They wait for `is_confirmed`.

        PUBACKs leave in that order too while no more than MAX_IN_FLIGHT are `unpublished`.
        An empty retained payload deletes the retained message. `expiry_s`: Message Expiry Interval.
        """
        self._waiting.append(_Outgoing(topic, payload, retain, expiry_s))
        if self._confirmed:
            self._publish_waiting()

    def _publish_waiting(self) -> None:
        while self._waiting and self._confirmed and len(self._unpublished) < MAX_IN_FLIGHT:
            message = self._waiting.popleft()
            properties = expiry(message.expiry_s)
            sent = self._client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, properties=properties
            )
            self._unpublished[sent.mid] = message
        if self._client.want_write():
            self._client.loop_write()

    def publish_qos0(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0. Not queued; dropped while disconnected."""
        if self._client.fast_path is not None and not self.is_disconnected:
            self._client.fast_path.publish(topic.encode(), payload)

    @property
    def unpublished(self) -> int:
        """Number of published messages without a PUBACK."""
        return len(self._unpublished) + len(self._waiting)

    def maintain(self, now: float) -> None:
        """Flush unsent data; once per second let paho send a PINGREQ, every HEARTBEAT_S publish the status."""
        self._maintained_at = now
        if self._client.want_write():
            self._client.loop_write()
        fast_path = self._client.fast_path
        if fast_path is not None and self.unsent:
            try:
                fast_path.flush()
            except OSError as error:
                self._drop(str(error))
        if now < self._next_maintenance:
            return
        self._next_maintenance = now + 1.0
        self._client.loop_misc()
        if self._connected and now >= self._next_beat:
            self._next_beat = now + HEARTBEAT_S
            self._client.publish(self._service, self._status("online"), qos=0, retain=True)

    def find_problem(self, now: float) -> str | None:
        """Return why the service does not work, in one sentence; None if it works. May be called from any thread."""
        stopped_s = now - self._maintained_at
        if stopped_s > MAX_LOOP_S:
            return f"the main loop has not run for {stopped_s:.0f} s"
        if not self._connected:
            return f"not connected to the broker at {self._broker}: {self._lost_reason}"
        if self.is_echo_missing(now):
            return f"the broker at {self.order.current} has not returned a heartbeat for {now - self._echoed_at:.0f} s"
        problem, since = self._problem or ("", None)
        return f"{problem}, since {since:%Y-%m-%d %H:%M:%S}Z" if since is not None else None

    @property
    def connected(self) -> bool:
        """Return whether the broker has accepted the connection and it has not ended since."""
        return self._connected

    @property
    def is_confirmed(self) -> bool:
        """Return whether the broker has returned the presence on this connection, and no later instance is there."""
        return self._confirmed

    @property
    def is_disconnected(self) -> bool:
        """Return whether there is no socket, so nothing can be received or acknowledged."""
        return self._client.socket() is None

    def disconnect(self, *, end_session: bool = False) -> None:
        """Publish "offline" and send a DISCONNECT, so that the broker does not publish the will.

        end_session   the service is gone for good: the broker deletes its session and its status
        """
        if self._connected:
            offline = b"" if end_session else self._status("offline")
            self._client.publish(self._service, offline, qos=0, retain=True)
            deadline = time.monotonic() + 1.0
            # Flush first: paho closes the socket as soon as it has passed on the DISCONNECT.
            while (self._client.want_write() or self.unsent) and time.monotonic() < deadline:
                self.maintain(time.monotonic())
                time.sleep(0.005)
            session_s = 0 if end_session else None
            self._client.disconnect(
                properties=packet_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=session_s)
            )
            self._client.loop_write()
        self._drop(None)

    # --- the session ---

    def _make_client(self) -> FastClient:
        broker = self.order.current
        name = broker.client_id(self._client_id)
        callbacks = {name.encode(): callback for name, callback in self._callbacks.items()}
        callbacks[self._service.encode()] = self._on_service_status
        client = FastClient(self._deliver, callbacks, client_id=name, protocol=mqtt.MQTTv5, manual_ack=True)
        # PUBLISH packets must leave before the PUBACKs that follow them, so paho may not hold them back.
        client.max_inflight_messages_set(65_535)
        client.connect_timeout = CONNECT_TIMEOUT_S
        configure_client(client, broker)
        client.will_set(self._service, self._status("offline"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_publish = self._on_publish
        # With this callback set, paho does not write inside publish() and subscribe().
        client.on_socket_register_write = lambda *_: None
        properties = packet_properties(
            PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S, ReceiveMaximum=self._window
        )
        client.connect_async(broker.host, broker.port, KEEPALIVE_S, clean_start=False, properties=properties)
        return client

    def _status(self, state: State) -> bytes:
        problem, since = self._problem or ("", None)
        broker = self.order.current.address
        return encode_service_status(
            ServiceStatus.here(state, self.boot, broker=broker, problem=problem, problem_since=since)
        )

    def _on_connect(self, client: mqtt.Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._failed = f"connection refused: {reason}"
            return
        self._connected = True
        self._connected_at = self._echoed_at = time.monotonic()
        self._silence = ""
        has_switched = self.order.connected()
        if self._ever_connected and not flags.session_present:
            lost = "had no session for this service: what it received before is not delivered"
            if not has_switched:
                lost = "lost the session and the messages that it had queued for it"
            self._log.warning("the broker %s", lost)
        self._announces = self._wait_log.over() or has_switched or not self._ever_connected
        self.session_present = flags.session_present if not self._ever_connected else self.session_present
        self._ever_connected = True
        self._backoff.reset()
        if self._drain:
            client.unsubscribe([name for name, _ in self._subscriptions])
            # At QoS 1, so that it comes after everything that the broker has queued before it.
            client.subscribe([(self._service, SubscribeOptions(qos=1))])
            client.publish(self._service, self._status("online"), qos=1, retain=True)
        else:
            # Needed in a new session and harmless in a present one.
            client.subscribe(self._subscriptions)
        self._next_beat = 0.0
        self._next_maintenance = 0.0
        self._on_connected(flags.session_present)

    def _on_subscribe(self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [
            (name, str(reason))
            for (name, _), reason in zip(self._subscriptions, reasons, strict=False)
            if reason.is_failure
        ]
        if needed := [reason for name, reason in refused if name not in self._callbacks]:
            self._failed = f"subscription refused: {', '.join(needed)}"
        elif refused:
            self._log.warning("subscription refused: %s", ", ".join(f"{name} ({reason})" for name, reason in refused))
        if self._announces and not needed:  # not at the CONNACK: what is published before this is not received
            self._log.info("connected to the broker at %s", self.order.current)
            self._announces = False

    def _on_unsubscribe(self, client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        """Check that no subscription is left, whose messages would be lost with the session."""
        if self._has_unsubscribed:
            return
        needed = [
            (name, how, reason.value == 0)
            for (name, how), reason in zip(self._subscriptions, reasons, strict=False)
            if name not in (self._service, *self._callbacks)
        ]
        removed = [(name, how) for name, how, was_there in needed if was_there]
        # Without any of them a command before this one was interrupted; with some, its settings were others.
        if removed and (unknown := [name for name, _, was_there in needed if not was_there]):
            client.subscribe(removed)
            client.loop_write()
            raise PermanentError(
                f"the session of {self._client_id!r} has other subscriptions than these settings, not {unknown[0]!r}; "
                "use the settings that it was run with"
            )
        self._has_unsubscribed = True

    def _on_disconnect(self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected:
            self._log_failure(f"the connection ended: {reason}")
        elif self._failed is None:
            hint = client_cert_hint(self._broker.certificate) if self._broker.tls else TLS_HINT
            self._log_failure("the connection ended before an answer" + hint)
        self._set_disconnected()

    def _on_publish(self, _client: mqtt.Client, _userdata: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._unpublished.pop(mid, None)

    def _on_service_status(
        self, _topic: bytes, payload: bytes, message_id: int, retained: bool, _dup: bool = False
    ) -> None:
        other = decode_service_status(payload)
        if other is None or other.state != "online":
            return
        if other.boot == self.boot:
            self._echoed_at = time.monotonic()
            self.is_drained |= self._drain and message_id > 0 and not retained
            if self._connected and not self._confirmed and self._replaced_by is None:
                self._confirmed = True
                self._publish_waiting()
        elif other.boot > self.boot:
            self._replaced_by = other

    def is_echo_missing(self, now: float) -> bool:
        """Return whether two of its own heartbeats did not return: the broker, or this process, is blocked."""
        return now - self._echoed_at > 2.5 * HEARTBEAT_S

    def _drop(self, reason: str | None, *, silent: bool = False) -> None:
        """Close the socket and log `reason`, if there is one, as the failure of this attempt."""
        self._failed = None
        self._set_disconnected()
        self._client.close_socket()
        if reason is not None:
            self._log_failure(reason, silent=silent)

    def _set_disconnected(self) -> None:
        self._connected = self._confirmed = False
        self._waiting.extendleft(reversed(self._unpublished.values()))  # they are sent again, in their order
        self._unpublished.clear()

    def _log_failure(self, reason: str, *, silent: bool = False) -> None:
        """Log why an attempt or a connection ended, and decide when and where the next attempt is made."""
        now = time.monotonic()
        if self._silence and reason != self._silence:
            reason = f"{self._silence}, and then {reason}"
        self._lost_reason = self.order.describe(reason)
        self._wait_log.waiting(self._lost_reason, now)
        lasted_s = 0.0 if self._connected_at is None else now - self._connected_at
        self._connected_at = None
        self._next_attempt = self._attempted_at + self.order.ended(now, lasted_s, silent=silent)
