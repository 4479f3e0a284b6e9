"""One MQTT connection without a session, for asyncio: connect with a will, publish, receive, describe errors.

`devices.publisher` and `station.listener` define what is sent on it. A device speaks MQTT 5: with 3.1.1 the broker
answers a publish that it does not permit as if it had accepted it. The station publishes where it always may, and
receives every reading, so it keeps 3.1.1, which costs less.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any

from aiomqtt import Client, MqttCodeError, MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.endpoint import BrokerEndpoint, send_at_once
from mqtt.failover import BrokerOrder
from mqtt.tls import client_cert_hint, describe_tls_error

# The broker publishes the will after 1.5 times this without a packet, so a ward learns within half a minute that a
# monitor is gone. A device that publishes once a second sends no PINGREQ at all.
KEEPALIVE_S = 15
TIMEOUT_S = 10.0  # for CONNACK and PUBACK; then the connection counts as lost
CONNECT_TIMEOUT_S = 5.0  # for CONNACK, if there is another broker to try
DISCONNECT_TIMEOUT_S = 2.0  # for the broker to close the connection after a DISCONNECT

# aiomqtt and paho log each lost connection of each device; the callers log it once for all of them.
_quiet = logging.getLogger("vitalflow.mqtt")
_quiet.setLevel(logging.CRITICAL)


CONNECT_THREADS = 256
"""Attempts to connect at one time; each waits up to 5 s for a host that is dead. With asyncio's few threads not
one of 300 devices was connected to the second broker after 120 s; with these all were after 10 s."""


def prepare_loop(loop: asyncio.AbstractEventLoop, broker: BrokerEndpoint) -> None:
    """Give the event loop threads for many attempts to connect, if there are several brokers."""
    if broker.others:
        loop.set_default_executor(ThreadPoolExecutor(CONNECT_THREADS, "connect"))


class PublishDenied(MqttError):
    """The broker does not permit a publish: its PUBACK has a failure reason code (MQTT 5 only)."""


class ReasonClient(Client):
    """A client that keeps the reason of the last PUBACK, which aiomqtt drops."""

    failure: str | None = None
    has_subscriber = True
    _writes_at_once = False

    def write_next_at_once(self) -> None:
        """Write the next packet to the socket when it is queued, instead of in the next cycle of the event loop.

        That saves two system calls and a cycle for each message. What the socket does not take is written later.
        """
        self._writes_at_once = True

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        send_at_once(sock)
        super()._on_socket_open(client, userdata, sock)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if self._writes_at_once:
            self._writes_at_once = False
            client.loop_write()
            if client.socket() is None or not client.want_write():
                return  # the connection was lost, which aiomqtt learns from paho, or all is written
        super()._on_socket_register_write(client, userdata, sock)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        self.failure = str(reason_code) if reason_code.is_failure else None
        self.has_subscriber = reason_code != "No matching subscribers"
        super()._on_publish(client, userdata, mid, reason_code, properties)


def new_client(broker: BrokerEndpoint, client_id: str, **options: Any) -> ReasonClient:
    """Return a client of a broker, not connected; `options`: of aiomqtt."""
    return ReasonClient(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=client_id,
        tls_context=broker.context(),
        transport=broker.transport,
        websocket_path=broker.websockets,
        logger=_quiet,
        **options,
    )


@asynccontextmanager
async def connection(
    order: BrokerOrder,
    client_id: str,
    will: Will,
    closing: asyncio.Event,
    version: ProtocolVersion = ProtocolVersion.V311,
) -> AsyncIterator[Client]:
    """Connect to the broker whose turn it is, for the duration of the block; raises MqttError. No session is kept.

    The caller reports the end to `order`, as `stay_connected` does.

    closing   once set, the DISCONNECT waits DISCONNECT_TIMEOUT_S instead of TIMEOUT_S, as after an error
    """
    broker = order.current
    client = new_client(
        broker,
        broker.client_id(client_id),
        will=will,
        protocol=version,
        clean_session=True if version < ProtocolVersion.V5 else None,  # with MQTT 5 that is the default
        keepalive=KEEPALIVE_S,
        timeout=CONNECT_TIMEOUT_S if order.broker.others else TIMEOUT_S,
    )
    await connect(client)
    client.timeout = TIMEOUT_S
    order.connected()
    is_lost = False
    try:
        yield client
    except MqttError:
        is_lost = True
        raise
    finally:
        if is_lost or closing.is_set():
            client.timeout = DISCONNECT_TIMEOUT_S
        await client.__aexit__(None, None, None)


async def stay_connected(
    order: BrokerOrder,
    client_id: str,
    will: Callable[[], Will],
    stopping: asyncio.Event,
    use: Callable[[Client], Awaitable[None]],
    failed: Callable[[MqttError, str], None],
    version: ProtocolVersion = ProtocolVersion.V311,
) -> None:
    """Connect, use the connection until it ends, and connect again, until `stopping`.

    will     returns the will of the next connection
    use      runs on each connection; MqttError ends it
    failed   receives the error that ended an attempt or a connection, and its description
    """
    while not stopping.is_set():
        since: float | None = None
        silent = False
        try:
            async with connection(order, client_id, will(), stopping, version=version) as client:
                since = time.monotonic()
                await use(client)
        except MqttError as error:
            silent = is_silent(error)
            failed(error, describe_error(error, order.current))
        with suppress(TimeoutError):
            now = time.monotonic()
            lasted_s = 0.0 if since is None else now - since
            await asyncio.wait_for(stopping.wait(), order.ended(now, lasted_s, silent=silent))


async def connect(client: Client) -> None:
    """Connect; raises MqttError and then leaves no socket open."""
    # A thread connects, which cannot be cancelled. If it were left alone, its socket would outlive the event loop.
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except (MqttError, asyncio.CancelledError):
        # aiomqtt leaves the socket open if the broker accepts it and never answers; thousands of devices would run
        # out of file descriptors. With a timeout of 0, __aenter__ waits for no CONNACK, and __aexit__ only closes the
        # socket.
        client.timeout = 0.0
        for step in (entering, client.__aexit__(None, None, None)):
            with suppress(MqttError):
                await step
        raise


async def subscribe(client: Client, filters: list[tuple[str, int]] | list[tuple[str, SubscribeOptions]]) -> list[bool]:
    """Subscribe, and return for each filter whether the broker grants it; raises MqttError."""
    return [reason_code(code) < 0x80 for code in await client.subscribe(filters)]


def reason_code(code: Any) -> int:
    """Return the number of a reason code, which aiomqtt gives as a number or as paho's object; -1 without one."""
    return code if isinstance(code, int) else -1 if code is None else int(code.value)


