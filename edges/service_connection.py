"""The connection of the edges' own user to the broker: the status of the service, and what the broker retains.

It has no session: what is retained is sent at each subscription, and complete when the first heartbeat has come back.
It speaks MQTT 5, so that a publish that the broker does not permit is an error and not lost.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiomqtt import Client, MqttError, ProtocolVersion, Will

from mqtt.async_client import PublishDenied, publish, running, stay_connected, subscribe
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from mqtt.instance import Instance
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, State, encode_service_status
from vitals.backoff import Backoff
from vitals.log import WaitLog
from vitals.topics import Topics

log = logging.getLogger("edges")

ANSWER_TIMEOUT_S = 5.0  # seconds without the echo of a heartbeat
RETRY_S = (0.25, 2.0)  # first and maximum pause between two attempts to connect

Publish = Callable[[str, bytes, bool], Awaitable[None]]
"""Publish a payload on a topic, retained or not, and return when the broker has acknowledged it; raises MqttError."""


class ServiceConnection:
    """Connects from `run` until `stop`, and publishes the status of the service.

    client_id      names the service, and is its user at the broker
    filters        what is subscribed to; `on_message` receives topic, payload and whether it was retained
    service        the rights of its user
    find_problem   returns why the service does not do its work; empty: it does
    denied         what the broker did not permit, until it permits the next publish
    """

    def __init__(
        self,
        broker: BrokerEndpoint,
        topics: Topics,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[str, bytes, bool], None],
        service: str = "edges",
    ) -> None:
        self.connected = False
        self.denied = ""
        self.find_problem: Callable[[], str] = str
        self.order = BrokerOrder(broker, Backoff(*RETRY_S, steady_s=RETRY_S[1]))
        self._service = topics.service(client_id)
        self._client_id = client_id
        self._filters = filters
        self._on_message = on_message
        self._boot = time.time_ns()
        self._problem = ""
        self._problem_since: datetime | None = None
        self._stopping = asyncio.Event()
        self._instance = Instance(broker, topics, service, client_id, "an edge", self._stopping.is_set, log)
        self._publishing = asyncio.Lock()  # the answer to one message must not be taken for that to another
        self._echo = asyncio.Event()
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning)

    def stop(self) -> None:
        """Publish the offline status and end `run`."""
        self._stopping.set()

    async def run(self, begin: Callable[[], None], work: Callable[[Publish], Awaitable[Any]]) -> None:
        """Stay connected until `stop`; raises PermanentError if another process has the same client id.

        After a kill the check waits some seconds for a heartbeat of the former process, so messages are received
        before it ends.

        begin   called before each subscription: what was retained before does not count
        work    runs once everything that is retained has arrived, until the connection ends; MqttError ends it
        """
        await asyncio.to_thread(self._instance.refuse_second)

        async def use(client: Client) -> None:
            try:
                await self._run_connection(client, begin, work)
            finally:
                self.connected = False

        await stay_connected(
            self.order,
            self._client_id,
            lambda: Will(self._service, self._status("offline"), qos=1, retain=True),
            self._stopping,
            use,
            self._on_failure,
            ProtocolVersion.V5,
        )

    def _on_failure(self, error: MqttError, description: str) -> None:
        if isinstance(error, PublishDenied):
            self.denied = f"the broker does not permit a publish: {error}"
        self._wait_log.waiting(self.order.describe(description), time.monotonic())

    async def _run_connection(
        self, client: Client, begin: Callable[[], None], work: Callable[[Publish], Awaitable[Any]]
    ) -> None:
        begin()
        self._echo.clear()
        granted = await subscribe(client, [(name, 1) for name in (*self._filters, self._service)])
        if not all(granted):
            raise MqttError("it refuses the subscription of the edges; see mosquitto's access list")

        async def send(topic: str, payload: bytes, retain: bool) -> None:
            async with self._publishing:
                await publish(client, topic, payload, retain)
            if topic != self._service:
                self.denied = ""

        async def work_when_complete() -> None:
            await self._echo.wait()
            self.connected = True
            self._wait_log.over()
            log.info("connected to the broker at %s", self.order.current)
            await work(send)

        try:
            async with running(self._listen(client), self._send_heartbeats(send), work_when_complete()):
                await self._stopping.wait()
        finally:
            if self._stopping.is_set():
                with suppress(MqttError):
                    await send(self._service, self._status("offline"), True)

    async def _listen(self, client: Client) -> None:
        try:
            async for message in client.messages:
                topic = str(message.topic)
                if topic != self._service:
                    self._on_message(topic, bytes(message.payload), bool(message.retain))
                elif not message.retain:
                    self._echo.set()
        except MqttError:
            raise MqttError("the connection was lost") from None

    async def _send_heartbeats(self, send: Publish) -> None:
        while True:
            sent = time.monotonic()
            await send(self._service, self._status("online"), True)
            try:
                await asyncio.wait_for(self._echo.wait(), ANSWER_TIMEOUT_S)
            except TimeoutError:
                raise MqttError("it does not answer") from None
            await asyncio.sleep(max(0.0, sent + HEARTBEAT_S - time.monotonic()))
            self._echo.clear()

    def _status(self, state: State) -> bytes:
        problem = self.find_problem()
        if problem != self._problem:
            self._problem, self._problem_since = problem, datetime.now(UTC) if problem else None
        return encode_service_status(
            ServiceStatus.here(
                state, self._boot, broker=self.order.current.address, problem=problem, problem_since=self._problem_since
            )
        )
