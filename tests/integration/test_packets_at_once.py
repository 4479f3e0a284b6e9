"""No packet waits for the acknowledgement of the one before it: 40 ms, by which a reading or an alert would be late."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mqtt.async_client import connect, new_client
from mqtt.endpoint import BrokerEndpoint, connect_client, paho_client
from stack.servers import BrokerServer
from tests.fixtures.secured import Secured
from tests.integration.test_session_publish import make_session, work_until
from tests.integration.test_websockets import by_websockets, client_id


def waits(sock: Any) -> bool:
    """Whether the connection of a client delays small packets (Nagle's algorithm)."""
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        return not same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.fixture(params=["mqtts", "wss"])
def endpoint(request: pytest.FixtureRequest, shared_secured: Secured) -> BrokerEndpoint:
    """The broker as bed-1, by each transport."""
    endpoints: dict[str, Callable[[], BrokerEndpoint]] = {
        "mqtts": lambda: shared_secured.broker("bed-1"),
        "wss": lambda: by_websockets(shared_secured, "bed-1"),
    }
    return endpoints[request.param]()


def test_a_device_sends_each_packet_at_once(endpoint: BrokerEndpoint) -> None:
    async def story() -> None:
        client = new_client(endpoint, client_id("bed-1"))
        await connect(client)
        try:
            assert not waits(client._client.socket())
        finally:
            await client.__aexit__(None, None, None)

    asyncio.run(story())


def test_a_program_with_a_connection_in_a_thread_sends_each_packet_at_once(endpoint: BrokerEndpoint) -> None:
    client = paho_client(endpoint, client_id=client_id("bed-1"))
    connect_client(client, endpoint)
    try:
        assert not waits(client.socket())
    finally:
        client.disconnect()


def test_a_service_sends_each_packet_at_once(broker: BrokerServer) -> None:
    session = make_session(BrokerEndpoint.parse(broker.url))
    work_until(session, lambda: session.is_confirmed)
    try:
        assert not waits(session)
    finally:
        session.disconnect()
