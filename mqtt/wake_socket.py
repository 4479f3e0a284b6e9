"""End a `select` from another thread or from a signal handler."""

import socket
from contextlib import suppress


class WakeSocket:
    """A socket that is readable after `wake`; pass the object itself to `select`."""

    def __init__(self) -> None:
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor, for `select`."""
        return self._out.fileno()

    def wake(self) -> None:
        """Make it readable."""
        with suppress(BlockingIOError):  # the pair is full, so it is readable
            self._in.send(b".")

    def drain(self) -> None:
        """Make it not readable until the next `wake`."""
        with suppress(BlockingIOError):
            self._out.recv(4096)

    def close(self) -> None:
        """Close both ends."""
        self._out.close()
        self._in.close()
