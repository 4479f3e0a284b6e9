"""Second-instance guard: find a running process with this service's client id before the first connection.

A second MQTT client with the same id takes over the session of the first. So a service first reads the retained
status, and waits for a heartbeat, because the status may be left over from a crash.
"""

import logging
import time
from collections.abc import Callable

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import OneShotClient, connect_once
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status
from vitals.errors import PermanentError, TransientError

RETAINED_TIMEOUT_S = 3.0  # for the retained message
POLL_S = 0.2  # between two checks of `stopping`
HEARTBEAT_TIMEOUT_S = 2.5 * HEARTBEAT_S  # without a heartbeat for this long, "online" is a leftover


def find_running_instance(
    broker: BrokerEndpoint, service_topic: str, stopping: Callable[[], bool], log: logging.Logger
) -> ServiceStatus | None:
    """Return the running instance, or None if there is none, the broker is unreachable, or `stopping` returns True.

    Returns at once if the retained status is "offline" or the broker refuses the connection, which the session reports
    later. Takes about 5 s after a common crash of broker and service.
    """
    try:
        with connect_once(broker, [(service_topic, 0)]) as client:
            return _wait_for_heartbeat(client, stopping, log)
    except TransientError:
        return None


def refuse_second_instance(
    broker: BrokerEndpoint,
    service_topic: str,
    what: str,
    setting: str,
    stopping: Callable[[], bool],
    log: logging.Logger,
) -> None:
    """Raise PermanentError if another process runs under this client id.

    what      the service and its client id, as in "a station with the client id 'station'"
    setting   the variables to set for a second instance
    """
    other = find_running_instance(broker, service_topic, stopping, log)
    if other is not None:
        raise PermanentError(f"{what} is already running ({other}); stop it first, or give this one its own {setting}")


def _wait_for_heartbeat(
    client: OneShotClient, stopping: Callable[[], bool], log: logging.Logger
) -> ServiceStatus | None:
    """Wait for the retained status and, if it is "online", for a heartbeat."""
    candidate: ServiceStatus | None = None
    deadline = time.monotonic() + RETAINED_TIMEOUT_S
    while (left := deadline - time.monotonic()) > 0 and not stopping():
        message = client.next(min(left, POLL_S))
        if message is None:
            continue
        if not message.topic:
            # Mosquitto sends retained messages right after the SUBACK.
            deadline = min(deadline, time.monotonic() + 0.5)
            continue
        status = decode_service_status(message.payload)
        if status is None:
            continue
        if status.state == "offline":
            return None
        if not message.retained:
            return status
        if candidate is None:
            candidate = status
            log.info("%s held this session last; waiting for its heartbeat", status)
            deadline = time.monotonic() + HEARTBEAT_TIMEOUT_S
    return None
