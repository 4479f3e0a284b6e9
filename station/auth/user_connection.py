"""Connection of one user to the broker, which verifies the user, for as long as a session of the user lasts.

The station stores no passwords. It connects with the user's name and password, which the broker accepts or rejects. The
wards that the user may see and act in are read from SUBACKs; each UNSUBSCRIBE follows its SUBSCRIBE at once, so that no
messages arrive. Commands of the user are published on this connection, so the broker and not the station vouches for
the user. A user that the broker disconnects and then rejects is signed out.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from aiomqtt import Client, MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.async_client import connect, describe_error, new_client, reason_code, running, subscribe
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from station.auth.scope import ALL_WARDS, NO_WARDS, WardScope
from station.confirmed_publish import publish_confirmed
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.topics import STACK_WARD, Topics

log = logging.getLogger("station")

ANSWER_S = 5.0  # seconds for the broker to answer
GOODBYE_S = 1.0
KEEPALIVE_S = 30  # seconds; the connection may be idle for hours
RETRY_S = (0.25, 2.0)  # first and maximum pause between two attempts to connect
# CONNACK reason codes of MQTT 5 that reject the user; any other one is transient, such as "server busy".
REJECTED = (0x85, 0x86, 0x87, 0x8A, 0x8C)
MAX_WARDS_PER_SUBSCRIBE = 40
# No retained messages and none of this client: only the SUBACK is needed.
QUERY_OPTIONS = SubscribeOptions(qos=0, noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)


class InvalidCredentials(PermanentError):
    """The broker rejects this user with this password. Whether the user exists is not disclosed."""


class NoWard(InvalidCredentials):
    """The broker accepts the user, who may see no ward: an administrator or a service."""


class UserConnection:
    """One user of the broker. `viewable` and `actionable` are the wards that the broker has granted so far.

    login       returns the broker with the user's name and secret, once
    order       of the station: users connect to the broker that it is connected to
    turn        limits the number of simultaneous connection attempts
    wards       returns the wards that the station knows
    on_change   is called when `viewable` or `actionable` has changed
    """

    def __init__(
        self,
        name: str,
        login: Callable[[], Awaitable[BrokerEndpoint]],
        order: BrokerOrder,
        topics: Topics,
        turn: asyncio.Semaphore,
        wards: Callable[[], Collection[str]],
        on_change: Callable[["UserConnection"], None],
    ) -> None:
        self.name = name
        self.viewable: WardScope = NO_WARDS
        self.actionable: WardScope = NO_WARDS
        self.verified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._login = login
        self._order = order
        self._topics = topics
        self._turn = turn
        self._wards = wards
        self._on_change = on_change
        self._switches = order.switches
        self._asked: set[str] = set()
        self._new_ward = asyncio.Event()
        self._publishing = asyncio.Lock()  # the answer to one message must not be taken for that to another
        self._client: Client | None = None

    @property
    def is_verified(self) -> bool:
        """Return whether the broker has accepted name and password, and has not rejected them since."""
        return self.verified.done() and not self.verified.cancelled() and self.verified.exception() is None

    async def stay(self) -> None:
        """Connect, set the result of `verified`, and stay connected until the broker rejects the user."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(*RETRY_S)
        try:
            user = await self._login()
        except TransientError as error:
            self._fail(error)
            return
        while True:
            since, broker = clock(), replace(self._order.current, username=user.username, password=user.password)
            try:
                await self._run_connection(broker)
            except MqttConnectError as error:
                if reason_code(error.rc) in REJECTED:
                    self._fail(InvalidCredentials("the broker rejected the name or the password"))
                    return
                reason_text = describe_error(error, broker)
            except MqttError as error:
                reason_text = describe_error(error, broker)
            except InvalidCredentials as error:
                self._fail(error)
                return
            if not self.verified.done():
                log.warning("a login was not checked, no connection to the broker: %s", reason_text)
                self._fail(TransientError("there is no connection to the monitors; watch the patients directly"))
                return
            # No pause after a stable connection, so that a revoked user is signed out at once.
            if clock() - since > RETRY_S[1]:
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next())

    def refresh_wards(self, wards: Collection[str]) -> None:
        """Request the rights for the wards that were not queried yet; connect where the station is connected."""
        is_elsewhere = self._order.switches != self._switches
        if is_elsewhere or (not self.viewable.everywhere and not self._asked.issuperset(wards)):
            self._new_ward.set()

    async def publish(self, topic: str, payload: bytes) -> bool:
        """Publish as this user; returns and raises as `publish_confirmed`."""
        async with self._publishing:
            return await publish_confirmed(self._client, topic, payload)

    # --- one connection ---

    async def _run_connection(self, broker: BrokerEndpoint) -> None:
        """Connect, query the rights, and stay connected; raises MqttError at the end of the connection."""
        self._switches = self._order.switches
        client = new_client(
            broker,
            # Random and not disclosed: a client that connects with this id takes the connection over.
            f"page-{secrets.token_hex(10)}",
            protocol=ProtocolVersion.V5,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            max_queued_incoming_messages=1,  # messages are discarded
        )
        async with self._turn:
            await connect(client)
        try:
            await self._refresh_rights(client)
            self._client = client
            if not self.verified.done():
                self.verified.set_result(None)
            await self._listen(client)
        finally:
            self._client = None
            client.timeout = GOODBYE_S
            with suppress(MqttError):
                await client.__aexit__(None, None, None)

    async def _listen(self, client: Client) -> None:
        """Query the rights for new wards until the connection ends."""
        async with running(_discard_messages(client)):
            while True:
                await self._new_ward.wait()
                self._new_ward.clear()
                if self._order.switches != self._switches:
                    raise MqttError("the station is connected to another broker")
                new = [ward for ward in self._wards() if ward not in self._asked]
                self._set(*await self._query_rights(client, new, self.viewable, self.actionable))

    async def _refresh_rights(self, client: Client) -> None:
        """Read which wards the user may see; raises InvalidCredentials for a user that may not read service status."""
        filters = [self._topics.service("+"), *self._filters("+")]
        may_read_status, *granted = await _subscribe_granted(client, filters)
        if not may_read_status:
            raise NoWard("this user sees no patients; sign in as a nurse or as a read-only user")
        self._asked = set()
        viewable = ALL_WARDS if all(granted[:-1]) else NO_WARDS
        actionable = ALL_WARDS if all(granted) else NO_WARDS
        if not viewable.everywhere:
            viewable, actionable = await self._query_rights(client, list(self._wards()), viewable, actionable)
        self._set(viewable, actionable)

    async def _query_rights(
        self, client: Client, wards: Sequence[str], viewable: WardScope, actionable: WardScope
    ) -> tuple[WardScope, WardScope]:
        """Return `viewable` and `actionable`, extended by the rights for these wards."""
        for begin in range(0, len(wards), MAX_WARDS_PER_SUBSCRIBE):
            asked = wards[begin : begin + MAX_WARDS_PER_SUBSCRIBE]
            granted = iter(await _subscribe_granted(client, [name for ward in asked for name in self._filters(ward)]))
            for ward in asked:
                *reads, may_act = (next(granted) for _ in self._filters(ward))
                if all(reads):
                    viewable = viewable.with_ward(ward)
                    actionable = actionable.with_ward(ward) if may_act else actionable
            self._asked.update(asked)
        return viewable, actionable

    def _set(self, viewable: WardScope, actionable: WardScope) -> None:
        if (viewable, actionable) != (self.viewable, self.actionable):
            self.viewable, self.actionable = viewable, actionable
            self._on_change(self)

    def _filters(self, ward: str) -> list[str]:
        """Return the filters that a user must be able to read to see a ward; the last one is needed to act in it."""
        topics = self._topics
        if ward == STACK_WARD:
            return [topics.alerts(ward), topics.alert_commands(ward, user=self.name)]
        seen = [topics.vitals(ward, "+"), topics.status(ward, "+"), topics.alerts(ward), topics.limits(ward)]
        return [*seen, topics.alert_commands(ward, user=self.name)]

    def _fail(self, error: Exception) -> None:
        if not self.verified.done():
            self.verified.set_exception(error)


async def _subscribe_granted(client: Client, filters: list[str]) -> list[bool]:
    """Return for each filter whether the broker grants a subscription to it."""
    # Both packets are sent before the SUBACK arrives, so that hardly any message is delivered.
    asked = [(name, QUERY_OPTIONS) for name in filters]
    granted: list[bool] = (await asyncio.gather(subscribe(client, asked), client.unsubscribe(filters)))[0]
    return granted


async def _discard_messages(client: Client) -> None:
    async for _ in client.messages:
        pass  # delivered between SUBSCRIBE and UNSUBSCRIBE
