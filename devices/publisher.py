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

from devices.fleet_stats import FleetStats
from devices.outbox.queue import Outbox
from devices.producer import Producer
from devices.source import Source
from devices.status_messages import StatusMessages
from mqtt.async_client import connection, describe_error, publish, receive_payloads, running
from mqtt.endpoint import BrokerEndpoint
from vitals.backoff import Backoff
from vitals.codec import encode, encode_many
from vitals.reading import Reading
from vitals.receipt import RECEIPT_INTERVAL_S, decode_receipt
from vitals.topics import Topics

OnPuback = Callable[[str, Sequence[Reading]], None]
"""Called with the device and its readings that the broker has just acknowledged for the first time."""

RETRY_S = (0.5, 8.0)  # first and longest pause between two attempts to connect
STEADY_S = 5.0  # a connection that lasted at least this long resets the back-off
SHUTDOWN_TIMEOUT_S = 3.0  # seconds for emptying the outbox after a stop
SHUTDOWN_RECEIPT_TIMEOUT_S = 6.0  # seconds for the last receipts after a stop: one interval of receipts and a commit
FINAL_RECEIPT_TIMEOUT_S = 30.0  # and after the last reading of a source that ends by itself: time to send once more
RESEND_INTERVAL_S = RECEIPT_INTERVAL_S  # between two arrays sent again: see what the last one did before the next


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
        stats: FleetStats,
        on_failure: Callable[[str], None],
        on_bad_receipt: Callable[[str], None],
        on_puback: OnPuback | None = None,
    ) -> None:
        self.source = source
        self.outbox = outbox
        self._broker = broker
        self._vitals = topics.vitals(source.ward, source.device)
        self._status = topics.status(source.ward, source.device)
        self._receipts = topics.receipts(source.ward, source.device)
        self._stats = stats
        self._on_failure = on_failure
        self._on_bad_receipt = on_bad_receipt
        self._on_puback = on_puback
        self._changed = asyncio.Event()  # a reading waits, or there will be no more, or a receipt came
        self._producer = Producer(source, outbox, stats, self._changed)
        self._status_messages = StatusMessages(source, outbox)
        self._stopping = asyncio.Event()
        self._send_deadline = inf
        self._receipt_deadline: float | None = None
        self._next_resend = -inf

    async def produce(self, start: float) -> None:
        """Put each reading into the outbox at its moment, counted from `start` on the loop's clock."""
        await self._producer.run(start)

    @property
    def shutdown_timeout_s(self) -> float:
        """How long it may take to leave."""
        return (
            SHUTDOWN_RECEIPT_TIMEOUT_S if self.outbox.receipts and not self.outbox.is_persistent else SHUTDOWN_TIMEOUT_S
        )

    def request_shutdown(self) -> None:
        """Deliver what can be delivered within LEAVE_S seconds, hear the last receipts, say goodbye and end."""
        now = asyncio.get_running_loop().time()
        self._send_deadline, self._receipt_deadline = now + SHUTDOWN_TIMEOUT_S, now + SHUTDOWN_RECEIPT_TIMEOUT_S
        self._stopping.set()
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
        while not (self._stopping.is_set() or self._is_done(loop.time())):
            since: float | None = None
            will = Will(self._status, self._status_messages.offline(), qos=1, retain=True)
            try:
                async with connection(self._broker, self.source.device, will, self._stopping) as client:
                    since = loop.time()
                    await self._run_connection(client)
                    return
            except MqttError as error:
                lasted_s = 0.0 if since is None else loop.time() - since
                # A broker keeps the newest of two clients with one client id and disconnects the other without a reason.
                twin = since is not None and lasted_s < STEADY_S
                hint = "; is another device connected under the same name?" if twin else ""
                self._on_failure(describe_error(error, self._broker) + hint)
            # Jitter: thousands of devices that lost the broker together must not come back together.
            await self._pause(backoff.next(lasted_s) * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless it is time to leave."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _run_connection(self, client: Client) -> None:
        """Send until there is nothing left to send; raises MqttError as soon as the connection is lost."""
        self._stats.connected += 1
        try:
            async with running(receive_payloads(client, self._on_receipt)):
                await self._send_loop(client)
        finally:
            self._stats.connected -= 1

    async def _send_loop(self, client: Client) -> None:
        now = asyncio.get_running_loop().time
        # A broker that forbids it refuses, and then this is a plain device.
        await client.subscribe(self._receipts, qos=1)
        await publish(client, self._status, self._status_messages.online(now()), retain=True)
        while True:
            self._changed.clear()
            if self.outbox.waiting and now() > self._send_deadline:
                break
            batch = self.outbox.next_batch()
            if batch:
                await self._send(client, batch)
                if self._on_puback is not None:
                    self._on_puback(self.source.device, batch)
            elif self._is_done(now()):
                break
            elif now() >= self._next_resend and (batch := self.outbox.next_resend(now())):
                self._next_resend = now() + RESEND_INTERVAL_S
                await self._send(client, batch)
                self._stats.resent += len(batch)
            elif now() >= self._status_messages.due_at():
                await publish(client, self._status, self._status_messages.online(now()), retain=True)
            else:
                await self._wait_for_work()
        await publish(client, self._status, self._status_messages.offline(), retain=True)

    async def _send(self, client: Client, batch: list[Reading]) -> None:
        await publish(client, self._vitals, encode(batch[0]) if len(batch) == 1 else encode_many(batch))
        self._stats.published += self.outbox.on_puback(batch, asyncio.get_running_loop().time())
        self._producer.room.set()

    async def _wait_for_work(self) -> None:
        """Wait for a change, or for the next moment at which there is something to do without one."""
        until = min(max(self._next_resend, self.outbox.resend_at()), self._status_messages.due_at())
        if self._receipt_deadline is not None:
            until = min(until, self._receipt_deadline)
        if until == inf:
            await self._changed.wait()
            return
        timer = asyncio.get_running_loop().call_at(until, self._changed.set)
        await self._changed.wait()
        timer.cancel()

    @property
    def _awaits_receipts(self) -> bool:
        """Whether a receipt may still come, and nobody waits for us who need not: what is in a file is safe."""
        hurried = self._stopping.is_set() and self.outbox.is_persistent
        return self.outbox.receipts and self.outbox.unconfirmed > 0 and not hurried

    def _is_done(self, now: float) -> bool:
        """Whether everything is said: nothing waits, nothing will come, and no receipt is worth waiting for."""
        if self.outbox.waiting or not (self._producer.is_finished or self._stopping.is_set()):
            return False
        if self._receipt_deadline is None:
            self._receipt_deadline = now + FINAL_RECEIPT_TIMEOUT_S
        return not self._awaits_receipts or now >= self._receipt_deadline

    def _on_receipt(self, payload: bytes) -> None:
        """Take a receipt; one that makes no sense changes nothing."""
        try:
            done = self.outbox.confirm(decode_receipt(payload))
        except ValueError as error:
            self._on_bad_receipt(f"{self.source.device}: {error}")
            return
        self._stats.published += done.waiting
        self._stats.confirmed += done.stored + done.rejected
        self._stats.rejected += done.rejected
        self._producer.room.set()
        self._changed.set()
