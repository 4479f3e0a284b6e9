"""A serial port: opened for this process alone, read without waiting, closed when it is gone. Nothing is written."""

import errno
import os
import select
import termios
from contextlib import suppress
from pathlib import Path

import serial

from edges.config.serial_table import LineSettings
from edges.serial.console import find_terminal_owner, is_console_of_system
from vitals.errors import PermanentError, TransientError

MAX_READ = 65536


class PortMissing(TransientError):
    """There is no such port: the device is not plugged in."""


class PortGone(Exception):
    """The port was unplugged, or its other end is closed."""


class Port:
    """An open port; raises TransientError if it is not there or taken, PermanentError if it must not be read."""

    def __init__(self, path: Path, line: LineSettings) -> None:
        if is_console_of_system(path):
            raise PermanentError(f"{path} is a console of this machine; it is not opened")
        if owner := find_terminal_owner(path):
            raise TransientError(f"{path} is the terminal of the process {owner}; it is not opened")
        self._serial = _open(path, line)
        self._poll = select.poll()
        self._poll.register(self._serial.fileno(), select.POLLIN)

    def read(self) -> bytes:
        """Return what has come, which may be nothing; raises PortGone."""
        if not self._poll.poll(0):
            return b""
        try:
            data = os.read(self._serial.fileno(), MAX_READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortGone(os.strerror(error.errno or errno.EIO)) from None
        if not data:  # readable without a byte: the device is unplugged
            raise PortGone("the device is unplugged")
        return data

    def close(self) -> None:
        """Close it."""
        with suppress(OSError, serial.SerialException):
            self._serial.close()


def _open(path: Path, line: LineSettings) -> serial.Serial:
    port = serial.Serial()
    port.port = str(path)
    port.baudrate = line.baud
    port.bytesize = line.bits
    port.parity = line.parity
    port.stopbits = line.stop_bits
    port.timeout = 0
    port.exclusive = True
    try:
        port.open()
    except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
        raise _describe(path, line, error) from None
    return port


def _describe(path: Path, line: LineSettings, error: Exception) -> Exception:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO):
        return PortMissing(f"{path} is not there")
    if number in (errno.EACCES, errno.EPERM):
        return TransientError(f"{path}: permission denied; the user needs the group of the port, such as dialout")
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY):
        return TransientError(f"{path} is in use by another process")
    if (
        not isinstance(error, OSError)
        or "configure" in str(error)
        or number in (errno.EINVAL, errno.ENOTTY, errno.EISDIR)
    ):
        return TransientError(f"{path} is no serial port, or none with {line}")
    return TransientError(f"{path}: {error}")
