"""A paho-mqtt client with a fast path for PUBLISH packets: they go from the socket to a callback, without paho.

First hop of a reading in ingest and alerts. paho owns the session (CONNECT, SUBSCRIBE, PINGREQ), but reads a packet in
three or more system calls and creates four objects per message. `PublishFastPath` sits between paho and the socket: it
reads 256 KiB at a time, passes each PUBLISH to `deliver`, and leaves the other packets to paho. Measured on two cores,
from a full queue to the last commit: with paho alone, receiving takes 18 to 29 us per message; with the fast path,
receiving, decoding and formatting take 8 us together.

The price is about 100 lines of MQTT (sections 3.3 and 3.4 of the OASIS standards 3.1.1 and 5.0) and the use of names
that paho does not document, `Client._create_socket` and what it calls. `mqtt.tls_socket` does TLS below the fast path.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.packets import packet, string_field
from mqtt.tls_socket import TLSSocket

Deliver = Callable[[bytes, bytes, int, bool, bool], None]
"""Called with topic, payload, packet identifier (0 at QoS 0: nothing to acknowledge), RETAIN flag and DUP flag."""

READ_BYTES = 256 * 1024
PUBLISH = 0x30
PUBACK = b"\x40\x02"


class PublishFastPath:
    """A socket to paho that filters out PUBLISH packets.

    callbacks   take the messages of a topic instead of `deliver`
    """

    def __init__(
        self, sock: Any, deliver: Deliver, has_properties: bool, callbacks: Mapping[bytes, Deliver] | None = None
    ) -> None:
        self._socket = sock
        self._tls_socket = sock if isinstance(sock, TLSSocket) else None
        self._deliver = deliver
        self._callback = (callbacks or {}).get
        self._has_properties = has_properties  # MQTT 5 puts properties between the topic and the payload
        self._rest = b""  # an incomplete packet
        self._control = bytearray()  # packets for paho
        self._out = bytearray()
        self._closed_by_peer = False

    # --- called by the session ---

    def receive(self) -> int:
        """Read up to READ_BYTES, deliver each complete PUBLISH, keep other packets for paho; return the bytes read."""
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
        """Return whether paho has data to read: a packet or the end of the connection."""
        return bool(self._control) or self._closed_by_peer

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Queue a PUBACK for each packet identifier, in order; `flush` sends them."""
        self._out += b"".join([PUBACK + number.to_bytes(2, "big") for number in message_ids])

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Queue a PUBLISH of QoS 0, not retained; `flush` sends it. Takes 2 us; paho takes 40."""
        properties = b"\x00" if self._has_properties else b""
        self._out += packet(PUBLISH, string_field(topic) + properties + payload)

    def flush(self) -> None:
        """Send as much as the socket accepts without blocking."""
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
        """Return whether data waits for the socket to become writable."""
        return bool(self._out) or (self._tls_socket is not None and self._tls_socket.unsent)

    # --- called by paho ---

    def recv(self, size: int) -> bytes:
        """Return bytes of the packets that are not PUBLISH."""
        if self._control:
            piece = bytes(self._control[:size])
            del self._control[:size]
            return piece
        if self._closed_by_peer:
            return b""
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        """Queue and send one of paho's packets; paho passes whole packets, so PUBACKs cannot split one."""
        self._out += data
        self.flush()
        return len(data)

    def fileno(self) -> int:
        """Return the file descriptor, for select()."""
        number: int = self._socket.fileno()
        return number

    def setblocking(self, flag: bool) -> None:
        """Forward to the socket."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Forward to the socket."""
        self._socket.close()

    # --- packets ---

    def _split(self, data: bytes) -> None:
        """Split `data` into packets. Uses local variables throughout: the loop runs for every message."""
        deliver, callback = self._deliver, self._callback
        has_properties = self._has_properties
        at, end = 0, len(data)
        while at + 2 <= end:
            head = data[at]
            length = data[at + 1]
            body = at + 2
            if length & 0x80:  # a length of several bytes: 7 bits each, lowest first
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


def _skip_properties(data: bytes, at: int) -> int:
    """Return the offset of the payload, after the properties; none of them is used."""
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
        if self._ssl_context is not None:
            sock.settimeout(self.connect_timeout)
            sock = TLSSocket(sock, self._ssl_context, self._host)
        self.fast_path = PublishFastPath(sock, self._deliver, self.protocol == mqtt.MQTTv5, self._callbacks)
        return self.fast_path
