"""Is another instance of this service running under our client id? Asked once, before the first connection.

MQTT lets a second client with the same id push the first one out, without a word to either. So the second one looks
first at the retained presence, and, because that may be a leftover, waits for a heartbeat.
"""

import logging
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from vitals.service import HEARTBEAT_S, Presence, decode_presence
from vitals.settings import Broker

ANSWER_TIMEOUT = 3.0  # seconds for the broker to send what it retains
LOOK_UP = 0.2  # seconds between two looks at whether we are to stop
STALE_AFTER = 2.5 * HEARTBEAT_S  # seconds without a heartbeat after which a presence is a leftover


def other_instance(
    broker: Broker, service_topic: str, stopping: Callable[[], bool], log: logging.Logger
) -> Presence | None:
    """The instance that holds our client id and is alive; None where there is none, no broker to ask, or no time.

    Returns at once where the last word was "offline"; takes some 5 s where a broker and a service died together,
    and ends early when `stopping` says so.
    """
    heard: SimpleQueue[tuple[Presence | None, bool]] = SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)  # an id of the broker's choosing, no session
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(service_topic)

    def on_subscribe(*_: Any) -> None:
        # Mosquitto sends retained messages right behind the SUBACK; nothing after a moment means there is none.
        heard.put((None, True))

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        heard.put((decode_presence(bytes(message.payload)), message.retain))

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect_timeout = ANSWER_TIMEOUT
    try:
        client.connect(broker.host, broker.port)
    except OSError:
        return None
    client.loop_start()
    try:
        return _listen(heard, stopping, log)
    finally:
        client.disconnect()
        client.loop_stop()


def _listen(
    heard: "SimpleQueue[tuple[Presence | None, bool]]", stopping: Callable[[], bool], log: logging.Logger
) -> Presence | None:
    """Wait for the retained word, then, if it was "online", for a live one."""
    candidate: Presence | None = None
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while (left := deadline - time.monotonic()) > 0 and not stopping():
        try:
            presence, retained = heard.get(timeout=min(left, LOOK_UP))
        except Empty:
            continue
        if presence is None:  # subscribed: give the retained message half a second
            deadline = min(deadline, time.monotonic() + 0.5)
        elif presence.state == "offline":
            return None
        elif not retained:
            return presence
        elif candidate is None:
            candidate = presence
            log.info("the last word of our session is that %s holds it; waiting for a heartbeat", presence)
            deadline = time.monotonic() + STALE_AFTER
    return None
