"""The fast lane: PUBLISH packets straight from the socket to the batch, everything else to paho-mqtt.

First hop of a reading inside a service (ingest, alerts). paho owns the session (CONNECT, SUBSCRIBE, pings, TLS), but
reads a packet in three or more system calls and builds four objects for each message. This class stands between paho
and its socket: it reads 256 KiB at a time, hands each PUBLISH to `deliver`, and lets paho read only what is left.
Measured on two cores, from a full queue to the last commit: paho's own way 18 to 29 us a message for receiving alone,
this way 8 us for receiving, decoding and formatting together.

The price: about 100 lines of MQTT (sections 3.3 and 3.4 of the OASIS standard, versions 3.1.1 and 5.0), and the
use of hooks that paho does not document, `Client._create_socket` and what it calls; its version is pinned and tests
watch. TLS stands between the lane and the socket, in `records`.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.tls_socket import TLSSocket

# topic, payload, message id (0: QoS 0, nothing to acknowledge), retained, dup (possibly delivered before)
Deliver = Callable[[bytes, bytes, int, bool, bool], None]

READ_BYTES = 256 * 1024
PUBLISH = 0x30
PUBACK = b"\x40\x02"


class PublishFastPath:
    """A socket, as far as paho can tell, that keeps the PUBLISH packets to itself."""

    def __init__(
        self, sock: Any, deliver: Deliver, has_properties: bool, callbacks: Mapping[bytes, Deliver] | None = None
    ) -> None:
        self._socket = sock
        self._tls_socket = sock if isinstance(sock, TLSSocket) else None
        self._deliver = deliver
        self._callback = (callbacks or {}).get
        self._has_properties = has_properties  # MQTT 5 puts properties between the topic and the payload
        self._rest = b""  # the beginning of a packet whose end has not arrived
        self._control = bytearray()  # packets for paho
        self._out = bytearray()
        self._closed_by_peer = False

    # --- what the pipeline calls ---

    def receive(self) -> int:
        """Read what there is, at most READ_SIZE; deliver every complete PUBLISH, keep the other packets for paho.

        Returns how many bytes there were.
        """
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            data = b""
        if not data:
            self._closed_by_peer = True
            return 0
        self._split(self._rest + data if self._rest else data)
        return len(data)

    @property
    def has_control(self) -> bool:
        """Whether paho has something to read: a packet of its own, or the end of the connection."""
        return bool(self._control) or self._closed_by_peer

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Queue a PUBACK for each message, in order; `flush` sends them."""
        self._out += b"".join([PUBACK + number.to_bytes(2, "big") for number in message_ids])

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Queue a PUBLISH of QoS 0, not retained; `flush` sends it. 2 us instead of paho's 40, for what is told
        often."""
        properties = b"\x00" if self._has_properties else b""
        body = len(topic).to_bytes(2, "big") + topic + properties + payload
        self._out += bytes([PUBLISH]) + _encode_length(len(body)) + body

    def flush(self) -> None:
        """Send what the socket takes now."""
        if self._tls_socket is not None:
            self._tls_socket.flush()
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, InterruptedError):
                return
            del self._out[:sent]

    @property
    def unsent(self) -> bool:
        """Whether `flush` left something behind."""
        return bool(self._out) or (self._tls_socket is not None and self._tls_socket.unsent)

    # --- what paho calls ---

    def recv(self, size: int) -> bytes:
        """A piece of the packets that are not PUBLISH."""
        if self._control:
            piece = bytes(self._control[:size])
            del self._control[:size]
            return piece
        if self._closed_by_peer:
            return b""
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        """Take a packet of paho's; whole packets only, so ours cannot land inside one."""
        self._out += data
        self.flush()
        return len(data)

    def fileno(self) -> int:
        """For select()."""
        number: int = self._socket.fileno()
        return number

    def setblocking(self, flag: bool) -> None:
        """Pass it on."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Pass it on."""
        self._socket.close()

    # --- the packets ---

    def _split(self, data: bytes) -> None:
        """Cut `data` into packets. Local names throughout: this loop runs for every message."""
        deliver, callback = self._deliver, self._callback
        has_properties = self._has_properties
        at, end = 0, len(data)
        while at + 2 <= end:
            head = data[at]
            length = data[at + 1]
            body = at + 2
            if length & 0x80:  # more than one byte of length: 7 bits each, lowest first
                length &= 0x7F
                shift = 7
                while body < end:
                    digit = data[body]
                    body += 1
                    length |= (digit & 0x7F) << shift
                    if not digit & 0x80:
                        break
                    shift += 7
                else:
                    break
            stop = body + length
            if stop > end:
                break
            if head & 0xF0 == PUBLISH:
                start = body + 2 + (data[body] << 8 | data[body + 1])
                topic = data[body + 2 : start]
                number = 0
                if head & 0x06:
                    number = data[start] << 8 | data[start + 1]
                    start += 2
                if has_properties:
                    start = _skip_properties(data, start)
                callback(topic, deliver)(topic, data[start:stop], number, bool(head & 0x01), bool(head & 0x08))
            else:
                self._control += data[at:stop]
            at = stop
        self._rest = data[at:]


def _encode_length(number: int) -> bytes:
    """The remaining length of a packet: 7 bits a byte, lowest first."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(digits)


def _skip_properties(data: bytes, at: int) -> int:
    """Where the payload begins: behind the properties' length and the properties, of which none matters here."""
    length, shift = 0, 0
    while True:
        digit = data[at]
        at += 1
        length |= (digit & 0x7F) << shift
        if not digit & 0x80:
            return at + length
        shift += 7


class FastClient(mqtt.Client):
    """A paho client whose PUBLISH packets go to `deliver` instead of `on_message`.

    callbacks   take the messages of a topic instead of `deliver`

    All use of names that paho does not document is in this class; tests/unit/test_fast_client.py holds the version.
    """

    def __init__(self, deliver: Deliver, callbacks: Mapping[bytes, Deliver] | None = None, **arguments: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **arguments)
        self.fast_path: PublishFastPath | None = None
        self._deliver = deliver
        self._callbacks = callbacks

    def close_socket(self) -> None:
        """Close the socket without a DISCONNECT, so that the broker publishes the will."""
        self._sock_close()  # type: ignore[no-untyped-call, unused-ignore]

    def _create_socket(self) -> Any:
        sock: Any = self._create_socket_connection()  # type: ignore[no-untyped-call, unused-ignore]
        if isinstance(sock, socket.socket):
            # Acknowledgements are small and the window waits for them.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl_context is not None:
            sock.settimeout(self.connect_timeout)
            sock = TLSSocket(sock, self._ssl_context, self._host)
        self.fast_path = PublishFastPath(sock, self._deliver, self.protocol == mqtt.MQTTv5, self._callbacks)
        return self.fast_path
