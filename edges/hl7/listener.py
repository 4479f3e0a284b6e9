"""Receive HL7 messages over TCP in MLLP frames, and send their answers in order.

A connection has no task while it is idle. Its messages are handled together, as long as they are small, so that one
commit serves many; a peer that sends faster than its messages are handled is not read. A message that has been received
completely is handled even if its connection has ended: a sender that does not wait for the answer loses nothing.
"""

import asyncio
import logging
import resource
import socket
import ssl
from asyncio import sslproto
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edges.hl7.acks import Error, Outcome, acknowledge_unread
from edges.hl7.er7 import InvalidMessage
from edges.hl7.frames import MAX_FRAME, FrameReader, Reader, UnframedReader, frame
from edges.listener.access import MAX_PER_PEER, Access, PeerCounts, parse_peer
from mqtt.server_certificate import common_name
from vitals.errors import PermanentError
from vitals.log import Throttle

log = logging.getLogger("edges.hl7")

MAX_IN_FLIGHT = 64  # messages of a connection that are handled at once
FRAME_TIMEOUT_S = 30.0  # from the first byte of a frame to its last
SILENCE_S = 1.0  # ends a message without a frame
CLOSE_TIMEOUT_S = 5.0  # for the answers in flight when the listener closes
HANDSHAKE_TIMEOUT_S = 10.0
CERTIFICATES_INTERVAL_S = 10.0
MAX_CONNECTIONS = 100_000  # where open files are not limited
RESERVED_FILES = 128  # of the process, for all but connections
TLS_READ = 4 * 1024  # bytes; asyncio's 256 KiB would be most of an idle connection's memory
_TLS_BUFFER = memoryview(bytearray(64 * 1024))  # of all connections: what is read into it is decrypted at once
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # a dead peer is found after two minutes


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    name   the common name of its certificate; empty without TLS
    """

    address: str
    port: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.address}:{self.port}{f' ({self.name})' if self.name else ''}"


Handle = Callable[[bytes, Peer], Awaitable[Sequence[bytes]]]


@dataclass(slots=True)
class Counts:
    """What a listener has counted since its start.

    accepted     connections
    rejected     connections by reason: peer, peer_connections, connections, tls, certificate_name
    messages     received completely; each is answered, or one of `unanswered`
    answers      sent or queued to be sent
    unanswered   messages without an answer: their header is not readable, or none was asked for
    invalid      messages that are no HL7
    failed       messages whose handling failed
    noise        bytes outside frames
    incomplete   frames without an end, because another one or the end of the connection interrupted them
    oversized    frames of more than MAX_FRAME bytes
    timed_out    frames that took longer than FRAME_TIMEOUT_S; the connection is closed
    revoked      connections that were closed because the certificate ended or was revoked
    """

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    answers: int = 0
    unanswered: int = 0
    invalid: int = 0
    failed: int = 0
    noise: int = 0
    incomplete: int = 0
    oversized: int = 0
    timed_out: int = 0
    revoked: int = 0


class Listener:
    """The connections of one address.

    handle   takes a message and its peer, and returns the answers. It keeps the order of messages if it queues a
             message before it first waits. InvalidMessage becomes AR, any other exception AE.
    """

    def __init__(self, handle: Handle, access: Access, *, unframed: bool = False) -> None:
        self.counts = Counts()
        self.access = access
        self.unframed = unframed
        self._handle = handle
        self._connections: set[_Connection] = set()
        self._peers = PeerCounts()
        self._limit = 0
        self._throttles: dict[str, Throttle] = {}
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._certificates: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; raises PermanentError if the address cannot be used."""
        self.access.require_safe(host)
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        self._limit = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, files - RESERVED_FILES)
        loop = asyncio.get_running_loop()
        if self.access.tls is not None:
            sslproto.SSLProtocol.max_size = TLS_READ
            self._certificates = loop.create_task(self._watch_certificates())
        try:
            self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
        except OSError as error:
            raise PermanentError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def open(self) -> int:
        """Number of connections."""
        return len(self._connections)

    async def close(self) -> None:
        """Accept and read nothing more, send the answers in flight, and end all connections."""
        if self._server is not None:
            self._server.close()
        if self._certificates is not None:
            self._certificates.cancel()
        for connection in list(self._connections):
            connection.finish()
        self._wake()
        try:
            await asyncio.wait_for(self._empty.wait(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            self.warn("close", "%d connections ended before their last answer", self.open)
            for connection in list(self._connections):
                connection.abort()

    def admit(self, connection: "_Connection", address: str) -> str:
        """Count a new connection; return why it is rejected, or nothing."""
        peer = parse_peer(address)
        if not self.access.allows(peer):
            return "peer"
        if len(self._connections) >= self._limit:
            return "connections"
        if not self._peers.admit(peer):
            return "peer_connections"
        self._connections.add(connection)
        return ""

    def forget(self, connection: "_Connection", address: str) -> None:
        """Forget a connection that has ended and whose messages are handled."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._peers.forget(parse_peer(address))
            self._wake()

    def reject(self, reason: str, peer: str, detail: object = "") -> None:
        """Count and log a rejected connection."""
        self.counts.rejected[reason] += 1
        self.warn(reason, "the connection of %s is rejected: %s%s", peer, REJECTIONS[reason], detail)

    def warn(self, kind: str, text: str, *values: object, error: BaseException | None = None) -> None:
        """Log a warning of a kind; more of the kind within the interval are only counted."""
        throttle = self._throttles.setdefault(kind, Throttle())
        if throttle.due(asyncio.get_running_loop().time()):
            more = f"; {throttle.suppressed} more before" if throttle.suppressed else ""
            log.warning(f"{text}%s", *values, more, exc_info=error)

    async def answer(self, message: bytes, peer: Peer) -> Sequence[bytes]:
        """Return the answers to a message; raises nothing."""
        counts = self.counts
        counts.messages += 1
        try:
            try:
                answers = await self._handle(message, peer)
            except InvalidMessage as error:
                counts.invalid += 1
                self.warn("invalid", "a message of %s cannot be read: %s", peer, error)
                fault = Error(error.code, str(error))
                answers = acknowledge_unread(message, Outcome.REJECT, fault, datetime.now(UTC))
            except Exception as error:
                counts.failed += 1
                self.warn("failed", "the handling of a message of %s failed", peer, error=error)
                fault = Error(207, "the message could not be handled; send it again")
                answers = acknowledge_unread(message, Outcome.ERROR, fault, datetime.now(UTC))
        except Exception as error:
            self.warn("unanswered", "a message of %s has no answer", peer, error=error)
            answers = ()
        counts.answers += len(answers)
        counts.unanswered += not answers
        return answers

    async def _watch_certificates(self) -> None:
        tls = self.access.tls
        assert tls is not None
        while True:
            await asyncio.sleep(CERTIFICATES_INTERVAL_S)
            tls.renew()
            self.end_invalid(datetime.now(UTC))

    def end_invalid(self, now: datetime) -> None:
        """End the connections whose certificate has ended or is revoked."""
        tls = self.access.tls
        for connection in list(self._connections):
            if tls is not None and connection.certificate and not tls.is_valid(connection.certificate, now):
                self.counts.revoked += 1
                self.warn("revoked", "the certificate of %s has ended or is revoked", connection.peer)
                connection.finish()

    def _wake(self) -> None:
        if self._connections:
            self._empty.clear()
        else:
            self._empty.set()


REJECTIONS = {
    "peer": "its address is in none of the networks that may send",
    "peer_connections": f"its address has {MAX_PER_PEER} connections",
    "connections": "the limit of open files is reached",
    "tls": "no connection with TLS and a certificate of the CA: ",
    "certificate_name": "no name that may send: ",
}


class _Connection(asyncio.Protocol):
    """One connection: bytes -> messages -> answers."""

    __slots__ = (
        "_closed",
        "_early",
        "_ended_early",
        "_ending",
        "_handshake",
        "_in_flight",
        "_in_flight_bytes",
        "_listener",
        "_reader",
        "_timer",
        "_transport",
        "_waiting",
        "_write_paused",
        "certificate",
        "peer",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reader: Reader = UnframedReader() if listener.unframed else FrameReader()
        self._waiting: list[bytes] = []  # few; an empty deque has 600 bytes more
        self._in_flight: list[tuple[asyncio.Task[Sequence[bytes]], int]] = []
        self._in_flight_bytes = 0
        self._early: list[bytes] | None = None  # what came before the end of the handshake
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._ended_early = self._write_paused = self._ending = self._closed = False
        self.peer = Peer("", 0)
        self.certificate: dict[str, object] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port = transport.get_extra_info("peername", ("0.0.0.0", 0))[:2]
        self.peer = Peer(str(parse_peer(host)), port)
        reason = self._listener.admit(self, self.peer.address)
        if reason:
            self._closed = True
            self._listener.reject(reason, self.peer.address)
            transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))
        tls = self._listener.access.tls
        if tls is None:
            self._listener.counts.accepted += 1
            return
        self._early = []
        self._handshake = asyncio.get_running_loop().create_task(self._encrypt(transport, tls.context))

    async def _encrypt(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        listener = self._listener
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
            if encrypted is None:
                raise ConnectionError("the connection ended")
        except OSError as error:  # ssl.SSLError and timeouts too
            listener.reject("tls", str(self.peer), getattr(error, "reason", None) or error)
            self._early = None
            transport.abort()
            self._end()
            return
        self._transport, self._handshake = encrypted, None
        certificate = _shrink(encrypted)
        self.certificate = {key: certificate[key] for key in ("notAfter", "serialNumber")}
        name = common_name(certificate)
        self.peer = Peer(self.peer.address, self.peer.port, name)
        if not listener.access.allows_name(name):
            listener.reject("certificate_name", str(self.peer), name)
            self._early = None
            encrypted.abort()
            self._end()
            return
        listener.counts.accepted += 1
        early, self._early = self._early or [], None
        for data in early:
            self.data_received(data)
        if self._ended_early:
            self._end()

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            return
        if self._ending:
            return
        reader = self._reader
        messages = reader.feed(data)
        interrupted = reader.incomplete
        self._count()
        if messages:
            self._waiting.extend(messages)
            self._work()
        self._set_timer(restart=bool(messages or interrupted or self._listener.unframed))

    def eof_received(self) -> bool:
        self.finish()
        return self._listener.access.tls is None and not self._closed  # the answers in flight can still be sent

    def connection_lost(self, error: Exception | None) -> None:
        if self._early is None:
            self._end()
        else:  # `_encrypt` goes on
            self._ended_early = True

    def pause_writing(self) -> None:
        self._write_paused = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._work()

    def finish(self) -> None:
        """Read nothing more, and close the connection after the answers in flight."""
        self._flush()
        self._ending = True
        self._set_timer()
        self._work()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        """Forget the transport. Messages that have been received are still handled."""
        self._flush()
        if self._reader.started and not self._closed:
            self._listener.counts.incomplete += 1
        self._closed = self._ending = True
        self._write_paused = False
        self._transport = None
        self._set_timer()
        self._work()

    def _work(self) -> None:
        """Handle messages that wait, as many as may be in flight."""
        while self._waiting and not self._write_paused and self._fits(self._waiting[0]):
            message = self._waiting.pop(0)
            task = asyncio.get_running_loop().create_task(self._listener.answer(message, self.peer))
            self._in_flight.append((task, len(message)))
            self._in_flight_bytes += len(message)
            task.add_done_callback(self._send)
        self._set_reading()
        if self._ending and not self._waiting and not self._in_flight:
            if self._transport is not None:
                self._transport.close()
            else:
                self._listener.forget(self, self.peer.address)

    def _fits(self, message: bytes) -> bool:
        within = self._in_flight_bytes + len(message) <= MAX_FRAME and len(self._in_flight) < MAX_IN_FLIGHT
        return within or not self._in_flight

    def _send(self, _: object) -> None:
        """Send the answers that are next in order."""
        ready: list[bytes] = []
        while self._in_flight and self._in_flight[0][0].done():
            task, size = self._in_flight.pop(0)
            self._in_flight_bytes -= size
            if not task.cancelled():
                ready += map(frame, task.result())
        if ready and self._transport is not None:
            self._transport.write(b"".join(ready))
        self._work()

    def _set_reading(self) -> None:
        if self._transport is None or self._early is not None:
            return
        if self._waiting or self._write_paused or self._ending:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _set_timer(self, *, restart: bool = False) -> None:
        """Run the timer while a message has begun and has not ended."""
        running = self._reader.started and not self._ending
        if self._timer is not None and (restart or not running):
            self._timer.cancel()
            self._timer = None
        if running and self._timer is None:
            limit = SILENCE_S if self._listener.unframed else FRAME_TIMEOUT_S
            self._timer = asyncio.get_running_loop().call_later(limit, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._listener.unframed and self._flush():
            self._work()
        elif self._waiting or self._write_paused:  # the delay is ours
            self._set_timer()
        else:
            self._listener.counts.timed_out += 1
            self._listener.warn(
                "timed_out", "%s began a message and did not end it; its connection is closed", self.peer
            )
            self.finish()

    def _flush(self) -> bool:
        messages = self._reader.flush()
        self._waiting.extend(messages)
        return bool(messages)

    def _count(self) -> None:
        """Add what the reader has counted to the listener's counts."""
        reader, counts = self._reader, self._listener.counts
        if reader.noise:
            counts.noise += reader.noise
            if reader.noise > _USUAL_NOISE:
                self._listener.warn("noise", "%s sent %d bytes outside of frames", self.peer, reader.noise)
        if reader.oversized:
            self._listener.warn("oversized", "%s sent a message of more than %d bytes", self.peer, MAX_FRAME)
        counts.incomplete += reader.incomplete
        counts.oversized += reader.oversized
        reader.noise = reader.incomplete = reader.oversized = 0


_USUAL_NOISE = 16  # bytes at once: line ends between frames


def _shrink(encrypted: Any) -> dict[str, Any]:
    """Return the certificate of a client, and free what an idle connection does not need: 7 of its 40 KiB.

    OpenSSL has 27 KiB of a connection, of which 11 are the certificate; asyncio has no public way to the rest.
    """
    protocol = encrypted._ssl_protocol
    protocol._ssl_buffer_view = protocol._ssl_buffer = _TLS_BUFFER
    return dict(protocol._extra.pop("peercert"))


def _keep_alive(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@asynccontextmanager
async def serve(
    host: str, port: int, handle: Handle, access: Access, *, unframed: bool = False
) -> AsyncIterator[Listener]:
    """Listen on an address until the block ends; then the answers in flight are sent. Port 0 takes a free one.

    unframed   senders do not use frames

    Raises PermanentError if the address cannot be used, or any machine could send to it.
    """
    listener = Listener(handle, access, unframed=unframed)
    await listener.start(host, port)
    try:
        yield listener
    finally:
        await listener.close()
