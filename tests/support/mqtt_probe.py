"""An MQTT 5 client that returns the broker's reason for each attempt to connect, publish or subscribe."""

import select
import socket
import ssl
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt.endpoint import BrokerEndpoint, configure_client
from mqtt.packets import packet, string_field

TIMEOUT_S = 5.0  # seconds for an answer
NOTHING = "nothing"


class MqttProbe:
    """One connection; `connected` says what became of it."""

    def __init__(
        self,
        broker: BrokerEndpoint,
        client_id: str = "",
        *,
        clean: bool = True,
        will: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.session_present = False
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._messages: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            transport=broker.transport,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        if context is None:
            configure_client(client, broker)
        else:
            client.tls_set_context(context)
            client.username_pw_set(broker.username, broker.password)
        if will is not None:
            client.will_set(will, b'{"state":"offline","boot":1}', qos=1)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._answers.put(f"disconnected: {reason}")
        client.on_publish = lambda _c, _u, _m, reason, _p: self._answers.put(str(reason))
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._answers.put(str(reasons[0]))
        client.on_message = lambda _c, _u, message: self._messages.put((message.topic, bytes(message.payload)))
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if clean else 60
        client.connect_timeout = TIMEOUT_S
        try:
            client.connect(broker.host, broker.port, clean_start=clean, properties=properties)
        except OSError as error:
            self.connected = str(error)
        else:
            client.loop_start()
            self.connected = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def leave(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def drop_connection(self) -> None:
        """Drop the connection without DISCONNECT, so that the will is due."""
        sock: Any = self._client.socket()
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> str:
        """Publish at QoS 1; the reason of the PUBACK."""
        self._client.publish(topic, payload, qos=1, retain=retain)
        return self._answer()

    def subscribe(self, topic: str) -> str:
        """Subscribe; the reason of the SUBACK."""
        self._client.subscribe(topic, 1)
        return self._answer()

    def next_topic(self, timeout: float = TIMEOUT_S) -> str:
        """The topic of the next message."""
        with suppress(Empty):
            return self._messages.get(timeout=timeout)[0]
        return NOTHING

    def raw(self, publish_packet: bytes) -> str:
        """Send bytes that no honest client sends; what the broker says to it."""
        sock: Any = self._client.socket()
        left = memoryview(publish_packet)
        with suppress(OSError):  # the broker has ended it, and said why
            while left:
                try:
                    left = left[sock.send(left) :]
                except ssl.SSLWantWriteError:
                    select.select([], [sock], [], TIMEOUT_S)
        return self._answer()

    def disconnected(self) -> str:
        """How the broker ended it."""
        return self._answer()

    def _on_connect(self, _client: Any, _user: Any, flags: Any, reason: Any, _properties: Any) -> None:
        self.session_present = flags.session_present
        self._answers.put(str(reason))

    def _answer(self) -> str:
        with suppress(Empty):
            return self._answers.get(timeout=TIMEOUT_S)
        return NOTHING


def connects(broker: BrokerEndpoint, client_id: str = "", **options: Any) -> str:
    """What became of an attempt to connect."""
    with MqttProbe(broker, client_id, **options) as guest:
        return guest.connected


def publishes(
    broker: BrokerEndpoint, client_id: str, topic: str, payload: bytes = b"{}", *, retain: bool = False
) -> str:
    """What became of an attempt to publish."""
    with MqttProbe(broker, client_id) as guest:
        assert guest.connected == "Success", guest.connected
        return guest.publish(topic, payload, retain=retain)


def subscribes(broker: BrokerEndpoint, client_id: str, topic: str) -> str:
    """What became of an attempt to subscribe."""
    with MqttProbe(broker, client_id) as guest:
        assert guest.connected == "Success", guest.connected
        return guest.subscribe(topic)


def publish_packet(topic: bytes, payload: bytes, between: bytes = b"") -> bytes:
    """A PUBLISH by hand, whatever the topic; `between`: message id and properties, and then it is of QoS 1."""
    body = string_field(topic) + between + payload
    return packet(0x32 if between else 0x30, body)
