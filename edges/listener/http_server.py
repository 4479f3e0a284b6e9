"""The HTTP server of the edges: uvicorn on a socket that is bound at the start.

A connection is closed when it has had no complete request for IDLE_TIMEOUT_S, and a peer has at most MAX_PER_PEER
connections, so that no peer takes all of MAX_CONNECTIONS by connections that send nothing.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edges.listener.access import Access, Address, PeerCounts, parse_peer
from mqtt.server_certificate import ReloadingCertificate, common_name
from vitals.log import Throttle

MAX_CONNECTIONS = 500
IDLE_TIMEOUT_S = 10.0  # of a connection between two requests, and of the header of a request
RENEW_INTERVAL_S = 10.0

log = logging.getLogger("edges")


@asynccontextmanager
async def serving(
    application: Callable[..., Any],
    taken: socket.socket,
    access: Access,
    renew: Sequence[Callable[[], None]] = (),
) -> AsyncIterator[None]:
    """Serve an application for the time of the block, and answer what has been received before it ends.

    renew   called every RENEW_INTERVAL_S, to read changed files
    """
    tls = access.tls
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        application,
        http=_protocol(PeerCounts(), access),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any client can forge these headers
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
        ssl_context_factory=None if tls is None else lambda *_: _context(tls),
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    tasks = loop.create_task(server.serve(sockets=[taken]))
    renewing = loop.create_task(_renew([*renew, *([] if tls is None else [tls.renew])]))
    try:
        yield
    finally:
        renewing.cancel()
        server.should_exit = True
        await tasks


def _context(tls: ReloadingCertificate) -> ssl.SSLContext:
    """Return the context of all connections, which gives each the one that has been loaded last."""

    def use_current(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = tls.context

    context = tls.context
    context.sni_callback = use_current
    return context


async def _renew(renew: Sequence[Callable[[], None]]) -> None:
    while True:
        await asyncio.sleep(RENEW_INTERVAL_S)
        for one in renew:
            one()


class _Server(uvicorn.Server):
    """uvicorn server that leaves the signals to the service: the inbox is closed after the answers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def _protocol(peers: PeerCounts, access: Access) -> type[H11Protocol]:
    """Return the class of a server's connections."""
    throttle = Throttle()

    def problem_of(certificate: Mapping[str, object]) -> str:
        """Return why a client with this certificate may not send, or nothing."""
        assert access.tls is not None
        if not access.allows_name(name := common_name(certificate)):
            return f"the name of its certificate, {name}, may not send"
        return "" if access.tls.is_valid(certificate, datetime.now(UTC)) else f"the certificate of {name} is not valid"

    class Connection(H11Protocol):
        """A connection that ends if it is idle for too long, its peer has too many, or its certificate may not send."""

        _peer: Address | None = None
        _idle: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Count the connection, or end it."""
            super().connection_made(transport)
            address = parse_peer(transport.get_extra_info("peername", ("0.0.0.0", 0))[0])
            if not peers.admit(address):
                self._reject(address, "its address has too many")
                return
            self._peer = address
            self._watch()

        def data_received(self, data: bytes) -> None:
            """Read a part of a request."""
            if access.needs_certificate and (problem := problem_of(self.transport.get_extra_info("peercert"))):
                self._reject(self._peer, problem)
                return
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            """Wait for the next request."""
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the connection."""
            super().connection_lost(exc)
            if self._idle is not None:
                self._idle.cancel()
            if self._peer is not None:
                peers.forget(self._peer)
                self._peer = None

        def _watch(self) -> None:
            """Start the time of a connection without a request, or end it when there is one."""
            busy = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
            if busy and self._idle is not None:
                self._idle.cancel()
                self._idle = None
            elif not busy and self._idle is None and self._peer is not None:
                self._idle = self.loop.call_later(IDLE_TIMEOUT_S, self._end)

        def _reject(self, address: Address | None, problem: str) -> None:
            if throttle.due(self.loop.time()):
                log.warning("the connection of %s is rejected: %s", address, problem)
            self.transport.abort()

        def _end(self) -> None:
            self.transport.abort()

    return Connection
