"""Send HL7 messages over TCP in MLLP frames, each until its acknowledgement.

An answer belongs to the message whose control id (MSH-10) is its MSA-2, byte for byte; any other is late and ignored.
"""

import asyncio
import logging
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from edges.hl7.er7 import InvalidMessage, parse_header, parse_message
from edges.hl7.frames import FrameReader, frame
from edges.listener.access import parse_address
from mqtt.tls import describe_tls_error
from vitals.backoff import Backoff
from vitals.errors import TransientError
from vitals.log import WaitLog

log = logging.getLogger("edges.hl7")

ANSWER_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 10.0
_READ_BYTES = 65_536


class Result(StrEnum):
    """What an acknowledgement says: second letter of MSA-1 (HL7 table 0008)."""

    ACCEPT = "A"
    ERROR = "E"  # may be accepted later
    REJECT = "R"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An answer to a message.

    code   MSA-1, such as AA or CE
    text   what ERR-8 or MSA-3 says
    """

    code: str
    text: str

    @property
    def result(self) -> Result:
        """What the receiver did with the message."""
        return Result(self.code[1:])


@dataclass(frozen=True, slots=True)
class Receiver:
    """The address of a receiver of HL7.

    tls   None: the connection is plain
    ca    certificate of the CA of the receiver, for messages about errors
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    ca: Path | None = None

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_receiver(text: str, tls: ssl.SSLContext | None = None, ca: Path | None = None) -> Receiver:
    """Return the receiver at HOST:PORT; raises PermanentError that says what was expected."""
    return Receiver(*parse_address(text, "127.0.0.1:2575"), tls, ca)


class Client:
    """One connection to a receiver, made when it is needed. Not for several tasks at once."""

    def __init__(self, receiver: Receiver, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.receiver = receiver
        self.late = 0  # answers to other messages
        self._timeout_s = answer_timeout_s
        self._frames = FrameReader()
        self._answers: list[bytes] = []
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, message: bytes) -> Acknowledgement:
        """Send a message and return its first acknowledgement.

        Raises TransientError if there is none: the connection is closed, and whether the message arrived is unknown.
        """
        control_id = parse_header(message).header.raw(10)
        if self._streams is not None and self._streams[0].at_eof():  # closed by the receiver since the last message
            self._abort()
        reader, writer = self._streams or await self._connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(frame(message))
                await writer.drain()
                while True:
                    while self._answers:
                        answer = self._read(self._answers.pop(0), control_id)
                        if answer is not None:
                            return answer
                    data = await reader.read(_READ_BYTES)
                    if not data:
                        raise ConnectionError("the connection was closed before the answer")
                    self._answers += self._frames.feed(data)
        except TimeoutError:
            self._abort()
            raise TransientError(f"{self.receiver} did not answer within {self._timeout_s:g} s") from None
        except OSError as error:
            self._abort()
            raise TransientError(f"{self.receiver}: {self._describe(error)}") from None
        except BaseException:  # cancelled: the answer would come later
            self._abort()
            raise

    async def deliver(self, message: bytes) -> Acknowledgement:
        """Send a message until it is accepted or rejected, and return that acknowledgement.

        No answer, and an error that may pass (AE, CE), is tried again for ever; the waiting is logged.
        """
        backoff, wait = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S), WaitLog("an acknowledgement", log.warning)
        clock = asyncio.get_running_loop().time
        while True:
            try:
                answer = await self.send(message)
                if answer.result is not Result.ERROR:
                    if wait.over():
                        log.info("%s answers", self.receiver)
                    return answer
                reason = f"{self.receiver} answers {answer.code}: {answer.text or 'without a reason'}"
            except TransientError as error:
                reason = str(error)
            wait.waiting(reason, clock())
            await asyncio.sleep(backoff.next())

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            writer = self._streams[1]
            self._abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        to = self.receiver
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._streams = await asyncio.open_connection(to.host, to.port, ssl=to.tls)
        except TimeoutError:
            raise TransientError(f"{to} cannot be reached within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise TransientError(f"{to} cannot be reached: {self._describe(error)}") from None
        self._frames, self._answers = FrameReader(), []
        return self._streams

    def _describe(self, error: OSError) -> str:
        if isinstance(error, ssl.SSLError):
            return describe_tls_error(error, self.receiver.host, self.receiver.port, self.receiver.ca, fetch=False)
        if error.errno is not None and error.errno > 0:  # asyncio's own text names the address twice
            return os.strerror(error.errno)
        return error.strerror or str(error)

    def _abort(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def _read(self, content: bytes, control_id: str) -> Acknowledgement | None:
        """Return the acknowledgement in an answer; None if it is of another message, or none."""
        try:
            answer = parse_message(content)
        except InvalidMessage as error:
            log.warning("an answer of %s cannot be read: %s", self.receiver, error)
            return None
        msa = next((segment for segment in answer.segments if segment.name == "MSA"), None)
        code = "" if msa is None else msa.text(1)
        if msa is None or len(code) != 2 or code[0] not in "AC" or code[1] not in "AER":
            log.warning("an answer of %s has no MSA-1 of HL7 table 0008", self.receiver)
            return None
        if msa.raw(2) != control_id:
            self.late += 1
            return None
        errors = [segment.text(8) for segment in answer.segments if segment.name == "ERR"]
        return Acknowledgement(code, next(filter(None, errors), "") or msa.text(3))
