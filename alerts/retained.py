"""Read back the retained messages at start: the alerts as last published, the beds' limits and assignments.

This precedes the first reading: the worker must know the open alerts before it evaluates changes. It uses a separate
connection without a session, so that no queued readings of the worker's session arrive in between.
"""

import logging
import time
from collections.abc import Callable, Sequence

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import OneShotClient, connect_once
from vitals.alert import Alert, decode_alert
from vitals.errors import TransientError
from vitals.topics import Topics

log = logging.getLogger("alerts")

READ_BACK_TIMEOUT_S = 10.0  # for all retained messages


def read_back(
    broker: BrokerEndpoint, topics: Topics, service: str, wards: Sequence[str], stopping: Callable[[], bool]
) -> tuple[list[Alert], list[tuple[str, bytes]]] | None:
    """Return the retained alerts, and limits and assignments as (topic, payload); None if `stopping` before the end.

    Raises TransientError if the broker is unreachable or refuses the connection.

    A broker sends what it retains before anything that is published after the subscription. So a
    marker, which the worker publishes when the subscription is confirmed, arrives after all of them.
    """
    marker = f"{topics.service(service)}/marker-{time.time_ns()}"
    filters = [
        (name, 1) for ward in wards for name in (topics.alerts(ward), topics.limits(ward), topics.assignments(ward))
    ]
    with connect_once(broker, [*filters, (marker, 1)]) as client:
        got = _until(marker, client, stopping)
    return None if got is None else _sorted(got, topics)


def _until(marker: str, client: OneShotClient, stopping: Callable[[], bool]) -> list[tuple[str, bytes]] | None:
    got: dict[str, bytes] = {}  # the ward `stack` is among all wards, and then sent twice
    deadline = time.monotonic() + READ_BACK_TIMEOUT_S
    while not stopping():
        message = client.next(0.2)
        if message is None:
            if time.monotonic() > deadline:
                raise TransientError(f"the broker did not send its retained messages within {READ_BACK_TIMEOUT_S:g} s")
        elif not message.topic:
            client.publish(marker)
        elif message.topic == marker:
            return list(got.items())
        else:
            got[message.topic] = message.payload
    return None


def _sorted(got: list[tuple[str, bytes]], topics: Topics) -> tuple[list[Alert], list[tuple[str, bytes]]]:
    alerts, of_beds = [], []
    for topic, payload in got:
        if topic.startswith((f"{topics.root}/limits/", f"{topics.root}/assignments/")):
            of_beds.append((topic, payload))
            continue
        try:
            alerts.append(decode_alert(payload))
        except ValueError as error:
            log.warning("ignored the retained message on %s: %s", topic[:300], error)
    return alerts, of_beds
