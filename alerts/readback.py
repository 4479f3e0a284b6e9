"""What is retained at the broker, read back at start: the alerts as they were last told, and the beds' own limits.

Before the first reading: the worker must know what is open before it can say what changes. On a connection of its own
without a session, so that the readings, which wait in the worker's session, cannot come in between.
"""

import logging
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vitals.alert import Alert, decode_alert
from vitals.errors import TryAgain
from vitals.settings import Broker
from vitals.topics import Topics

log = logging.getLogger("alerts")

PATIENCE = 10.0  # seconds for all of it
CONNECT_TIMEOUT = 3.0  # seconds


def read_back(
    broker: Broker, topics: Topics, service: str, wards: Sequence[str], stopping: Callable[[], bool]
) -> tuple[list[Alert], list[tuple[str, bytes]]] | None:
    """The retained alerts, and the retained limits as (topic, payload); None when `stopping` before all has come.

    Raises TryAgain where the broker is away, or refuses us.

    A broker sends what it retains before anything that is published after the subscription. So a marker of our own,
    published when the subscription is confirmed, says that all has come.
    """
    marker = f"{topics.service(service)}/marker-{time.time_ns()}"
    heard: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    filters = [(name, 1) for ward in wards for name in (topics.alerts(ward), topics.limits(ward))]
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    refused: list[str] = []

    def on_connect(client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            refused.append(f"it refuses us: {reason}")
        else:
            client.subscribe([*filters, (marker, 1)])

    client.on_connect = on_connect
    client.on_subscribe = lambda client, *_: client.publish(marker, qos=1) and None

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        heard.put((message.topic, bytes(message.payload)))

    client.on_message = on_message
    client.connect_timeout = CONNECT_TIMEOUT
    try:
        client.connect(broker.host, broker.port)
    except OSError as error:
        raise TryAgain(str(error)) from None
    client.loop_start()
    try:
        got = _until(marker, heard, refused, stopping)
        return None if got is None else _sorted(got, topics)
    finally:
        client.disconnect()
        client.loop_stop()


def _until(
    marker: str, heard: "SimpleQueue[tuple[str, bytes]]", refused: list[str], stopping: Callable[[], bool]
) -> list[tuple[str, bytes]] | None:
    got: list[tuple[str, bytes]] = []
    deadline = time.monotonic() + PATIENCE
    while not stopping():
        try:
            topic, payload = heard.get(timeout=0.2)
        except Empty:
            if refused:
                raise TryAgain(refused[0]) from None
            if time.monotonic() > deadline:
                raise TryAgain(f"it did not send what it retains within {PATIENCE:g} s") from None
            continue
        if topic == marker:
            return got
        got.append((topic, payload))
    return None


def _sorted(got: list[tuple[str, bytes]], topics: Topics) -> tuple[list[Alert], list[tuple[str, bytes]]]:
    alerts, limits = [], []
    for topic, payload in got:
        if topic.startswith(f"{topics.root}/limits/"):
            limits.append((topic, payload))
            continue
        try:
            alerts.append(decode_alert(payload))
        except ValueError as error:
            log.warning("left out what is retained on %s: %s", topic[:300], error)
    return alerts, limits
