"""What is retained at the broker, read back at start: the alerts as last published, the beds' limits and assignments.

Before the first reading: the worker must know what is open before it can say what changes. On a connection of its own
without a session, so that the readings, which wait in the worker's session, cannot come in between.
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

PATIENCE = 10.0  # seconds for all of it


def read_back(
    broker: BrokerEndpoint, topics: Topics, service: str, wards: Sequence[str], stopping: Callable[[], bool]
) -> tuple[list[Alert], list[tuple[str, bytes]]] | None:
    """The retained alerts, and limits and assignments as (topic, payload); None when `stopping` before all has come.

    Raises TransientError where the broker is away, or refuses us.

    A broker sends what it retains before anything that is published after the subscription. So a marker of our own,
    published when the subscription is confirmed, says that all has come.
    """
    marker = f"{topics.service(service)}/marker-{time.time_ns()}"
    filters = [
        (name, 1) for ward in wards for name in (topics.alerts(ward), topics.limits(ward), topics.assignments(ward))
    ]
    with connect_once(broker, [*filters, (marker, 1)]) as there:
        got = _until(marker, there, stopping)
    return None if got is None else _sorted(got, topics)


def _until(marker: str, there: OneShotClient, stopping: Callable[[], bool]) -> list[tuple[str, bytes]] | None:
    got: dict[str, bytes] = {}  # the ward `stack` is among all wards, and then sent twice
    deadline = time.monotonic() + PATIENCE
    while not stopping():
        heard = there.next(0.2)
        if heard is None:
            if time.monotonic() > deadline:
                raise TransientError(f"it did not send what it retains within {PATIENCE:g} s")
        elif not heard.topic:
            there.publish(marker)
        elif heard.topic == marker:
            return list(got.items())
        else:
            got[heard.topic] = heard.payload
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
            log.warning("left out what is retained on %s: %s", topic[:300], error)
    return alerts, of_beds
