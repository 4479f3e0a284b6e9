"""Second-instance check: find a running process with this service's client id before the first connection.

A further process of a service has its own client id and, at a broker with access control, its own user of that name,
which `vitalflow identity add-service` adds.

A second MQTT client with the same id takes over the session of the first. So a service first reads the retained
status, and waits for a heartbeat, because the status may be left over from a crash.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import OneShotClient, SubscriptionRefused, connect_once
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status
from vitals.errors import PermanentError, TransientError
from vitals.program import vitalflow_command
from vitals.topics import Topics

RETAINED_TIMEOUT_S = 3.0  # for the retained message
AFTER_SUBACK_S = 0.5  # Mosquitto sends retained messages right after the SUBACK
POLL_S = 0.2  # between two checks of `stopping`
STANDBY_SERVICES = ("ingest", "alerts")
HEARTBEAT_TIMEOUT_S = 2.5 * HEARTBEAT_S  # without a heartbeat for this long, "online" is a leftover


@dataclass(frozen=True, slots=True)
class Instance:
    """The one process that may use a client id of a service.

    service      whose rights its user at the broker has: ingest, alerts, station, edges
    noun         the service in a sentence, as in "a station"
    also         what else a second instance needs for itself, besides another client id
    own_topics   topics that only the service's own user may read, if others may read its status
    """

    broker: BrokerEndpoint
    topics: Topics
    service: str
    client_id: str
    noun: str
    stopping: Callable[[], bool]
    log: logging.Logger
    also: str = ""
    own_topics: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.noun} with the client id {self.client_id!r}"

    @property
    def topic(self) -> str:
        """The topic of its status."""
        return self.topics.service(self.client_id)

    def refuse_second(self) -> int:
        """Return the boot of the last instance, 0 if none is known.

        Raises PermanentError if another process runs under this client id, or the broker's user may not use it.
        """
        boot = 0
        for one in self.broker.candidates:  # of a list, the other instance may be at any
            try:
                last, runs = find_last_instance(one, self.topic, self.stopping, self.log, self.own_topics)
            except SubscriptionRefused:
                raise self.not_authorized(one) from None
            if last is not None and runs:
                can_wait = self.service in STANDBY_SERVICES and not self.broker.others
                standby = "start this one with --standby, " if can_wait else ""
                settings = f"VITALFLOW_{self.service.upper().replace('-', '_')}_CLIENT_ID{self.also}"
                raise PermanentError(
                    f"{self} is already running ({last}) at {one.address}; stop it first, {standby}or give this one "
                    f"its own {settings}, and at a broker with access control its own user: {self._add('NAME')}"
                )
            boot = max(boot, 0 if last is None else last.boot)
        return boot

    def not_authorized(self, broker: BrokerEndpoint) -> PermanentError:
        """Return the error for a user of a broker that may not act as this service."""
        user = "a client without a user" if broker.username is None else f"the user {broker.username!r}"
        return PermanentError(
            f"the broker does not authorize {user} as {self}: each needs its own user of the same name; add it and "
            f"take its settings: {self._add(self.client_id)}"
        )

    def _add(self, name: str) -> str:
        return f"{vitalflow_command()} identity add-service {name} --service {self.service}"


def find_last_instance(
    broker: BrokerEndpoint,
    service_topic: str,
    stopping: Callable[[], bool],
    log: logging.Logger,
    own_topics: Sequence[str] = (),
) -> tuple[ServiceStatus | None, bool]:
    """Return the status of the last instance that the broker knows, and whether it runs.

    None if there is none, the broker is unreachable, or `stopping` returns True. Returns at once if the retained status
    is "offline" or the broker refuses the connection, which the session reports later. Takes about 5 s after a common
    crash of broker and service. Raises SubscriptionRefused if the broker's user may not act as this service.
    """
    try:
        with connect_once(broker, [(topic, 0) for topic in (service_topic, *own_topics)]) as client:
            return _wait_for_heartbeat(client, stopping, log)
    except SubscriptionRefused:
        raise
    except TransientError:
        return None, False


def read_status(broker: BrokerEndpoint, service_topic: str) -> ServiceStatus | None:
    """Return the retained status of a service, None if there is none; raises TransientError without an answer."""
    subscribed = False
    with connect_once(broker, [(service_topic, 0)]) as client:
        deadline = time.monotonic() + RETAINED_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            message = client.next(left)
            if message is None:
                break
            if message.topic:
                return decode_service_status(message.payload)
            subscribed = True
            deadline = min(deadline, time.monotonic() + AFTER_SUBACK_S)
    if not subscribed:
        raise TransientError(f"no answer within {RETAINED_TIMEOUT_S:g} s")
    return None


def _wait_for_heartbeat(
    client: OneShotClient, stopping: Callable[[], bool], log: logging.Logger
) -> tuple[ServiceStatus | None, bool]:
    """Wait for the retained status and, if it is "online", for a heartbeat; return it, and whether one came."""
    candidate: ServiceStatus | None = None
    deadline = time.monotonic() + RETAINED_TIMEOUT_S
    while (left := deadline - time.monotonic()) > 0 and not stopping():
        message = client.next(min(left, POLL_S))
        if message is None:
            continue
        if not message.topic:
            deadline = min(deadline, time.monotonic() + AFTER_SUBACK_S)
            continue
        status = decode_service_status(message.payload)
        if status is None:
            continue
        if status.state == "offline":
            return status, False
        if not message.retained:
            return status, True
        if candidate is None:
            candidate = status
            log.info("%s held this session last; waiting for its heartbeat", status)
            deadline = time.monotonic() + HEARTBEAT_TIMEOUT_S
    return candidate, False
