"""The listening socket of an HTTP server: that of the station and those of the edges."""

import socket

BACKLOG = 256


def open_http_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError if the address is not available."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    taken = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Inherited by each connection. asyncio sets it only where the protocol of the socket is given, and without it an
    # answer in two writes waits 40 ms for the acknowledgement of the first.
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken
