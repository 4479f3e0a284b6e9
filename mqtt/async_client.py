"""One MQTT connection without a session, for asyncio: opened with its will, closed tidily, its failures in words.

What is talked about on it is said by `devices.publisher`, for a device, and by `station.listener`. MQTT 3.1.1: of
MQTT 5 they need nothing, and it costs less.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf

from aiomqtt import Client, MqttCodeError, MqttError, Will
from aiomqtt.exceptions import MqttConnectError

from mqtt.endpoint import BrokerEndpoint
from mqtt.tls import client_cert_hint, describe_tls_error

# Seconds without a word after which the broker, at one and a half times, sends the will. A ward should know
# within half a minute that a monitor is gone; at a reading a second it costs not one packet.
KEEPALIVE_S = 15
TIMEOUT_S = 10.0  # seconds to wait for CONNACK and PUBACK before the connection counts as dead
DISCONNECT_TIMEOUT_S = 2.0  # and for the broker to close the connection: nobody waits ten seconds for a goodbye

# aiomqtt and paho log each lost connection of each device; we tell it once for all of them.
_quiet = logging.getLogger("vitalflow.mqtt")
_quiet.setLevel(logging.CRITICAL)


@asynccontextmanager
async def connection(
    broker: BrokerEndpoint, client_id: str, will: Will, closing: asyncio.Event, keepalive_s: int = KEEPALIVE_S
) -> AsyncIterator[Client]:
    """Connect as `client_id` for the time of the block; raises MqttError where that fails. No session is kept."""
    client = Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=broker.client_id(client_id),
        tls_context=broker.context(),
        will=will,
        clean_session=True,
        keepalive=keepalive_s,
        timeout=TIMEOUT_S,
        logger=_quiet,
    )
    await connect(client)
    try:
        yield client
    finally:
        if closing.is_set():
            client.timeout = DISCONNECT_TIMEOUT_S
        await client.__aexit__(None, None, None)


async def connect(client: Client) -> None:
    """Connect; raises MqttError, and then nothing is left open."""
    try:
        await client.__aenter__()
    except MqttError:
        # aiomqtt leaves the socket open where the broker accepts it and then never answers; thousands of
        # devices would run out of files. With no time to wait, __aexit__ only closes.
        client.timeout = 0.0
        with suppress(MqttError):
            await client.__aexit__(None, None, None)
        raise


async def publish(client: Client, topic: str, payload: bytes, retain: bool = False) -> None:
    """Publish with QoS 1 and wait for the PUBACK, ANSWER_S at most; raises MqttError without one."""
    try:
        # aiomqtt's own timeout makes a task for every message, which is a fifth of a large fleet's processor time.
        async with asyncio.timeout(TIMEOUT_S):
            await client.publish(topic, payload, qos=1, retain=retain, timeout=inf)
    except TimeoutError:
        raise MqttError("timed out") from None


async def receive_payloads(client: Client, on_payload: Callable[[bytes], None]) -> None:
    """Give each incoming payload to `hear` until the connection's end, which raises MqttError."""
    try:
        async for message in client.messages:
            on_payload(bytes(message.payload))
    except MqttError:
        raise MqttError("the connection was lost") from None


def describe_error(error: MqttError, broker: BrokerEndpoint) -> str:
    """A failed connection in words for a person."""
    if isinstance(error.__context__, ssl.SSLError):
        return describe_tls_error(
            error.__context__, broker.host, broker.port, broker.ca, look=False
        )  # it would hold up the loop
    if isinstance(error, MqttConnectError):
        text = str(error.rc).lower()
        if "authori" in text or "password" in text:
            return f"it refuses the login ({text}); is VITALFLOW_MQTT_URL right?"
        return f"it refuses the connection ({text})"
    if isinstance(error, MqttCodeError):
        return "the connection was lost" + client_cert_hint(broker.certificate)
    # Operating system errors come as "[Errno 111] Connection refused".
    text = str(error).rpartition("] ")[2].lower()
    if text in ("timed out", "operation timed out"):
        return "it does not answer" + client_cert_hint(broker.certificate)
    return text
