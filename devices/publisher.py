"""The MQTT client of one device: sends the outbox's readings until each has its PUBACK and, if in use, its receipt.

`supply`, such as a `Producer`, fills the outbox and never waits for the network; `deliver` empties it and never waits
for the source. A reading without PUBACK is sent again on the next connection, in order. One without receipt is sent
again when the outbox says so, and only while no newer reading waits.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Protocol

from aiomqtt import Client, MqttError, ProtocolVersion, Will

from devices.fleet_stats import FleetStats
from devices.outbox.queue import Outbox
from devices.source import Source
from devices.status_messages import StatusMessages
from mqtt.async_client import (
    PublishDenied,
    connection,
    describe_error,
    is_silent,
    publish,
    receive_payloads,
    running,
)
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from vitals.backoff import Backoff
from vitals.codec import encode, encode_many
from vitals.errors import PermanentError
from vitals.program import vitalflow_command
from vitals.reading import Reading
from vitals.receipt import RECEIPT_INTERVAL_S, decode_receipt
from vitals.topics import Topics

OnPuback = Callable[[str, Sequence[Reading]], None]
"""Called with a device and those of its readings that the broker acknowledged just now, for the first time."""

RETRY_S = (0.5, 8.0)  # first and maximum pause between two attempts to connect
STEADY_S = 5.0  # a connection that lasted at least this long resets the back-off
SHUTDOWN_TIMEOUT_S = 3.0  # for sending the waiting readings after a stop
SHUTDOWN_RECEIPT_TIMEOUT_S = 6.0  # for the last receipts after a stop: one interval of receipts and a commit
FINAL_RECEIPT_TIMEOUT_S = 30.0  # and after a source has ended by itself: long enough to send once more
FIRST_RECEIPT_TIMEOUT_S = 12.0  # for the first receipt, if receipts are assumed: two intervals and a commit
RESEND_INTERVAL_S = RECEIPT_INTERVAL_S  # between two resent arrays: a receipt may confirm the first one meanwhile


class Supply(Protocol):
    """What fills the outbox of a device.

    changed       set after each reading and at the end of the source; the publisher waits for it
    has_room      set by the publisher after readings were removed from the outbox
    is_finished   whether the source has ended
    """

    changed: asyncio.Event
    has_room: asyncio.Event
    is_finished: bool


class Publisher:
    """The client of one `source`; the fleet shares `stats`.

    on_failure       called with the reason of each failed connection
    on_bad_receipt   called with what is wrong with a receipt
    """

    def __init__(
        self,
        source: Source,
        broker: BrokerEndpoint,
        topics: Topics,
        *,
        outbox: Outbox,
        supply: Supply,
        stats: FleetStats,
        on_failure: Callable[[str], None],
        on_bad_receipt: Callable[[str], None],
        on_puback: OnPuback | None = None,
    ) -> None:
        self.source = source
        self.outbox = outbox
        self.order = BrokerOrder(broker, Backoff(*RETRY_S, STEADY_S))
        self._vitals_topic = topics.vitals(source.ward, source.device)
        self._status_topic = topics.status(source.ward, source.device)
        self._receipts_topic = topics.receipts(source.ward, source.device)
        self._stats = stats
        self._on_failure = on_failure
        self._on_bad_receipt = on_bad_receipt
        self._on_puback = on_puback
        self._supply = supply
        self._changed = supply.changed  # set here too, when a receipt arrived
        self._status_messages = StatusMessages(source, outbox)
        self._stopping = asyncio.Event()
        self._send_deadline = inf
        self._receipt_deadline: float | None = None
        self._next_resend = -inf
        self._assumed_until = inf
        if source.can_wait:
            outbox.assume_receipts()  # a recording is read no faster than it is stored

    @property
    def shutdown_timeout_s(self) -> float:
        """The maximum time that `deliver` takes to end after `request_shutdown`."""
        awaits_receipts = self.outbox.receipts and not self.outbox.is_persistent
        return SHUTDOWN_RECEIPT_TIMEOUT_S if awaits_receipts else SHUTDOWN_TIMEOUT_S

    def request_shutdown(self) -> None:
        """Make `deliver` send for up to SHUTDOWN_TIMEOUT_S, wait for the last receipts, disconnect and return."""
        now = asyncio.get_running_loop().time()
        self._send_deadline, self._receipt_deadline = now + SHUTDOWN_TIMEOUT_S, now + SHUTDOWN_RECEIPT_TIMEOUT_S
        self._stopping.set()
        self._changed.set()

    async def deliver(self, delay_s: float = 0.0) -> None:
        """Connect after `delay_s` seconds, stay connected, and send until there is nothing more to send.

        Raises PermanentError if the broker does not permit a publish.

        1. Connect, with the will. A failure is reported, and retried after a back-off.
        2. Subscribe to the receipts, publish the online status, then batches, the oldest first, each until its PUBACK.
        3. If the connection is lost or a PUBACK is missing: back to 1, and the unacknowledged batch comes first. If the
           next connection is to another broker, all readings without receipt are sent there.
        4. At the end publish the offline status explicitly, because an orderly DISCONNECT discards the will. The
           device of a recording deletes its status instead, which raises no alert, once before it waits for receipts.
        """
        order = self.order
        loop = asyncio.get_running_loop()
        await self._pause(delay_s)
        while not (self._stopping.is_set() or self._is_done(loop.time())):
            connected_at: float | None = None
            switches, silent = order.switches, False
            will = Will(self._status_topic, self._status_messages.offline(), qos=1, retain=True)
            try:
                async with connection(
                    order, self.source.device, will, self._stopping, version=ProtocolVersion.V5
                ) as client:
                    connected_at = loop.time()
                    if order.switches > switches:
                        self.outbox.on_other_broker()
                        self._next_resend = -inf
                    await self._run_connection(client)
                    return
            except MqttError as error:
                if isinstance(error, PublishDenied) and not order.broker.others:
                    raise PermanentError(self._describe_denied(error)) from None
                silent = is_silent(error)
                lasted_s = 0.0 if connected_at is None else loop.time() - connected_at
                # A broker keeps the newest of two clients with one client id and disconnects the other without reason.
                is_twin = connected_at is not None and lasted_s < STEADY_S
                hint = "; is another device connected under the same name?" if is_twin else ""
                self._on_failure(order.describe(describe_error(error, order.current)) + hint)
            # Jitter: thousands of devices that lost the broker together must not come back together.
            await self._pause(order.ended(loop.time(), lasted_s, silent=silent) * random.uniform(0.5, 1.0))

    def _describe_denied(self, error: PublishDenied) -> str:
        source = self.source
        arguments = f"devices enroll {source.device} --ward {source.ward} --credentials FILE"
        return (
            f"the broker at {self.order.current} does not permit this user to publish on {error}; "
            f"{self._stats.published} readings were published. Enrol the device and set "
            f"VITALFLOW_DEVICES_CREDENTIALS=FILE: {vitalflow_command()} {arguments}"
        )

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond `request_shutdown`."""
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
        # If the broker does not allow the subscription, no receipt comes, and this is a device without receipts.
        await client.subscribe(self._receipts_topic, qos=1)
        await publish(client, self._status_topic, self._status_messages.online(now()), retain=True)
        has_left = False
        while True:
            self._changed.clear()
            if now() >= self._assumed_until:
                self._end_assumption()
            if self.outbox.waiting and now() > self._send_deadline:
                break
            batch = self.outbox.next_batch()
            if batch:
                await self._send(client, batch)
                if self._on_puback is not None:
                    self._on_puback(self.source.device, batch)
            elif self._is_done(now()):
                break
            elif self.source.is_recording and self._supply.is_finished and not has_left:
                await self._leave(client)
                has_left = True
            elif now() >= self._next_resend and (batch := self.outbox.next_resend(now())):
                self._next_resend = now() + RESEND_INTERVAL_S
                await self._send(client, batch)
                self._stats.resent += len(batch)
            elif now() >= self._status_messages.due_at():
                await publish(client, self._status_topic, self._status_messages.online(now()), retain=True)
            else:
                await self._wait_for_work()
        await self._leave(client)

    async def _leave(self, client: Client) -> None:
        last_status = b"" if self.source.is_recording else self._status_messages.offline()
        await publish(client, self._status_topic, last_status, retain=True)

    async def _send(self, client: Client, batch: list[Reading]) -> None:
        readings = [self.source.published(reading) for reading in batch]
        payload = encode(readings[0]) if len(batch) == 1 else encode_many(readings)
        if not await publish(client, self._vitals_topic, payload) and self.order.broker.others:
            # The services have no session at this broker, so it has discarded the message.
            raise MqttError("no service receives readings from it")
        self._stats.published += self.outbox.on_puback(batch, asyncio.get_running_loop().time())
        self._supply.has_room.set()
        if self.outbox.assumes_receipts and self._assumed_until == inf:
            self._assumed_until = asyncio.get_running_loop().time() + FIRST_RECEIPT_TIMEOUT_S

    def _end_assumption(self) -> None:
        self._assumed_until = inf
        self.outbox.stop_assuming_receipts()
        self._supply.has_room.set()

    async def _wait_for_work(self) -> None:
        """Wait until something changed or something is due."""
        until = min(max(self._next_resend, self.outbox.resend_at()), self._status_messages.due_at())
        until = min(until, self._assumed_until)
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
        """Return whether receipts are expected. A shutdown does not wait for them if the outbox is persistent."""
        is_safe = self._stopping.is_set() and self.outbox.is_persistent
        return self.outbox.receipts and self.outbox.unconfirmed > 0 and not is_safe

    def _is_done(self, now: float) -> bool:
        """Return whether no reading waits, no more will be produced, and no receipt is awaited."""
        if self.outbox.waiting or not (self._supply.is_finished or self._stopping.is_set()):
            return False
        if self._receipt_deadline is None:
            self._receipt_deadline = now + FINAL_RECEIPT_TIMEOUT_S
        return not self._awaits_receipts or now >= self._receipt_deadline

    def _on_receipt(self, payload: bytes) -> None:
        """Apply a receipt; one that is invalid changes nothing."""
        try:
            confirmed = self.outbox.confirm(decode_receipt(payload))
        except ValueError as error:
            self._on_bad_receipt(f"{self.source.device}: {error}")
            return
        self._stats.published += confirmed.waiting
        self._stats.confirmed += confirmed.stored + confirmed.rejected
        self._stats.rejected += confirmed.rejected
        self._supply.has_room.set()
        self._changed.set()
