"""The MLLP listener on a real socket: answers in order, limits, and no message that is neither answered nor counted."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Any, ClassVar

import pytest

from edges.hl7 import listener as module
from edges.hl7.acks import Outcome, acknowledge
from edges.hl7.er7 import parse_message
from edges.hl7.frames import FrameReader, frame
from edges.hl7.listener import Listener, Peer, serve
from edges.listener import access
from edges.listener.access import MAX_PER_PEER, Access, parse_networks, parse_peer
from tests.support.factories import NOW
from vitals.errors import PermanentError

LOCAL = Access()
BOUND_S = 90


def message(number: int) -> bytes:
    return b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R01|%d|P|2.6\rOBX|1|NM|1||2\r" % number


async def accept(content: bytes, peer: Peer) -> Sequence[bytes]:
    """Acknowledge a message."""
    return acknowledge(parse_message(content), Outcome.ACCEPT, None, NOW)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            try:
                await story()
            finally:
                await Sender.close_all()

    asyncio.run(bounded())


class Sender:
    """A client that sends bytes and reads answers."""

    opened: ClassVar[list["Sender"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._answers: list[bytes] = []

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> "Sender":
        sender = cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0)))
        cls.opened.append(sender)
        return sender

    @classmethod
    async def close_all(cls) -> None:
        """Close the connections of a test, within its event loop."""
        while cls.opened:
            writer = cls.opened.pop().writer
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self) -> tuple[str, str]:
        """The next answer: its MSA-1 and MSA-2."""
        while not self._answers:
            data = await self.reader.read(65536)
            assert data, "the connection ended before the answer"
            self._answers += self._frames.feed(data)
        msa = parse_message(self._answers.pop(0)).segments[1]
        return msa.text(1), msa.text(2)

    async def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def test_answers_have_the_order_of_the_messages_even_if_their_handling_ends_in_another() -> None:
    async def later_first(content: bytes, peer: Peer) -> Sequence[bytes]:
        number = int(parse_message(content).header.text(10))
        await asyncio.sleep(0.02 if number % 7 == 0 else 0)
        return await accept(content, peer)

    async def story() -> None:
        async with serve("127.0.0.1", 0, later_first, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(b"\r\n\0".join(frame(message(number)) for number in range(200)))
            assert [await sender.answer() for _ in range(200)] == [("AA", f"{number}") for number in range(200)]
            assert (listener.counts.messages, listener.counts.answers) == (200, 200)
            assert listener.counts.noise == 3 * 199

    run(story)


def test_a_frame_that_comes_byte_by_byte_is_answered() -> None:
    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            for byte in frame(message(1)) + frame(message(2)):
                await sender.send(bytes([byte]))
                await asyncio.sleep(0)
            assert [await sender.answer(), await sender.answer()] == [("AA", "1"), ("AA", "2")]

    run(story)


def test_a_sender_faster_than_the_handling_is_not_read() -> None:
    release = asyncio.Event()
    now = most = 0

    async def slow(content: bytes, peer: Peer) -> Sequence[bytes]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await release.wait()
        now -= 1
        return await accept(content, peer)

    async def story() -> None:
        async with serve("127.0.0.1", 0, slow, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            many, long = 20_000, b"NTE|1||%s\r" % (b"x" * 1000)
            content = b"".join(frame(message(number) + long) for number in range(many))
            sending = asyncio.create_task(sender.send(content))
            connection = await first(listener)
            await until(lambda: now == module.MAX_IN_FLIGHT and not connection._transport.is_reading())
            assert sum(map(len, connection._waiting)) < 2**20  # the rest stays with the sender
            assert not sending.done()
            release.set()
            assert [await sender.answer() for _ in range(many)] == [("AA", f"{number}") for number in range(many)]
            assert most == module.MAX_IN_FLIGHT
            await sending

    run(story)


def test_messages_of_a_sender_that_reads_no_answers_are_not_handled_without_end() -> None:
    handled = 0

    async def talkative(content: bytes, peer: Peer) -> Sequence[bytes]:
        nonlocal handled
        handled += 1
        return [b"x" * 100_000]

    async def story() -> None:
        async with serve("127.0.0.1", 0, talkative, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            sender.writer.transport.pause_reading()  # type: ignore[attr-defined]
            sender.writer.write(b"".join(map(frame, map(message, range(20_000)))))
            (connection,) = [await first(listener)]
            await until(lambda: connection._write_paused and not connection._in_flight)
            assert handled < 1000
            sender.writer.transport.abort()
            await until(lambda: not listener.open)

    run(story)


async def first(listener: Listener) -> Any:
    """The first connection of a listener."""
    await until(lambda: listener.open)
    return next(iter(listener._connections))


def test_an_error_of_the_handling_is_ae_for_its_message_and_no_end_of_the_connection() -> None:
    async def fails_once(content: bytes, peer: Peer) -> Sequence[bytes]:
        if b"|2|P|" in content:
            raise RuntimeError("disk")
        return await accept(content, peer)

    async def story() -> None:
        async with serve("127.0.0.1", 0, fails_once, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(b"".join(frame(message(number)) for number in (1, 2, 3)))
            assert [await sender.answer() for _ in range(3)] == [("AA", "1"), ("AE", "2"), ("AA", "3")]
            assert listener.counts.failed == 1

    run(story)


@pytest.mark.parametrize(
    "content", [b"", b"GET / HTTP/1.1\r\n\r\n", b"MSH", b"\xff" * 100, b"PID|1\r", b"MSH|||||\r"], ids=ascii
)
def test_a_frame_without_a_readable_header_is_counted_and_its_connection_stays(content: bytes) -> None:
    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(frame(content) + frame(message(1)))
            assert await sender.answer() == ("AA", "1")
            counts = listener.counts
            assert (counts.messages, counts.answers, counts.invalid, counts.unanswered) == (2, 1, 1, 1)

    run(story)


def test_an_unreadable_message_with_a_header_is_rejected() -> None:
    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(frame(message(5) + message(6)) + frame(message(7)))
            assert [await sender.answer(), await sender.answer()] == [("AR", "5"), ("AA", "7")]

    run(story)


def test_a_peer_has_a_limited_number_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOCAL", (ip_network("127.0.0.3"),))

    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            senders = [await Sender.connect(listener.port) for _ in range(MAX_PER_PEER)]
            await until(lambda: listener.open == MAX_PER_PEER)
            assert await (await Sender.connect(listener.port)).is_closed()
            other = await Sender.connect(listener.port, "127.0.0.2")
            await other.send(frame(message(1)))
            assert await other.answer() == ("AA", "1")
            local = [await Sender.connect(listener.port, "127.0.0.3") for _ in range(MAX_PER_PEER + 1)]
            await local[-1].send(frame(message(3)))
            assert await local[-1].answer() == ("AA", "3")
            assert listener.counts.rejected == {"peer_connections": 1}
            for sender in local:
                sender.writer.close()
            await until(lambda: listener.open == MAX_PER_PEER + 1)
            senders[0].writer.close()
            await until(lambda: listener.open == MAX_PER_PEER)
            again = await Sender.connect(listener.port)
            await again.send(frame(message(2)))
            assert await again.answer() == ("AA", "2")

    run(story)


def test_only_peers_in_the_networks_may_send() -> None:
    async def story() -> None:
        access = Access(networks=parse_networks("127.0.0.2, 10.0.3.0/24"))
        async with serve("0.0.0.0", 0, accept, access) as listener:
            assert await (await Sender.connect(listener.port)).is_closed()
            sender = await Sender.connect(listener.port, "127.0.0.2")
            await sender.send(frame(message(1)))
            assert await sender.answer() == ("AA", "1")
            assert listener.counts.rejected == {"peer": 1}

    run(story)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "monitors.example"])
def test_an_address_that_others_reach_needs_certificates_or_networks(host: str) -> None:
    with pytest.raises(PermanentError, match=r"--peers 10\.0\.3\.0/24"):
        LOCAL.require_safe(host)
    Access(networks=(ip_network("10.0.3.0/24"),)).require_safe(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_an_address_of_this_machine_needs_neither(host: str) -> None:
    LOCAL.require_safe(host)


def test_an_ipv4_peer_of_an_ipv6_socket_is_in_the_networks_of_ipv4() -> None:
    access = Access(networks=parse_networks("10.0.3.0/24"))
    assert access.allows(parse_peer("::ffff:10.0.3.9"))
    assert not access.allows(parse_peer("::ffff:10.0.4.9"))
    assert not access.allows(parse_peer("fe80::1%eth0"))


def test_a_frame_without_an_end_ends_its_connection_and_an_idle_connection_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FRAME_TIMEOUT_S", 0.2)

    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            idle, slow = await Sender.connect(listener.port), await Sender.connect(listener.port)
            await slow.send(frame(message(1)) + b"\x0bMSH|")
            assert await slow.answer() == ("AA", "1")
            assert await slow.is_closed()
            await until(lambda: listener.open == 1)
            assert (listener.counts.timed_out, listener.counts.incomplete) == (1, 1)
            await idle.send(frame(message(2)))
            assert await idle.answer() == ("AA", "2")

    run(story)


def test_the_answers_in_flight_are_sent_before_the_listener_ends() -> None:
    release = asyncio.Event()
    begun = 0

    async def slow(content: bytes, peer: Peer) -> Sequence[bytes]:
        nonlocal begun
        begun += 1
        await release.wait()
        return await accept(content, peer)

    async def story() -> None:
        listener = Listener(slow, LOCAL)
        await listener.start("127.0.0.1", 0)
        idle, sender = await Sender.connect(listener.port), await Sender.connect(listener.port)
        await sender.send(frame(message(1)) + frame(message(2)))
        await until(lambda: begun == 2)
        closing = asyncio.create_task(listener.close())
        assert await idle.is_closed()
        release.set()
        await closing
        assert [await sender.answer(), await sender.answer()] == [("AA", "1"), ("AA", "2")]
        assert await sender.is_closed()
        assert listener.open == 0

    run(story)


def test_a_restarted_listener_takes_its_port_at_once() -> None:
    async def story() -> None:
        port = 0
        for number in range(3):
            async with serve("127.0.0.1", port, accept, LOCAL) as listener:
                port = listener.port
                sender = await Sender.connect(port)
                await sender.send(frame(message(number)))
                assert await sender.answer() == ("AA", f"{number}")

    run(story)


def test_a_port_in_use_is_named() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PermanentError, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
                async with serve("127.0.0.1", port, accept, LOCAL):
                    pass

    run(story)


def test_a_sender_that_ends_its_side_gets_its_answers() -> None:
    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            sender.writer.write(b"".join(map(frame, map(message, range(100)))))
            sender.writer.write_eof()
            assert [await sender.answer() for _ in range(100)] == [("AA", f"{number}") for number in range(100)]
            assert await sender.is_closed()

    run(story)


def test_messages_of_a_connection_that_ends_are_handled() -> None:
    release = asyncio.Event()

    async def slow(content: bytes, peer: Peer) -> Sequence[bytes]:
        await release.wait()
        return await accept(content, peer)

    async def story() -> None:
        async with serve("127.0.0.1", 0, slow, LOCAL) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(b"".join(map(frame, map(message, range(100)))) + b"\x0bMSH|")
            connection = await first(listener)
            await until(lambda: connection._in_flight and connection._waiting)
            sender.writer.transport.abort()
            release.set()
            await until(lambda: not listener.open)
            assert (listener.counts.messages, listener.counts.incomplete) == (100, 1)

    run(story)


def test_unframed_messages_are_answered_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.1)

    async def story() -> None:
        async with serve("127.0.0.1", 0, accept, LOCAL, unframed=True) as listener:
            sender = await Sender.connect(listener.port)
            await sender.send(message(1) + message(2))
            assert [await sender.answer(), await sender.answer()] == [("AA", "1"), ("AA", "2")]
            await sender.send(message(3))
            assert await sender.answer() == ("AA", "3")
            await sender.send(message(4))
            sender.writer.write_eof()
            assert await sender.answer() == ("AA", "4")

    run(story)
