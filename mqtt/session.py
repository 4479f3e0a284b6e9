"""The MQTT session of a service, ingest or alerts: first stop of a reading after the broker.

It is one persistent session under a fixed client id (MQTT 5: clean start off, a session expiry, Receive Maximum = the
window), so that the broker keeps for us what we have not acknowledged. Nothing here waits for the database.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt.endpoint import BrokerEndpoint, configure_client
from mqtt.fast_client import Deliver, FastClient
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status, encode_service_status
from mqtt.tls import client_cert_hint, describe_tls_error
from vitals.backoff import Backoff
from vitals.errors import PermanentError
from vitals.log import WaitLog

SESSION_EXPIRY_S = 14 * 86_400  # seconds the broker keeps what is ours while we are away; mosquitto.conf says the same
KEEPALIVE_S = 15  # seconds; after 1.5 times that without a word the broker publishes our will
CONNECT_TIMEOUT_S = 3.0  # seconds
RETRY_S = (0.2, 5.0)  # first and longest pause between two attempts to connect
TLS_HINT = "; if it expects encryption, write mqtts:// in VITALFLOW_MQTT_URL"


class Session:
    """The session. `deliver` is called for every message but those about ourselves.

    client_id      names the session at the broker; one process, one id
    service_topic  where our presence is retained
    subscriptions  (filter, QoS) of all that we listen to
    window         messages that the broker may send before we have acknowledged them
    boot           unix nanoseconds of our start; names this instance
    connected      is told at every connection whether the broker still knew the session
    """

    def __init__(
        self,
        broker: BrokerEndpoint,
        client_id: str,
        service_topic: str,
        subscriptions: Sequence[tuple[str, int]],
        *,
        window: int,
        boot: int,
        deliver: Deliver,
        connected: Callable[[bool], None],
        log: logging.Logger,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = [*subscriptions, (service_topic, 0)]
        self._window = window
        self._deliver = deliver
        self._on_connected = connected
        self._log = log
        self._boot = boot
        self._service = service_topic
        self._unpublished: set[int] = set()  # message ids of what we published and the broker has not acknowledged
        self.connection = 0  # how many were begun; message ids are good for one only
        self._connected = False
        self._ever_connected = False
        self._failed: str | None = None
        self._replaced_by: ServiceStatus | None = None
        self._backoff = Backoff(*RETRY_S)
        self._next_attempt = 0.0
        self._attempt_ends = 0.0
        self._next_beat = 0.0
        self._next_maintenance = 0.0
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning)
        self._client = self._make_client()

    # --- what the pipeline calls, in the order of a turn ---

    def ensure_connected(self, now: float) -> None:
        """Connect, or connect again, when it is time; `now` is monotonic. Never raises for a broker that is away."""
        if self._client.socket() is not None:
            if not self._connected and now > self._attempt_ends:
                self._drop("the broker did not answer" + ("" if self._broker.tls else TLS_HINT))
            return
        if now < self._next_attempt:
            return
        self._next_attempt = now + self._backoff.next()
        self._attempt_ends = now + CONNECT_TIMEOUT_S
        self.connection += 1
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            self._log_failure(describe_tls_error(error, self._broker.host, self._broker.port, self._broker.ca))

    def fileno(self) -> int | None:
        """For select(); None while there is no connection."""
        return (
            None if self._client.fast_path is None or self._client.socket() is None else self._client.fast_path.fileno()
        )

    @property
    def unsent(self) -> bool:
        """Whether something waits until the socket can be written."""
        return not self.is_disconnected and self._client.fast_path is not None and self._client.fast_path.unsent

    def receive(self) -> int:
        """Read from the socket: messages go to `deliver`, the session's own packets to paho; how many bytes."""
        fast_path = self._client.fast_path
        if fast_path is None:
            return 0
        read = fast_path.receive()
        while self._client.socket() is not None and fast_path.has_control:
            self._client.loop_read()
        if self._failed:
            self._drop(self._failed)
        if self._replaced_by:
            raise PermanentError(
                f"another process with the client id {self._client_id!r} has started after this one "
                f"({self._replaced_by}) and took the session; leaving. Give each its own client id"
            )
        return read

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Tell the broker that these are stored. Only for messages of the present connection."""
        if self._client.fast_path is not None and self._client.socket() is not None:
            self._client.fast_path.acknowledge(message_ids)

    def publish(self, topic: str, payload: bytes, *, retain: bool, expiry_s: int | None = None) -> None:
        """Publish at QoS 1, in order with the acknowledgements: what is published first reaches the broker first.

        While there is no connection it is kept and sent at the next one. An empty retained payload deletes.
        """
        properties = None
        if expiry_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry_s
        sent = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        self._unpublished.add(sent.mid)
        if self._client.want_write():
            self._client.loop_write()

    def publish_qos0(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0, cheaply, what may be lost: nothing is kept for it, and nothing while there is no
        connection."""
        if self._client.fast_path is not None and not self.is_disconnected:
            self._client.fast_path.publish(topic.encode(), payload)

    @property
    def unpublished(self) -> int:
        """How many of our own messages the broker has not acknowledged yet."""
        return len(self._unpublished)

    def maintain(self, now: float) -> None:
        """Send what waits; about once a second also pings, and every few seconds a heartbeat."""
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
            self._client.publish(self._service, encode_service_status(self._status("online")), qos=0, retain=True)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection has not ended since."""
        return self._connected

    @property
    def is_disconnected(self) -> bool:
        """Whether there is no connection at all, so that nothing can be received or acknowledged."""
        return self._client.socket() is None

    def disconnect(self) -> None:
        """Say goodbye in order, so that the broker does not publish the will."""
        if self._connected:
            self._client.publish(self._service, encode_service_status(self._status("offline")), qos=0, retain=True)
            deadline = time.monotonic() + 1.0
            # Before the DISCONNECT: paho closes the socket as soon as it has handed that packet over.
            while (self._client.want_write() or self.unsent) and time.monotonic() < deadline:
                self.maintain(time.monotonic())
                time.sleep(0.005)
            self._client.disconnect()
            self._client.loop_write()
        self._drop(None)

    # --- the session ---

    def _make_client(self) -> FastClient:
        broker = self._broker
        name = broker.client_id(self._client_id)
        callbacks = {self._service.encode(): self._on_service_status}
        client = FastClient(self._deliver, callbacks, client_id=name, protocol=mqtt.MQTTv5, manual_ack=True)
        # What we publish must leave in order, before the acknowledgements that follow it: so paho may not hold it back.
        client.max_inflight_messages_set(65_535)
        client.connect_timeout = CONNECT_TIMEOUT_S
        configure_client(client, broker)
        client.will_set(self._service, encode_service_status(self._status("offline")), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        # With this set, paho leaves writing to us instead of writing inside publish() and subscribe().
        client.on_socket_register_write = lambda *_: None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = self._window
        client.connect_async(broker.host, broker.port, KEEPALIVE_S, clean_start=False, properties=properties)
        return client

    def _status(self, state: Any) -> ServiceStatus:
        return ServiceStatus(state=state, boot=self._boot, host=socket.gethostname(), pid=os.getpid())

    def _on_connect(self, client: mqtt.Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._failed = f"it refuses us: {reason}"
            return
        self._connected = True
        if self._ever_connected and not flags.session_present:
            self._log.warning("the broker has forgotten our session, and with it the readings that it kept for us")
        if self._wait_log.over() or not self._ever_connected:
            self._log.info("connected to the broker at %s", self._broker)
        self._ever_connected = True
        self._backoff.reset()
        # Subscribing again is harmless in a session that the broker remembers, and needed in one that it does not.
        client.subscribe(self._subscriptions)
        self._next_beat = 0.0
        self._next_maintenance = 0.0
        self._on_connected(flags.session_present)

    def _on_subscribe(self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._failed = f"it refuses our subscription: {', '.join(refused)}"

    def _on_disconnect(self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected:
            self._log_failure(f"the connection ended: {reason}")
        elif self._failed is None:
            hint = client_cert_hint(self._broker.certificate) if self._broker.tls else TLS_HINT
            self._log_failure("the connection ended before an answer" + hint)
        self._connected = False

    def _on_publish(self, _client: mqtt.Client, _userdata: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._unpublished.discard(mid)

    def _on_service_status(self, _topic: bytes, payload: bytes, *_: int) -> None:
        other = decode_service_status(payload)
        if other is not None and other.state == "online" and other.boot > self._boot:
            self._replaced_by = other

    def _drop(self, reason: str | None) -> None:
        """Close the socket and log `reason`, if there is one, as the failure of this attempt."""
        self._failed = None
        self._connected = False
        self._client.close_socket()
        if reason is not None:
            self._log_failure(reason)

    def _log_failure(self, reason: str) -> None:
        self._wait_log.waiting(reason, time.monotonic())
