"""The connection to Home Assistant's broker: discovery, states, and a last will that makes all of it unavailable."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiomqtt import Client, MqttError, ProtocolVersion, Will

from edges.home_assistant.beds import Beds, BedView
from edges.home_assistant.discovery import OFFLINE, ONLINE, REPEAT_S, Discovery, encode_state
from mqtt.async_client import TIMEOUT_S, publish, running, stay_connected, subscribe
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from vitals.backoff import Backoff
from vitals.log import WaitLog
from vitals.topics import DeviceAddress

log = logging.getLogger("edges")

RETRY_S = (0.25, 5.0)  # first and maximum pause between two attempts to connect
TICK_S = 0.5
CLOCK_STEP_S = 2.0  # a clock that was set by more than this makes the ages of values unknown


class Publisher:
    """Publishes what `beds` holds, from `run` until `stop`.

    is_current   returns whether `beds` is connected to VitalFlow's broker and complete
    problem      why nothing is published; empty: it is
    published    number of states that were published
    """

    def __init__(
        self, broker: BrokerEndpoint, client_id: str, discovery: Discovery, beds: Beds, is_current: Callable[[], bool]
    ) -> None:
        self.problem = "connecting"
        self.published = 0
        self._order = BrokerOrder(broker, Backoff(*RETRY_S, steady_s=RETRY_S[1]))
        self._client_id = client_id
        self._discovery = discovery
        self._beds = beds
        self._is_current = is_current
        self._stopping = asyncio.Event()
        self._received_own = asyncio.Event()
        self._wait_log = WaitLog(f"Home Assistant's broker at {broker}", log.warning)
        self._clock = time.time() - time.monotonic()
        self._retained: dict[str, bytes] = {}  # what the broker retains of this process, by topic
        self._known: set[DeviceAddress] = set()
        self._sent: dict[DeviceAddress, tuple[BedView, float]] = {}  # the last state, and when

    def stop(self) -> None:
        """Publish that nothing is current any more, and end `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Stay connected until `stop`."""
        will = Will(self._discovery.running, OFFLINE, qos=1, retain=True)
        await stay_connected(
            self._order,
            self._client_id,
            lambda: will,
            self._stopping,
            self._run_connection,
            self._on_failure,
            ProtocolVersion.V5,
        )

    def _on_failure(self, _error: MqttError, description: str) -> None:
        self.problem = f"Home Assistant's broker at {self._order.current}: {description}"
        self._wait_log.waiting(self._order.describe(description), time.monotonic())

    async def _run_connection(self, client: Client) -> None:
        self._retained.clear()
        self._known.clear()
        self._sent.clear()
        self._received_own.clear()
        granted = await subscribe(client, [(name, 1) for name in (*self._discovery.retained, self._discovery.running)])
        if not all(granted):
            raise MqttError("it refuses the subscription; the user needs the rights edges-home-assistant")
        async with running(self._listen(client)):
            await publish(client, self._discovery.running, OFFLINE, retain=True)
            try:
                # What is retained was sent before it.
                await asyncio.wait_for(self._received_own.wait(), TIMEOUT_S)
            except TimeoutError:
                raise MqttError("timed out") from None
            self._retained[self._discovery.running] = OFFLINE
            await client.unsubscribe([*self._discovery.retained, self._discovery.running])
            self.problem = ""
            self._wait_log.over()
            log.info("publishing for Home Assistant to the broker at %s", self._order.current)
            while not self._stopping.is_set():
                await self._update(client)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), TICK_S)
            await self._retain(client, self._discovery.running, OFFLINE)

    async def _listen(self, client: Client) -> None:
        try:
            async for message in client.messages:
                topic = str(message.topic)
                if topic == self._discovery.running:
                    if not message.retain:
                        self._received_own.set()
                elif not self._received_own.is_set() and message.payload and self._discovery.is_own(topic):
                    self._retained[topic] = bytes(message.payload)
        except MqttError:
            raise MqttError("the connection was lost") from None

    async def _update(self, client: Client) -> None:
        now, discovery = self._now(), self._discovery
        if not self._is_current():
            await self._retain(client, discovery.running, OFFLINE)
            return
        self._beds.tick(now)
        views, alerts_known = self._beds.views(now), self._beds.alerts_known(now)
        if not alerts_known:
            await self._retain(client, discovery.alerts_known, OFFLINE)
        for bed, view in views.items():  # first what is no more true
            if not view.measured:
                await self._retain(client, discovery.measured(bed), OFFLINE)
        await self._remove_beds(client, views.keys() | set(), now)
        for bed, view in views.items():
            await self._retain(client, discovery.config_topic(bed), discovery.config(bed))
            before, at = self._sent.get(bed, (None, 0.0))
            if view != before or time.monotonic() - at >= REPEAT_S:
                await client.publish(discovery.state(bed), encode_state(view), qos=0)
                self._sent[bed] = view, time.monotonic()
                self.published += 1
            if view.measured:
                await self._retain(client, discovery.measured(bed), ONLINE)
        if alerts_known:
            await self._retain(client, discovery.alerts_known, ONLINE)
        await self._retain(client, discovery.running, ONLINE)

    async def _remove_beds(self, client: Client, present: set[DeviceAddress], now: datetime) -> None:
        """Delete what is retained of beds that are gone; of those of an earlier run, when all beds are known."""
        gone = {topic for bed in self._known - present for topic in self._topics(bed)}
        if self._beds.is_complete(now):
            gone |= {topic for topic in self._retained if self._discovery.is_own(topic)}
        for topic in gone - {topic for bed in present for topic in self._topics(bed)}:
            await self._retain(client, topic, b"")
        self._known = present
        self._sent = {bed: sent for bed, sent in self._sent.items() if bed in present}

    def _topics(self, bed: DeviceAddress) -> tuple[str, str]:
        return self._discovery.config_topic(bed), self._discovery.measured(bed)

    async def _retain(self, client: Client, topic: str, payload: bytes) -> None:
        """Publish a retained message, unless the broker has it."""
        if self._retained.get(topic, b"") != payload:
            await publish(client, topic, payload, retain=True)
            self._retained[topic] = payload

    def _now(self) -> datetime:
        clock = time.time() - time.monotonic()
        if abs(clock - self._clock) > CLOCK_STEP_S:
            log.warning(
                "this machine's clock was set by %.0f s; each bed is unavailable until it sends", clock - self._clock
            )
            self._beds.forget_values()
        self._clock = clock
        return datetime.now(UTC)
