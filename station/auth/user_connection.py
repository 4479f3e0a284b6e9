"""A person at the broker: verified by it, and connected to it for as long as the login lasts.

The station keeps no passwords of its own. It connects as the person; the broker says whether that is right, and which
wards the person may see and act in: its answer to a subscription that is taken back in the same breath, so that no
message comes of it. What the person does is published on this connection, so the broker and not the station vouches
for who it was. Whom the broker disconnects and does not take again is signed out.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from aiomqtt import Client, MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.async_client import connect, describe_error, running
from mqtt.endpoint import BrokerEndpoint
from station.auth.scope import ALL_WARDS, NO_WARDS, WardScope
from station.confirmed_publish import publish_confirmed
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.topics import Topics

log = logging.getLogger("station")
_quiet = logging.getLogger("vitalflow.mqtt")  # what paho says of each connection; the listener tells it once for all

ANSWER_S = 5.0  # seconds for the broker to answer
GOODBYE_S = 1.0
KEEPALIVE_S = 30  # nothing is said on this connection for hours
RETRY_S = (0.25, 2.0)  # first and longest pause between two attempts to connect
# CONNACK of MQTT 5 for whom it does not want; every other refusal is of the moment, such as a broker that is too busy.
UNWANTED = (0x85, 0x86, 0x87, 0x8A, 0x8C)
AT_ONCE = 40  # wards that are asked for in one subscription
# Nothing retained, and nothing of our own: only the answer is wanted.
ONLY_ASKED = SubscribeOptions(qos=0, noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)


class InvalidCredentials(PermanentError):
    """The broker rejects this user with this password. Whether the user exists is not disclosed."""


class UserConnection:
    """One user of the broker. `sees` and `acts` are what the broker has granted so far.

    turn        few connect at the same time
    wards       tells the wards that the station knows by now
    on_change   is called when `viewable` or `actionable` has changed
    """

    def __init__(
        self,
        broker: BrokerEndpoint,
        topics: Topics,
        turn: asyncio.Semaphore,
        wards: Callable[[], Collection[str]],
        on_change: Callable[["UserConnection"], None],
    ) -> None:
        self.name = broker.username or ""
        self.viewable: WardScope = NO_WARDS
        self.actionable: WardScope = NO_WARDS
        self.verified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._broker = broker
        self._topics = topics
        self._turn = turn
        self._wards = wards
        self._on_change = on_change
        self._asked: set[str] = set()
        self._new_ward = asyncio.Event()
        self._client: Client | None = None

    @property
    def is_verified(self) -> bool:
        """Whether the broker has taken name and password, and has not said since that it does not any more."""
        return self.verified.done() and not self.verified.cancelled() and self.verified.exception() is None

    async def stay(self) -> None:
        """Connect, tell `verified` what came of it, and stay connected until the broker does not want us."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(*RETRY_S)
        while True:
            since = clock()
            try:
                await self._visit()
            except MqttConnectError as error:
                if _code(error) in UNWANTED:
                    self._fail(InvalidCredentials("the broker rejected the name or the password"))
                    return
                reason_text = describe_error(error, self._broker)
            except MqttError as error:
                reason_text = describe_error(error, self._broker)
            except InvalidCredentials as unwanted:
                self._fail(unwanted)
                return
            if not self.verified.done():
                self._fail(TransientError(f"no connection to the broker ({reason_text})"))
                return
            # After a steady connection without a pause, so that a revoked user is signed out at once.
            if clock() - since > RETRY_S[1]:
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next())

    def refresh_wards(self, wards: Collection[str]) -> None:
        """These are known; there may be some that the broker was not asked about."""
        if not self.viewable.everywhere and not self._asked.issuperset(wards):
            self._new_ward.set()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish as this person; raises TransientError where the broker does not take it now."""
        await publish_confirmed(self._client, topic, payload)

    # --- one connection ---

    async def _visit(self) -> None:
        """Come in, ask what we may, and stay; raises MqttError at the end of the connection."""
        client = self._new_client()
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

    def _new_client(self) -> Client:
        broker = self._broker
        return Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            # Secret: a client that connects with this id takes the connection over.
            identifier=f"page-{secrets.token_hex(10)}",
            protocol=ProtocolVersion.V5,
            tls_context=broker.context(),
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            max_queued_incoming_messages=1,  # they are not read
            logger=_quiet,
        )

    async def _listen(self, client: Client) -> None:
        """Wait for the connection's end, and ask about each ward that is new."""
        async with running(_discard_messages(client)):
            while True:
                await self._new_ward.wait()
                self._new_ward.clear()
                new = [ward for ward in self._wards() if ward not in self._asked]
                self._set(*await self._query_rights(client, new, self.viewable, self.actionable))

    async def _refresh_rights(self, client: Client) -> None:
        """Read which wards the user may see; raises InvalidCredentials for a user that may not read service status."""
        filters = [self._topics.service("+"), *self._filters("+")]
        may_hear, *granted = await _subscribe_granted(client, filters)
        if not may_hear:
            raise InvalidCredentials(f"{self.name[:60]!r} may see no ward; `vitalflow user add` lets people in")
        self._asked = set()
        viewable = ALL_WARDS if all(granted[:-1]) else NO_WARDS
        actionable = ALL_WARDS if all(granted) else NO_WARDS
        if not viewable.everywhere:
            viewable, actionable = await self._query_rights(client, list(self._wards()), viewable, actionable)
        self._set(viewable, actionable)

    async def _query_rights(
        self, client: Client, wards: Sequence[str], viewable: WardScope, actionable: WardScope
    ) -> tuple[WardScope, WardScope]:
        """What we see and where we act, with these wards asked about too."""
        for begin in range(0, len(wards), AT_ONCE):
            asked = wards[begin : begin + AT_ONCE]
            granted = iter(await _subscribe_granted(client, [one for ward in asked for one in self._filters(ward)]))
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
        """What one must be able to read to see a ward; and last, what only those can read who may act there."""
        topics = self._topics
        seen = [topics.vitals(ward, "+"), topics.status(ward, "+"), topics.alerts(ward), topics.limits(ward)]
        return [*seen, topics.alert_commands(ward, user=self.name)]

    def _fail(self, error: Exception) -> None:
        if not self.verified.done():
            self.verified.set_exception(error)


async def _subscribe_granted(client: Client, filters: list[str]) -> list[bool]:
    """Whether the broker would let us read each of these."""
    # Both leave before the first is answered, so there is hardly a moment in which a message could come.
    codes, _ = await asyncio.gather(
        client.subscribe([(one, ONLY_ASKED) for one in filters]), client.unsubscribe(filters)
    )
    return [(code if isinstance(code, int) else code.value) < 0x80 for code in codes]


async def _discard_messages(client: Client) -> None:
    async for _ in client.messages:
        pass  # what came between asking and taking back


def _code(error: MqttConnectError) -> int:
    return error.rc if isinstance(error.rc, int) else -1 if error.rc is None else error.rc.value
