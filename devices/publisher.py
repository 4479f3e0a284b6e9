"""One device's life on MQTT: readings go into its outbox at their moments, and from there to the broker.

Three parts that meet in the outbox: `producer` never waits for the network, `deliver` never waits for the patient,
and receipts come when they come. A reading whose PUBACK is missing is sent again with the next connection, in
order; one whose receipt is missing is sent again when `outbox` says so, and only while nothing newer waits.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf

from aiomqtt import Client, MqttError, Will

from devices.outbox import Outbox
from devices.presence import Presence
from devices.producer import Producer
from devices.source import Source
from devices.tally import Tally
from mqtt.async_client import connection, describe_error, publish, receive_payloads
from mqtt.endpoint import BrokerEndpoint
from vitals.backoff import Backoff
from vitals.codec import encode, encode_many
from vitals.reading import Reading
from vitals.receipt import RECEIPT_INTERVAL_S, decode_receipt
from vitals.topics import Topics

OnTaken = Callable[[str, Sequence[Reading]], None]
"""Called with the device and its readings that the broker has just acknowledged for the first time."""

RETRY_S = (0.5, 8.0)  # first and longest pause between two attempts to connect
STEADY_S = 5.0  # a connection that lasted at least this long resets the back-off
LEAVE_S = 3.0  # seconds for emptying the outbox after a stop
RECEIPTS_S = 6.0  # seconds for the last receipts after a stop: one interval of receipts and a commit
LAST_RECEIPTS_S = 30.0  # and after the last reading of a source that ends by itself: time to send once more
RESEND_EVERY_S = RECEIPT_INTERVAL_S  # between two arrays sent again: see what the last one did before the next


class Publisher:
    """The client of one `source`. `tally` is shared by the fleet.

    failed    hears why a connection failed
    puzzled   hears what is wrong with a receipt
    """

    def __init__(
        self,
        source: Source,
        broker: BrokerEndpoint,
        topics: Topics,
        *,
        outbox: Outbox,
        tally: Tally,
        failed: Callable[[str], None],
        puzzled: Callable[[str], None],
        on_taken: OnTaken | None = None,
    ) -> None:
        self.source = source
        self.outbox = outbox
        self._broker = broker
        self._vitals = topics.vitals(source.ward, source.device)
        self._status = topics.status(source.ward, source.device)
        self._receipts = topics.receipts(source.ward, source.device)
        self._tally = tally
        self._failed = failed
        self._puzzled = puzzled
        self._on_taken = on_taken
        self._changed = asyncio.Event()  # a reading waits, or there will be no more, or a receipt came
        self._producer = Producer(source, outbox, tally, self._changed)
        self._presence = Presence(source, outbox)
        self._leaving = asyncio.Event()
        self._leave_by = inf
        self._receipts_by: float | None = None
        self._resend_from = -inf

    async def produce(self, start: float) -> None:
        """Put each reading into the outbox at its moment, counted from `start` on the loop's clock."""
        await self._producer.run(start)

    @property
    def patience_s(self) -> float:
        """How long it may take to leave."""
        return RECEIPTS_S if self.outbox.receipts and not self.outbox.is_safe else LEAVE_S

    def leave(self) -> None:
        """Deliver what can be delivered within LEAVE_S seconds, hear the last receipts, say goodbye and end."""
        now = asyncio.get_running_loop().time()
        self._leave_by, self._receipts_by = now + LEAVE_S, now + RECEIPTS_S
        self._leaving.set()
        self._changed.set()

    async def deliver(self, delay_s: float = 0.0) -> None:
        """Stay connected and send until there is nothing more to send, from `delay_s` seconds on.

        1. Connect, with the will. A failure is reported and tried again after a back-off.
        2. Subscribe to the receipts, publish the birth, then batches, the oldest first, each until its PUBACK.
        3. Connection lost, or no PUBACK: back to 1; the batch under way is the first again.
        4. At the end publish the offline state by ourselves, because an orderly DISCONNECT discards the will.
        """
        backoff = Backoff(*RETRY_S, STEADY_S)
        loop = asyncio.get_running_loop()
        await self._pause(delay_s)
        while not (self._leaving.is_set() or self._is_done(loop.time())):
            since: float | None = None
            will = Will(self._status, self._presence.offline(), qos=1, retain=True)
            try:
                async with connection(self._broker, self.source.device, will, self._leaving) as client:
                    since = loop.time()
                    await self._converse(client)
                    return
            except MqttError as error:
                lasted_s = 0.0 if since is None else loop.time() - since
                # A broker keeps the newest of two clients with one client id and disconnects the other without a reason.
                twin = since is not None and lasted_s < STEADY_S
                hint = "; is another device connected under the same name?" if twin else ""
                self._failed(describe_error(error, self._broker) + hint)
            # Jitter: thousands of devices that lost the broker together must not come back together.
            await self._pause(backoff.next(lasted_s) * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless it is time to leave."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)

    async def _converse(self, client: Client) -> None:
        """Talk until everything is said; raises MqttError as soon as the connection is lost.

        aiomqtt's publish does not notice a lost connection before its timeout, but its iterator of incoming
        messages does: so one task listens while another one talks.
        """
        self._tally.connected += 1
        listening = asyncio.create_task(receive_payloads(client, self._hear))
        talking = asyncio.create_task(self._talk(client))
        try:
            done, _ = await asyncio.wait((listening, talking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._tally.connected -= 1
            listening.cancel()
            talking.cancel()
            await asyncio.gather(listening, talking, return_exceptions=True)
        for task in done:
            task.result()

    async def _talk(self, client: Client) -> None:
        now = asyncio.get_running_loop().time
        # A broker that forbids it refuses, and then this is a plain device.
        await client.subscribe(self._receipts, qos=1)
        await publish(client, self._status, self._presence.online(now()), retain=True)
        while True:
            self._changed.clear()
            if self.outbox.waiting and now() > self._leave_by:
                break
            batch = self.outbox.next_batch()
            if batch:
                await self._send(client, batch)
                if self._on_taken is not None:
                    self._on_taken(self.source.device, batch)
            elif self._is_done(now()):
                break
            elif now() >= self._resend_from and (batch := self.outbox.next_resend(now())):
                self._resend_from = now() + RESEND_EVERY_S
                await self._send(client, batch)
                self._tally.resent += len(batch)
            elif now() >= self._presence.due_at():
                await publish(client, self._status, self._presence.online(now()), retain=True)
            else:
                await self._something()
        await publish(client, self._status, self._presence.offline(), retain=True)

    async def _send(self, client: Client, batch: list[Reading]) -> None:
        await publish(client, self._vitals, encode(batch[0]) if len(batch) == 1 else encode_many(batch))
        self._tally.published += self.outbox.taken(batch, asyncio.get_running_loop().time())
        self._producer.room.set()

    async def _something(self) -> None:
        """Wait for a change, or for the next moment at which there is something to do without one."""
        until = min(max(self._resend_from, self.outbox.resend_at()), self._presence.due_at())
        if self._receipts_by is not None:
            until = min(until, self._receipts_by)
        if until == inf:
            await self._changed.wait()
            return
        timer = asyncio.get_running_loop().call_at(until, self._changed.set)
        await self._changed.wait()
        timer.cancel()

    @property
    def _wants_receipts(self) -> bool:
        """Whether a receipt may still come, and nobody waits for us who need not: what is in a file is safe."""
        hurried = self._leaving.is_set() and self.outbox.is_safe
        return self.outbox.receipts and self.outbox.unconfirmed > 0 and not hurried

    def _is_done(self, now: float) -> bool:
        """Whether everything is said: nothing waits, nothing will come, and no receipt is worth waiting for."""
        if self.outbox.waiting or not (self._producer.is_over or self._leaving.is_set()):
            return False
        if self._receipts_by is None:
            self._receipts_by = now + LAST_RECEIPTS_S
        return not self._wants_receipts or now >= self._receipts_by

    def _hear(self, payload: bytes) -> None:
        """Take a receipt; one that makes no sense changes nothing."""
        try:
            done = self.outbox.confirm(decode_receipt(payload))
        except ValueError as error:
            self._puzzled(f"{self.source.device}: {error}")
            return
        self._tally.published += done.waiting
        self._tally.confirmed += done.stored + done.rejected
        self._tally.rejected += done.rejected
        self._producer.room.set()
        self._changed.set()
