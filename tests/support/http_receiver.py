"""A receiver of HTTP requests whose answers a test decides, in threads of its own."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Received:
    """A request; the names of `headers` are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def content(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    raw    sent instead of an answer, and the connection is closed; empty bytes: it is closed without an answer
    hold   wait for `HttpReceiver.release` before the answer
    """

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    hold: bool = False


Answer = Callable[[Received], Reply]


class HttpReceiver:
    """`received` has all complete requests in their order, `accepted` those that were answered with 2xx."""

    def __init__(self, answer: Answer = lambda _: Reply(), clock: Callable[[], float] = time.monotonic) -> None:
        self.answer = answer
        self.clock = clock
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        self.port = 0
        self.released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, after `kill` on the same port."""
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def kill(self) -> None:
        """Close all connections and listen no more, as if the process was killed."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
        self._server = None
        for connection in [*self._connections]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Answer what is held."""
        self.released.set()

    def close(self) -> None:
        """End the threads."""
        self.release()
        self.kill()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)

            def finish(self) -> None:
                receiver._connections.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def do_POST(self) -> None:
                size = int(self.headers.get("content-length", 0))
                body = self.rfile.read(size)
                if len(body) < size:  # the sender was killed
                    self.close_connection = True
                    return
                headers = {name.lower(): text for name, text in self.headers.items()}
                request = Received(self.path, headers, body, receiver.clock())
                receiver.received.append(request)
                reply = receiver.answer(request)
                if reply.hold:
                    receiver.released.wait(60)
                if reply.raw is not None:
                    self.wfile.write(reply.raw)
                    self.close_connection = True
                    return
                if 200 <= reply.status < 300:
                    receiver.accepted.append(request)
                self.send_response(reply.status)
                for name, text in reply.headers.items():
                    self.send_header(name, text)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Print nothing: a sender that is killed resets its connection."""
