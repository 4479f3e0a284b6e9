"""Connect to the broker: apply every message that it sends to the ward, and publish the limits of a bed.

The station has no session at the broker: messages that it missed while disconnected are no longer live, and retained
ones are sent at each subscription. It subscribes to its own heartbeat, to detect a broker that sends nothing.
"""

import asyncio
import logging
import time
from contextlib import suppress

from aiomqtt import Client, MqttError, Will

from mqtt.async_client import publish, running, stay_connected, subscribe
from mqtt.failover import BrokerOrder
from mqtt.instance import Instance
from mqtt.service_status import ServiceStatus, State, encode_service_status
from station.auth.password_salts import PasswordSalts
from station.clock import present_time
from station.confirmed_publish import publish_confirmed
from station.settings import StationSettings
from station.ward import Ward
from vitals.backoff import Backoff
from vitals.log import WaitLog

log = logging.getLogger("station")

HEARTBEAT_S = 1.0  # seconds between two heartbeats of the station
NO_MESSAGE_TIMEOUT_S = 3.5  # seconds without any message; the station's own heartbeat should arrive every second
RETRY_S = (0.25, 2.0)  # first and maximum pause between two attempts to connect


class Listener:
    """Applies what the broker sends to the ward, from `run` until `stop`."""

    def __init__(self, settings: StationSettings, ward: Ward, salts: PasswordSalts) -> None:
        self.connections = 0
        self._settings = settings
        self._topics = settings.topics
        self._ward = ward
        self._salts = salts
        self.order = BrokerOrder(settings.broker, Backoff(*RETRY_S, steady_s=RETRY_S[1]))
        self._service = self._topics.service(settings.station_client_id)
        self._boot = time.time_ns()
        self._client: Client | None = None
        self._stopping = asyncio.Event()
        self._received_at = 0.0
        self._wait_log = WaitLog(f"the broker at {settings.broker}", log.warning)

    def stop(self) -> None:
        """Publish the offline status and end `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Stay connected until `stop`; raises PermanentError if another station has the same client id."""
        client_id, stopping = self._settings.station_client_id, self._stopping.is_set
        instance = Instance(self.order.broker, self._topics, "station", client_id, "a station", stopping, log)
        await asyncio.to_thread(instance.refuse_second)
        await stay_connected(
            self.order,
            client_id,
            lambda: Will(self._service, self._presence("offline"), qos=1, retain=True),
            self._stopping,
            self._run_connection,
            self._on_failure,
        )

    async def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish for a signed-in user limits or an assignment, or an audit record; raises TransientError."""
        await publish_confirmed(self._client, topic, payload, retain=retain)

    # --- one connection ---

    def _on_failure(self, _error: MqttError, description: str) -> None:
        why = self.order.describe(description)
        self._ward.services.disconnected(why, present_time())
        self._wait_log.waiting(why, time.monotonic())

    async def _run_connection(self, client: Client) -> None:
        """Receive messages and send heartbeats until `stop`; raises MqttError if the connection is lost."""
        topics = self._topics
        filters = [(topics.all_vitals, 0), (topics.all_status, 1), (topics.alerts(), 1)]
        filters += [
            (topics.limits(), 1),
            (topics.assignments(), 1),
            (topics.service("+"), 0),
            (topics.rejections("+"), 1),
            (topics.rejections("+", "+"), 1),
            (topics.rules("+"), 1),
            (topics.logins("+"), 1),
            # QoS 0, as the heartbeat: the retained ones arrive before the first heartbeat comes back.
            (topics.password_salt(), 0),
            (topics.password_rejected(), 0),
        ]
        self._salts.begin()
        self._ward.connected(present_time())
        self._received_at = time.monotonic()
        if not all(await subscribe(client, filters)):
            raise MqttError("it refuses the station's subscription; see mosquitto's access list")
        self._client = client
        self.connections += 1
        self._wait_log.over()
        log.info("connected to the broker at %s", self.order.current)
        try:
            async with running(self._listen(client), self._send_heartbeats(client)):
                await self._stopping.wait()
        finally:
            self._client = None
        with suppress(MqttError):
            await publish(client, self._service, self._presence("offline"), True)

    async def _listen(self, client: Client) -> None:
        try:
            async for message in client.messages:
                self._received_at = time.monotonic()
                topic, payload = str(message.topic), bytes(message.payload)
                if topic == self._service and not message.retain:
                    self._salts.complete()
                self._salts.take(topic, payload)
                self._ward.take(topic, payload, message.retain, present_time())
        except MqttError:
            raise MqttError("the connection was lost") from None

    async def _send_heartbeats(self, client: Client) -> None:
        while True:
            await client.publish(self._service, self._presence("online"), qos=0, retain=True)
            await asyncio.sleep(HEARTBEAT_S)
            if time.monotonic() - self._received_at > NO_MESSAGE_TIMEOUT_S:
                raise MqttError("it does not answer")

    # --- the rest ---

    def _presence(self, state: State) -> bytes:
        return encode_service_status(ServiceStatus.here(state, self._boot, broker=self.order.current.address))
