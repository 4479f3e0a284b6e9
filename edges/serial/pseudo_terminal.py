"""A pseudo-terminal that is a device at a serial port, for demonstrations and tests."""

import os
import tty
from contextlib import suppress
from pathlib import Path


class PseudoTerminal:
    """The end of the device; `path` is the port that is read.

    link   a path that is made to point at it, as a name below /dev/serial/by-id does
    """

    def __init__(self, link: Path | None = None) -> None:
        self._device, self._port = os.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._device, False)
        self.path = Path(os.ttyname(self._port))
        self._link = link
        if link is not None:
            made = link.with_name(f".{link.name}.{os.getpid()}")
            made.symlink_to(self.path)
            made.replace(link)

    def send(self, data: bytes) -> int:
        """Send bytes; those that nothing reads are lost, as on a cable. Return how many were sent."""
        try:
            return os.write(self._device, data)
        except BlockingIOError:
            return 0

    def received(self) -> bytes:
        """Return what was written to the port."""
        try:
            return os.read(self._device, 65536)
        except OSError:
            return b""

    def unplug(self) -> None:
        """Take the device away."""
        for descriptor in (self._device, self._port):
            with suppress(OSError):
                os.close(descriptor)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
