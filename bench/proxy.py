"""A TCP proxy between two programs whose connections can be cut and stalled, for `chaos` and `ha`.

Runs an asyncio loop in a thread of its own. It does not interpret the bytes.
"""

import asyncio
import threading
from contextlib import suppress

PIECE = 65_536  # bytes passed on at once


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to `target`, until `cut` or `stall`.

    port   0: one that is free
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.port = port
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._client_flows = asyncio.Event()
        self._ends = asyncio.Event()
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"proxy to {target}", daemon=True)

    def start(self) -> "Proxy":
        """Listen; returns once it does."""
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        """Close everything; returns once the thread has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ends.set)
            self._thread.join()

    def cut(self) -> None:
        """Reset every connection, and every new one, until `heal`."""
        self._loop.call_soon_threadsafe(self._cut)

    def stall(self) -> None:
        """Keep the connections and pass nothing on, until `heal`: the far end falls silent without a word."""
        self.stall_client()
        self._loop.call_soon_threadsafe(self._flows.clear)

    def stall_client(self) -> None:
        """Pass on nothing of what clients send, such as their acknowledgements, until `heal`."""
        self._loop.call_soon_threadsafe(self._client_flows.clear)

    def heal(self) -> None:
        """Pass everything on again, what waited first."""
        self._loop.call_soon_threadsafe(self._heal)

    def _cut(self) -> None:
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    def _heal(self) -> None:
        self._refuses = False
        self._flows.set()
        self._client_flows.set()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # Connections that end in the middle are what this proxy is for.
        self._loop.set_exception_handler(lambda loop, context: None)
        async with await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1000) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._heal()
            self._ready.set()
            await self._ends.wait()
            self._cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._writers |= ends
        try:
            if self._refuses:
                return
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(far)
            self._writers.add(far)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far, self._client_flows))
                pumps.create_task(self._pump(far_reader, writer, self._flows))
        except* OSError:
            pass  # the far end is not there, or either end has gone: the other finds its connection reset
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        """Pass on what comes; the end of one direction is that of both, as with a real connection that is gone."""
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                await flows.wait()
                writer.write(piece)
                await writer.drain()
            await asyncio.sleep(0.05)  # abort() discards unsent data: a DISCONNECT needs time to be sent
        raise ConnectionResetError
