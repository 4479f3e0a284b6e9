"""The MLLP client: a message is sent until its own acknowledgement."""

import asyncio
from collections.abc import Sequence

import pytest

from edges.hl7 import client as module
from edges.hl7.acks import Error, Outcome, acknowledge
from edges.hl7.client import Acknowledgement, Client, Receiver, Result, parse_receiver
from edges.hl7.er7 import parse_message
from edges.hl7.frames import FrameReader, frame
from edges.hl7.listener import Peer, serve
from edges.listener.access import Access
from tests.support.factories import NOW
from vitals.errors import PermanentError, TransientError


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)


def message(number: int) -> bytes:
    return b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R01|%d|P|2.6\r" % number


def answer(content: bytes, outcome: Outcome, error: Error | None = None) -> Sequence[bytes]:
    return acknowledge(parse_message(content), outcome, error, NOW)


def test_each_message_gets_its_own_answer() -> None:
    async def handle(content: bytes, peer: Peer) -> Sequence[bytes]:
        return answer(content, Outcome.ACCEPT)

    async def story() -> None:
        async with (
            asyncio.timeout(30),
            serve("127.0.0.1", 0, handle, Access()) as listener,
            Client(Receiver("127.0.0.1", listener.port)) as client,
        ):
            for number in range(50):
                assert await client.send(message(number)) == Acknowledgement("AA", "")
            assert listener.counts.accepted == 1

    asyncio.run(story())


def test_an_answer_to_another_message_is_ignored() -> None:
    async def handle(content: bytes, peer: Peer) -> Sequence[bytes]:
        return [*answer(message(1), Outcome.REJECT), b"no HL7", *answer(content, Outcome.ACCEPT)]

    async def story() -> None:
        async with (
            asyncio.timeout(30),
            serve("127.0.0.1", 0, handle, Access()) as listener,
            Client(Receiver("127.0.0.1", listener.port)) as client,
        ):
            assert (await client.send(message(2))).result is Result.ACCEPT
            assert client.late == 1

    asyncio.run(story())


def test_no_answer_and_ae_are_tried_again_and_ar_is_final() -> None:
    seen: list[str] = []

    async def handle(content: bytes, peer: Peer) -> Sequence[bytes]:
        seen.append(parse_message(content).header.text(10))
        if len(seen) == 1:
            return []
        if len(seen) == 2:
            return answer(content, Outcome.ERROR, Error(207, "the disk is full"))
        return answer(content, Outcome.REJECT if seen[-1] == "2" else Outcome.ACCEPT, Error(200, "not read"))

    async def story() -> None:
        async with (
            asyncio.timeout(30),
            serve("127.0.0.1", 0, handle, Access()) as listener,
            Client(Receiver("127.0.0.1", listener.port), answer_timeout_s=0.2) as client,
        ):
            assert (await client.deliver(message(1))).code == "AA"
            assert await client.deliver(message(2)) == Acknowledgement("AR", "not read")
            assert seen[:3] == ["1"] * 3  # and more, if an answer took longer than the time-out
            assert seen[-1] == "2"

    asyncio.run(story())


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_an_answer_in_two_parts_and_between_line_ends_is_read(cut: int) -> None:
    async def serve_parts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        while data := await reader.read(65536):
            for content in frames.feed(data):
                reply = b"\n" + frame(answer(content, Outcome.ACCEPT)[0]) + b"\r\n"
                writer.write(reply[:cut])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(reply[cut:])
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(serve_parts, "127.0.0.1", 0)
        async with asyncio.timeout(30), server, Client(Receiver(*server.sockets[0].getsockname())) as client:
            assert (await client.send(message(1))).code == "AA"
            assert (await client.send(message(2))).code == "AA"

    asyncio.run(story())


def test_a_receiver_that_starts_later_gets_the_message() -> None:
    async def handle(content: bytes, peer: Peer) -> Sequence[bytes]:
        return answer(content, Outcome.ACCEPT)

    async def story() -> None:
        async with asyncio.timeout(30):
            async with serve("127.0.0.1", 0, handle, Access()) as listener:
                port = listener.port
            async with Client(Receiver("127.0.0.1", port)) as client:
                with pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached: .*refused"):
                    await client.send(message(1))
                delivery = asyncio.create_task(client.deliver(message(1)))
                await asyncio.sleep(0)
                async with serve("127.0.0.1", port, handle, Access()):
                    assert (await delivery).code == "AA"

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "host:²"])
def test_a_wrong_address_is_named(text: str) -> None:
    with pytest.raises(PermanentError, match="expected HOST:PORT"):
        parse_receiver(text)


def test_an_address_of_ipv6_has_brackets() -> None:
    receiver = parse_receiver("[::1]:2575")
    assert (receiver.host, receiver.port, str(receiver)) == ("::1", 2575, "[::1]:2575")
