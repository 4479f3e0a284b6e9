"""Is another instance of this service running under our client id? Asked once, before the first connection.

MQTT lets a second client with the same id push the first one out, without a word to either. So the second one looks
first at the retained presence, and, because that may be a leftover, waits for a heartbeat.
"""

import logging
import time
from collections.abc import Callable

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import OneShotClient, connect_once
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status
from vitals.errors import PermanentError, TransientError

RETAINED_TIMEOUT_S = 3.0  # seconds for the broker to send what it retains
POLL_S = 0.2  # seconds between two looks at whether we are to stop
HEARTBEAT_TIMEOUT_S = 2.5 * HEARTBEAT_S  # seconds without a heartbeat after which a presence is a leftover


def find_running_instance(
    broker: BrokerEndpoint, service_topic: str, stopping: Callable[[], bool], log: logging.Logger
) -> ServiceStatus | None:
    """The instance that holds our client id and is alive; None where there is none, no broker to ask, or no time.

    Returns at once where the last word was "offline" or the broker refuses us, which the session will then tell; takes
    some 5 s where a broker and a service died together, and ends early when `stopping` says so.
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
    """Raise PermanentError if another process holds our client id.

    what      this service and its client id, as in "a station with the client id 'station'"
    setting   the variables that give a second instance an identity of its own
    """
    other = find_running_instance(broker, service_topic, stopping, log)
    if other is not None:
        raise PermanentError(f"{what} is already running ({other}); stop it first, or give this one its own {setting}")


def _wait_for_heartbeat(
    client: OneShotClient, stopping: Callable[[], bool], log: logging.Logger
) -> ServiceStatus | None:
    """Wait for the retained word, then, if it was "online", for a live one."""
    candidate: ServiceStatus | None = None
    deadline = time.monotonic() + RETAINED_TIMEOUT_S
    while (left := deadline - time.monotonic()) > 0 and not stopping():
        message = client.next(min(left, POLL_S))
        if message is None:
            continue
        if not message.topic:
            # Mosquitto sends retained messages right behind the SUBACK; nothing after a moment means there is none.
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
            log.info("the last word of our session is that %s holds it; waiting for a heartbeat", status)
            deadline = time.monotonic() + HEARTBEAT_TIMEOUT_S
    return None
