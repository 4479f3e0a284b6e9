"""Frames of the Minimal Lower Layer Protocol (MLLP, release 1): 0x0B, a message, 0x1C 0x0D.

The first step of the path of a message from the network: bytes -> `feed` -> messages. Pure: no socket and no clock.
Bytes may be split anywhere and may be hostile: nothing is raised, and at most MAX_FRAME bytes are kept.
"""

import re
from typing import Protocol

MAX_FRAME = 1024 * 1024  # bytes of content

_START = b"\x0b"
_END = b"\x1c\r"
_HEADER = re.compile(rb"[\x0b\x1c\0 ]*MSH[!-/:-@\[-`{-~]")


class Reader(Protocol):
    """What takes the bytes of one connection and returns its messages.

    started      whether a message has begun and has not ended
    noise        number of bytes outside messages; line ends, NUL and blanks are usual
    incomplete   number of messages that another one interrupted; dropped
    oversized    number of messages of more than MAX_FRAME bytes; dropped
    """

    started: bool
    noise: int
    incomplete: int
    oversized: int

    def feed(self, data: bytes) -> list[bytes]:
        """Take the bytes that came next and return the messages that they end, without framing."""

    def flush(self) -> list[bytes]:
        """Return the message that nothing but a silence ends, if there is one."""


def frame(message: bytes) -> bytes:
    """Return a message in its frame."""
    return b"".join((_START, message, _END))


class FrameReader:
    """Read the frames of one connection.

    Only 0x1C 0x0D ends a frame. A 0x0B before it begins a new one, and the first is dropped. Each 0x0B is the beginning
    of one frame that is returned, dropped, or has not ended yet.
    """

    __slots__ = ("_buffer", "_scanned", "_skipping", "incomplete", "noise", "oversized", "started")

    def __init__(self) -> None:
        self.started = False
        self.noise = self.incomplete = self.oversized = 0
        self._buffer = bytearray()  # content of the started frame
        self._scanned = 0  # bytes of it that hold neither 0x0B nor the first byte of an end
        self._skipping = False  # the started frame is oversized and has been counted

    def feed(self, data: bytes) -> list[bytes]:
        """Take the bytes that came next and return the frames that they end."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at, scan = 0, self._scanned
        while True:
            if not self.started:
                begin = buffer.find(_START, at)
                outside = begin if begin >= 0 else len(buffer)
                self.noise += outside - at
                at = scan = outside
                if begin < 0:
                    break
                self.started = True
                at = scan = begin + 1
            end = buffer.find(_END, scan)
            limit = end if end >= 0 else len(buffer)
            restarts = buffer.count(_START, scan, limit)
            if restarts:
                self.incomplete += restarts - self._skipping
                self._skipping = False
                at = buffer.rfind(_START, scan, limit) + 1
            if limit - at > MAX_FRAME and not self._skipping:
                self.oversized += 1
                self._skipping = True
            if end < 0:
                scan = limit - buffer.endswith(_END[:1], at)
                if self._skipping:
                    at = scan
                break
            if not self._skipping:
                frames.append(bytes(buffer[at:end]))
            self.started = self._skipping = False
            at = scan = end + len(_END)
        del buffer[:at]
        self._scanned = scan - at
        return frames

    def flush(self) -> list[bytes]:
        """Return nothing: a silence ends no frame."""
        return []


class UnframedReader:
    """Read messages that are sent without frames: each begins with MSH in a new line.

    A message ends where the next one begins, or with a line end and a silence (`flush`). So its last segment is whole,
    but a message that pauses between two segments loses those after the pause.
    """

    __slots__ = ("_message", "_rest", "_size", "incomplete", "noise", "oversized", "started")

    def __init__(self) -> None:
        self.started = False
        self.noise = self.incomplete = self.oversized = 0
        self._message: list[bytes] = []  # lines of the started message
        self._size = 0  # bytes of them; more than MAX_FRAME: the message has been dropped
        self._rest = bytearray()  # a line without an end

    def feed(self, data: bytes) -> list[bytes]:
        """Take the bytes that came next and return the messages that another one follows."""
        self._rest += data
        end = max(data.rfind(b"\r"), data.rfind(b"\n")) + 1
        messages: list[bytes] = []
        if end:
            whole = len(self._rest) - len(data) + end
            lines = bytes(self._rest[:whole]).splitlines(keepends=True)
            del self._rest[:whole]
            for line in lines:
                if _HEADER.match(line):
                    messages += self._end()
                    self.started = True
                self._add(line)
        if len(self._rest) > MAX_FRAME:
            self._add(bytes(self._rest))
            self._rest.clear()
        return messages

    def flush(self) -> list[bytes]:
        """Return the message of which nothing but the beginning of the next one is missing."""
        return [] if self._rest else self._end()

    def _add(self, line: bytes) -> None:
        if not self.started:
            self.noise += len(line)
            return
        before, self._size = self._size, self._size + len(line)
        if self._size <= MAX_FRAME:
            self._message.append(line)
        elif before <= MAX_FRAME:
            self.oversized += 1
            self._message.clear()

    def _end(self) -> list[bytes]:
        messages = [b"".join(self._message)] if self._message else []
        self._message = []
        self._size = 0
        self.started = False
        return messages
