"""A receiver of HL7 over MLLP whose answers a test decides, in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from edges.hl7.acks import Outcome, acknowledge
from edges.hl7.er7 import Message, parse_message
from edges.hl7.frames import FrameReader, frame

Answer = Callable[[Message], Sequence[bytes]]
"""Returns the pieces to send, each in a packet of its own, with their frames."""


def accept(message: Message) -> Sequence[bytes]:
    """Accept a message."""
    return [frame(content) for content in acknowledge(message, Outcome.ACCEPT, None, datetime.now(UTC))]


class Hl7Receiver:
    """`received` has all messages in their order, with those that were sent again; `received_at` their times."""

    def __init__(self, answer: Answer = accept, clock: Callable[[], float] = time.monotonic) -> None:
        self.answer = answer
        self._clock = clock
        self.received: list[Message] = []
        self.received_at: list[float] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self) -> Self:
        """Listen, after `kill` on the same port."""
        self._call(self._start())
        return self

    def kill(self) -> None:
        """Reset all connections and listen no more, as if the process was killed."""
        self._call(self._kill())

    def close(self) -> None:
        """End the thread."""
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _kill(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        frames = FrameReader()
        try:
            while data := await reader.read(65_536):
                for content in frames.feed(data):
                    message = parse_message(content)
                    self.received.append(message)
                    self.received_at.append(self._clock())
                    for piece in self.answer(message):
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0.002)
        except OSError:
            pass
        finally:
            self._connections.discard(writer)
            writer.close()
