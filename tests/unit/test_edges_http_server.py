"""The HTTP server of the edges: what sends nothing keeps no place, and one peer cannot take all of them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from edges.listener import access, http_server
from edges.listener.access import Access
from edges.listener.http_server import serving
from mqtt.http_socket import listening
from vitals.errors import PermanentError

BOUND_S = 30
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"


async def answer_late(request: Request) -> PlainTextResponse:
    """Answer after longer than a connection may be idle."""
    body = await request.body()
    await asyncio.sleep(2 * http_server.IDLE_TIMEOUT_S)
    return PlainTextResponse(body)


def with_server(work: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        application = Starlette(routes=[Route("/", answer_late, methods=["POST"])])
        with listening("127.0.0.1", 0) as taken:
            async with asyncio.timeout(BOUND_S), serving(application, taken, Access()):
                await work(taken.getsockname()[1])

    asyncio.run(run())


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes before the connection ends, also if it is reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("sent", [b"", REQUEST[:20], REQUEST[:-10]])
def test_a_connection_without_a_complete_header_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http_server, "IDLE_TIMEOUT_S", 0.2)

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await read_to_end(reader) == b""
        writer.close()

    with_server(work)


def test_a_connection_is_kept_while_its_request_is_handled_and_closed_when_it_stays_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "IDLE_TIMEOUT_S", 0.2)

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(REQUEST)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\nab")
        writer.write(REQUEST[:1])  # ends the keep-alive time of uvicorn
        assert await read_to_end(reader) == b""
        writer.close()

    with_server(work)


def test_a_peer_has_a_limited_number_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOCAL", (ip_network("127.0.0.3"),))
    monkeypatch.setattr(access, "MAX_PER_PEER", 3)

    async def work(port: int) -> None:
        async def connect(peer: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))

        first = [await connect("127.0.0.1") for _ in range(3)]
        reader, writer = await connect("127.0.0.1")
        assert await read_to_end(reader) == b""
        writer.close()
        others = [await connect(peer) for peer in ("127.0.0.2", *["127.0.0.3"] * 4)]
        first[0][1].close()
        await first[0][1].wait_closed()
        monkeypatch.setattr(http_server, "IDLE_TIMEOUT_S", 0.0)
        for reader, writer in [*first[1:], *others]:
            writer.write(REQUEST)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()

    with_server(work)


def test_an_answer_in_two_writes_does_not_wait_for_an_acknowledgement() -> None:
    with listening("127.0.0.1", 0) as taken, socket.create_connection(taken.getsockname()), taken.accept()[0] as server:
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_an_address_that_is_taken_is_named() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PermanentError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listening("127.0.0.1", port).__enter__()
