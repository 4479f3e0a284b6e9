"""The service's own connection to the broker: its status, so that screens show whether it works."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiomqtt import Client, MqttError, Will

from mqtt.async_client import connection, describe_error, publish, receive_payloads, running
from mqtt.endpoint import BrokerEndpoint
from mqtt.instance import refuse_second_instance
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, encode_service_status
from vitals.backoff import Backoff
from vitals.log import WaitLog
from vitals.topics import Topics

log = logging.getLogger("edges")

RETRY_S = (0.25, 2.0)  # first and maximum pause between two attempts to connect


class Presence:
    """Publishes the status of the service until `stop`.

    find_problem   returns why the service does not do its work; empty: it does
    """

    def __init__(self, broker: BrokerEndpoint, topics: Topics, client_id: str) -> None:
        self.connected = False
        self.find_problem: Callable[[], str] = str
        self._broker = broker
        self._client_id = client_id
        self._topic = topics.service(client_id)
        self._boot = time.time_ns()
        self._problem = ""
        self._problem_since: datetime | None = None
        self._stopping = asyncio.Event()
        self._wait_log = WaitLog(f"the broker at {broker}", log.warning)

    def stop(self) -> None:
        """Publish the offline status and end `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Stay connected until `stop`; raises PermanentError if another process has the same client id.

        After a kill the check waits some seconds for a heartbeat of the former process, so messages are received
        before it ends.
        """
        await asyncio.to_thread(
            refuse_second_instance,
            self._broker,
            self._topic,
            "edges",
            f"an edge with the client id {self._client_id!r}",
            "VITALFLOW_EDGES_CLIENT_ID",
            self._stopping.is_set,
            log,
        )
        backoff = Backoff(*RETRY_S, steady_s=RETRY_S[1])
        while not self._stopping.is_set():
            since = time.monotonic()
            will = Will(self._topic, self._status("offline"), qos=1, retain=True)
            try:
                async with connection(self._broker, self._client_id, will, self._stopping) as client:
                    await self._run_connection(client)
            except MqttError as error:
                self._wait_log.waiting(describe_error(error, self._broker), time.monotonic())
            finally:
                self.connected = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff.next(time.monotonic() - since))

    async def _run_connection(self, client: Client) -> None:
        async with running(receive_payloads(client, lambda payload: None), self._send_heartbeats(client)):
            await self._stopping.wait()
        with suppress(MqttError):
            await publish(client, self._topic, self._status("offline"), retain=True)

    async def _send_heartbeats(self, client: Client) -> None:
        while True:
            await publish(client, self._topic, self._status("online"), retain=True)
            if not self.connected:
                self.connected = True
                self._wait_log.over()
                log.info("connected to the broker at %s", self._broker)
            await asyncio.sleep(HEARTBEAT_S)

    def _status(self, state: str) -> bytes:
        problem = self.find_problem()
        if problem != self._problem:
            self._problem, self._problem_since = problem, datetime.now(UTC) if problem else None
        return encode_service_status(
            ServiceStatus(
                state="online" if state == "online" else "offline",
                boot=self._boot,
                host=socket.gethostname(),
                pid=os.getpid(),
                problem=problem,
                problem_since=self._problem_since,
            )
        )
