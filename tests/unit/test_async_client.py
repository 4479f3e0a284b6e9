"""`running`: the block and what runs beside it end together, with one error. `publish`: all of a message is written."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import closing

import pytest
from aiomqtt import Client, MqttError, ProtocolVersion, Will

from mqtt.async_client import connect, connection, describe_error, is_silent, publish, receive_payloads, running
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from vitals.backoff import Backoff


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    async def within_a_second() -> None:
        async with asyncio.timeout(1):
            await story()

    asyncio.run(within_a_second())


async def fail() -> None:
    await asyncio.sleep(0)
    raise MqttError("lost")


def test_the_end_of_the_block_cancels_what_runs_beside_it() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("background")

    async def story() -> None:
        async with running(forever(), forever()):
            await asyncio.sleep(0)
            ended.append("block")

    run(story)
    assert ended == ["block", "background", "background"]


def test_an_error_beside_the_block_ends_it_and_is_raised_as_itself() -> None:
    async def story() -> None:
        with pytest.raises(MqttError, match="lost"):
            async with running(fail()):
                await asyncio.Event().wait()
        await asyncio.sleep(0)  # the task is not left cancelled

    run(story)


def test_an_error_of_the_block_is_raised_as_itself() -> None:
    async def story() -> None:
        with pytest.raises(MqttError, match="lost"):
            async with running(asyncio.Event().wait()):  # type: ignore[arg-type]
                await fail()

    run(story)


def test_a_cancelled_block_stays_cancelled() -> None:
    async def work() -> None:
        async with running(asyncio.sleep(60)):
            await asyncio.Event().wait()

    async def story() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)


CONNACK = bytes([0x20, 3, 0, 0, 0])  # MQTT 5, success
SIZE = 20_000_000  # more than the buffers of a socket hold


async def publish_to(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> None:
    """Publish a large message to a broker that ends in `handle`, after the CONNACK."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(CONNACK)
        await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    broker = BrokerEndpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    ended = asyncio.Event()
    ended.set()
    try:
        will = Will("status", b"", qos=1)
        async with (
            connection(
                BrokerOrder(broker, Backoff(1.0, 1.0)), "bed-1", will, ended, version=ProtocolVersion.V5
            ) as client,
            running(receive_payloads(client, lambda _: None)),
        ):
            await publish(client, "vitals", bytes(SIZE))
    finally:
        server.close()


def test_a_cancelled_attempt_to_connect_leaves_no_socket_open() -> None:
    async def story(port: int) -> None:
        client = Client("127.0.0.1", port, timeout=10.0)
        attempt = asyncio.create_task(connect(client))
        await asyncio.sleep(0)  # a thread connects from here on
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        with closing(listener.accept()[0]) as accepted:
            accepted.settimeout(1.0)
            while accepted.recv(1024):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1.0)
        asyncio.run(story(listener.getsockname()[1]))


def test_a_message_that_the_socket_takes_in_parts_is_written_to_its_end() -> None:
    received = 0

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while received < SIZE:
            received += len(await reader.read(65_536))
        writer.write(bytes([0x40, 2, 0, 1]))  # PUBACK
        await writer.drain()
        await reader.read(1024)  # DISCONNECT

    async def story() -> None:
        async with asyncio.timeout(30):
            await publish_to(read_all)

    asyncio.run(story())
    assert received >= SIZE


def test_a_connection_that_is_lost_while_a_message_is_written_is_an_error_of_mqtt() -> None:
    async def read_some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.transport.abort()

    async def story() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(MqttError):
                await publish_to(read_some)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("timed out", True),
        ("Operation timed out", True),
        ("[Errno 110] Connection timed out", True),
        ("_ssl.c:989: The handshake operation timed out", True),
        ("[Errno 111] Connection refused", False),
    ],
)
def test_a_broker_that_does_not_answer_in_time_is_silent(text: str, silent: bool) -> None:
    assert is_silent(MqttError(text)) is silent
    described = describe_error(MqttError(text), BrokerEndpoint.parse("mqtts://b1"))
    assert described.startswith("it does not answer") is silent


def test_the_time_of_connecting_counts_as_no_connection() -> None:
    """A listener that accepts and says nothing: the broker of a frozen host. The next one is tried at once."""
    order = BrokerOrder(BrokerEndpoint.parse_list("mqtts://b1,mqtts://b2"), Backoff(1.0, 60.0))
    assert order.ended(100.0, 0.0, silent=is_silent(MqttError("_ssl.c:989: The handshake operation timed out"))) == 0
    assert order.current.host == "b2"
