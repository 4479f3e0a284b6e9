"""One device's life on MQTT: readings go into its outbox at their moments, and from there to the broker.

Two halves that meet in the outbox: `produce` never waits for the network, `deliver` never waits for the patient.
A reading leaves the outbox when the broker has acknowledged it (PUBACK) and not before, so what a lost
connection interrupted is sent again, in order. MQTT 3.1.1: of MQTT 5 this needs nothing, and it costs less.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from math import inf

from aiomqtt import Client, MqttCodeError, MqttError, Will
from aiomqtt.exceptions import MqttConnectError

from devices.outbox import Outbox
from devices.source import Source
from devices.tally import Tally
from vitals.reading import Reading
from vitals.settings import Broker
from vitals.status import Status, encode_status
from vitals.topics import Topics
from vitals.wire import encode, encode_many

OnTaken = Callable[[str, Sequence[Reading]], None]
"""Called with the device and its readings that the broker has just acknowledged."""

# Seconds without a word after which the broker, at one and a half times, sends the will. A ward should know
# within half a minute that a monitor is gone; at a reading a second it costs not one packet.
KEEPALIVE_S = 15
ANSWER_S = 10.0  # seconds to wait for CONNACK and PUBACK before the connection counts as dead
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 8.0  # back-off doubles from the first to the last
STEADY_S = 5.0  # a connection that lasted so long was a good one: the next failure begins with FIRST_RETRY_S
LEAVE_S = 3.0  # seconds for emptying the outbox after a stop
GOODBYE_S = 2.0  # and for the broker to close the connection: nobody waits ten seconds for a goodbye

# aiomqtt and paho log each lost connection of each device; we tell it once for all of them.
_quiet = logging.getLogger("vitalflow.devices.mqtt")
_quiet.setLevel(logging.CRITICAL)


class Publisher:
    """The client of one `source`. `tally` is shared by the fleet; `failed` hears why a connection failed."""

    def __init__(
        self,
        source: Source,
        broker: Broker,
        topics: Topics,
        *,
        outbox: Outbox,
        tally: Tally,
        failed: Callable[[str], None],
        on_taken: OnTaken | None = None,
    ) -> None:
        self.source = source
        self.outbox = outbox
        self._broker = broker
        self._vitals = topics.vitals(source.ward, source.device)
        self._status = topics.status(source.ward, source.device)
        self._tally = tally
        self._failed = failed
        self._on_taken = on_taken
        self._changed = asyncio.Event()  # a reading waits, or there will be no more
        self._room = asyncio.Event()  # readings left the outbox
        self._no_more = False
        self._leaving = asyncio.Event()
        self._leave_by = inf

    async def produce(self, start: float) -> None:
        """Put each reading into the outbox at its moment, counted from `start` on the loop's clock."""
        now = asyncio.get_running_loop().time
        seq = 0
        try:
            for due, sample in self.source.samples:
                # By the schedule and not by the last reading, so that being late once is not being late for ever.
                await asyncio.sleep(max(0.0, start + due - now()))
                if sample is None:
                    continue
                while self.source.can_wait and self.outbox.is_full:
                    self._room.clear()
                    await self._room.wait()
                seq += 1
                self._tally.dropped += self.outbox.put(self.source.stamp(sample, seq, datetime.now(UTC)))
                self._tally.produced += 1
                self._changed.set()
        finally:
            self._no_more = True
            self._changed.set()

    def leave(self) -> None:
        """Deliver what can be delivered within LEAVE_S seconds, say goodbye and end."""
        self._leave_by = asyncio.get_running_loop().time() + LEAVE_S
        self._leaving.set()
        self._changed.set()

    async def deliver(self, delay_s: float = 0.0) -> None:
        """Stay connected and send until there is nothing more to send, from `delay_s` seconds on.

        1. Connect, with the will. A failure is reported and tried again after a back-off.
        2. Publish the birth, then batches, the oldest first, each until its PUBACK.
        3. Connection lost, or no PUBACK: back to 1; the batch under way is the first again.
        4. At the end publish the offline state by ourselves, because an orderly DISCONNECT discards the will.
        """
        retry_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        await self._pause(delay_s)
        while not (self._leaving.is_set() or (self._no_more and not self.outbox)):
            since: float | None = None
            try:
                async with self._connection() as client:
                    since = loop.time()
                    await self._converse(client)
                    return
            except MqttError as error:
                steady = since is not None and loop.time() - since > STEADY_S
                retry_s = FIRST_RETRY_S if steady else min(2 * retry_s, LAST_RETRY_S)
                # A broker lets the newest of two clients with one name stay, and tells the other one nothing.
                twin = since is not None and not steady
                hint = "; is another device connected under the same name?" if twin else ""
                self._failed(_reason(error) + hint)
            # Jitter: thousands of devices that lost the broker together must not come back together.
            await self._pause(retry_s * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless it is time to leave."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        will = encode_status(Status(state="offline", boot=self.source.boot))
        client = Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.username,
            password=self._broker.password,
            identifier=self.source.device,
            will=Will(self._status, will, qos=1, retain=True),
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            logger=_quiet,
        )
        try:
            await client.__aenter__()
        except MqttError:
            # aiomqtt leaves the socket open where the broker accepts it and then never answers; thousands of
            # devices would run out of files. With no time to wait, __aexit__ only closes.
            client.timeout = 0.0
            with suppress(MqttError):
                await client.__aexit__(None, None, None)
            raise
        self._tally.connected += 1
        try:
            yield client
        finally:
            self._tally.connected -= 1
            if self._leaving.is_set():
                client.timeout = GOODBYE_S
            await client.__aexit__(None, None, None)

    async def _converse(self, client: Client) -> None:
        """Talk until everything is said; raises MqttError as soon as the connection is lost.

        aiomqtt's publish does not notice a lost connection before its timeout, but its iterator of incoming
        messages does: so one task listens (to silence) while another one talks.
        """
        listening = asyncio.create_task(_listen(client))
        talking = asyncio.create_task(self._talk(client))
        try:
            done, _ = await asyncio.wait((listening, talking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            talking.cancel()
            await asyncio.gather(listening, talking, return_exceptions=True)
        for task in done:
            task.result()

    async def _talk(self, client: Client) -> None:
        source = self.source
        birth = Status(state="online", boot=source.boot, interval_s=source.interval_s, model=source.model)
        await _publish(client, self._status, encode_status(birth), retain=True)
        while True:
            self._changed.clear()
            if asyncio.get_running_loop().time() > self._leave_by:
                break
            batch = self.outbox.next_batch()
            if batch:
                payload = encode(batch[0]) if len(batch) == 1 else encode_many(batch)
                await _publish(client, self._vitals, payload)
                self.outbox.taken(batch)
                self._room.set()
                self._tally.published += len(batch)
                if self._on_taken is not None:
                    self._on_taken(source.device, batch)
            elif self._no_more or self._leaving.is_set():
                break
            else:
                await self._changed.wait()
        goodbye = Status(state="offline", boot=source.boot)
        await _publish(client, self._status, encode_status(goodbye), retain=True)


async def _publish(client: Client, topic: str, payload: bytes, retain: bool = False) -> None:
    """Publish with QoS 1 and wait for the PUBACK, ANSWER_S at most; raises MqttError without one."""
    try:
        # aiomqtt's own timeout makes a task for every message, which is a fifth of a large fleet's processor time.
        async with asyncio.timeout(ANSWER_S):
            await client.publish(topic, payload, qos=1, retain=retain, timeout=inf)
    except TimeoutError:
        raise MqttError("timed out") from None


async def _listen(client: Client) -> None:
    """Wait for the connection's end, which raises MqttError; nothing is subscribed yet, so nothing comes."""
    try:
        async for _ in client.messages:
            pass
    except MqttError:
        raise MqttError("the connection was lost") from None


def _reason(error: MqttError) -> str:
    """A failed connection in words for a person."""
    if isinstance(error, MqttConnectError):
        told = str(error.rc).lower()
        if "authori" in told or "password" in told:
            return f"it refuses the login ({told}); is VITALFLOW_MQTT_URL right?"
        return f"it refuses the connection ({told})"
    if isinstance(error, MqttCodeError):
        return "the connection was lost"
    # Operating system errors come as "[Errno 111] Connection refused".
    told = str(error).rpartition("] ")[2].lower()
    return "it does not answer" if told in ("timed out", "operation timed out") else told
