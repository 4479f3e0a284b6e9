"""The listening socket of an HTTP server: that of the station and those of the edges."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from vitals.errors import PermanentError

BACKLOG = 256


@contextmanager
def listening(host: str, port: int, advice: str = "") -> Iterator[socket.socket]:
    """Yield a listening socket; raises PermanentError, with `advice` at its end, if the address is not available."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        taken = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PermanentError(f"cannot listen on {host}:{port}: {error.strerror or error}{advice}") from None
    with taken:
        # Inherited by each connection. asyncio sets it only where the protocol of the socket is given, and without it
        # an answer in two writes waits 40 ms for the acknowledgement of the first.
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield taken