async def publish(client: Client, topic: str, payload: bytes, retain: bool = False) -> bool:
    """Publish with QoS 1 and wait up to TIMEOUT_S for the PUBACK; raises MqttError without one.

    Returns False if the broker states that the topic has no subscriber (MQTT 5 only). Raises PublishDenied if it does
    not permit the publish. Call it once at a time.
    """
    if isinstance(client, ReasonClient):
        client.write_next_at_once()
    try:
        # aiomqtt's own timeout creates a task per message: a fifth of the processor time of a large fleet.
        async with asyncio.timeout(TIMEOUT_S):
            await client.publish(topic, payload, qos=1, retain=retain, timeout=inf)
    except TimeoutError:
        raise MqttError("timed out") from None
    if not isinstance(client, ReasonClient):
        return True
    if client.failure is not None:
        raise PublishDenied(f"{topic}: {client.failure}")
    return client.has_subscriber


async def receive_payloads(client: Client, on_payload: Callable[[bytes], None]) -> None:
    """Pass each incoming payload to `on_payload` until the connection ends, which raises MqttError."""
    try:
        async for message in client.messages:
            on_payload(bytes(message.payload))
    except MqttError:
        raise MqttError("the connection was lost") from None


@asynccontextmanager
async def running(*background: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the block. Its end cancels them; the first error on either side ends both and is raised.

    aiomqtt's publish notices a lost connection only at its timeout, the iterator of incoming messages at once: run the
    receiver in the background and the sender as the block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in background]
            yield
            for task in tasks:
                task.cancel()
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        while isinstance(first, ExceptionGroup):  # of a group of tasks in the block
            first = first.exceptions[0]
    else:
        return
    raise first


TIMED_OUT = "timed out"  # also "operation timed out", and "_ssl.c:989: the handshake operation timed out"


def is_silent(error: MqttError) -> bool:
    """Return whether the broker did not answer in time, so that it may be frozen."""
    return _system_text(error).endswith(TIMED_OUT)


def _system_text(error: MqttError) -> str:
    # Operating system errors look like "[Errno 111] Connection refused".
    return str(error).rpartition("] ")[2].lower()


def describe_error(error: MqttError, broker: BrokerEndpoint) -> str:
    """Describe a failed connection in one clause, without host and port."""
    if isinstance(error.__context__, ssl.SSLError):
        # fetch=False: a second connection would block the event loop.
        return describe_tls_error(error.__context__, broker.host, broker.port, broker.ca, fetch=False)
    if isinstance(error, MqttConnectError):
        text = str(error.rc).lower()
        if "authori" in text or "password" in text:
            return f"it refuses the login ({text}); is VITALFLOW_MQTT_URL right?"
        return f"it refuses the connection ({text})"
    if isinstance(error, MqttCodeError):
        return "the connection was lost" + client_cert_hint(broker.certificate)
    text = _system_text(error)
    if text.endswith(TIMED_OUT):
        return "it does not answer" + client_cert_hint(broker.certificate)
    if text == "websocket handshake error":
        return "it speaks no MQTT over WebSockets on this port; mqtts:// is plain MQTT, wss:// and ws:// WebSockets"
    return text
