"""Keep the sessions of a service on brokers that it is not connected to, and notice devices that publish there.

So a failover loses no reading: a device without receipts deletes one when a broker has acknowledged it, and a broker
without a session of ingest acknowledges what it then drops. So the service makes its session on each broker of a pair
before a failover, with the client id and the subscriptions that it uses there.

Without a proxy each client of a list chooses its broker by itself. To a device at another broker than the service all
looks well: its messages wait in that session. So the service listens there, and what it receives is its problem.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.endpoint import BrokerEndpoint, connect_client, paho_client
from mqtt.instance import find_last_instance
from mqtt.one_shot import connect_once
from mqtt.properties import packet_properties
from mqtt.session import CONNECT_TIMEOUT_S, SESSION_EXPIRY_S, Session
from mqtt.tls import describe_tls_error
from vitals.errors import TransientError, VitalFlowError

ANSWER_S = 10.0
POLL_S = 0.2  # until the service is connected
CHECK_S = 60.0  # between two checks: a broker may return without its store
LISTEN_S = 5.0  # to another broker, for what is published there
AGAIN_S = 10.0  # after something was received there: during a failover devices change the broker before the service


class Elsewhere:
    """What is published at a broker that the service is not connected to.

    problem   one sentence, and since when; None if nothing is. Replaced as a whole, so any thread may read it
    """

    problem: tuple[str, datetime] | None = None


@contextmanager
def standby_sessions(
    brokers: Sequence[BrokerEndpoint],
    client_id: str,
    service_topic: str,
    filters: Sequence[tuple[str, SubscribeOptions]],
    session: Session,
    log: logging.Logger,
) -> Iterator[Elsewhere]:
    """Keep a session with these subscriptions on each broker, in a thread, until the end of the context; listen there.

    A broker where the service is connected is left alone: a second connection would end the one that works. So nothing
    begins before `session`, that of the service, has received its own status from its broker.
    """
    stop, elsewhere = threading.Event(), Elsewhere()
    thread = threading.Thread(
        target=_keep,
        args=(brokers, client_id, service_topic, filters, session, stop, elsewhere, log),
        name="standby sessions",
        daemon=True,
    )
    if brokers:
        thread.start()
    try:
        yield elsewhere
    finally:
        stop.set()


def _keep(
    brokers: Sequence[BrokerEndpoint],
    client_id: str,
    service_topic: str,
    filters: Sequence[tuple[str, SubscribeOptions]],
    session: Session,
    stop: threading.Event,
    elsewhere: Elsewhere,
    log: logging.Logger,
) -> None:
    def is_elsewhere(broker: BrokerEndpoint) -> bool:
        return session.is_confirmed and broker.address != session.order.current.address

    problems: dict[BrokerEndpoint, str] = {}
    was_heard = False
    quiet = log.getChild("standby-sessions")
    quiet.setLevel(logging.WARNING)  # the wait for a heartbeat, every minute
    while not stop.is_set():
        if not session.is_confirmed:
            stop.wait(POLL_S)
            continue
        heard = ""
        for broker in brokers:
            if not is_elsewhere(broker):
                continue
            try:
                other, runs = find_last_instance(broker, service_topic, stop.is_set, quiet)
                if stop.is_set() or not is_elsewhere(broker):  # it may have changed meanwhile
                    continue
                if runs and other is not None:
                    if other.boot == session.boot:
                        continue  # this process, which a proxy leads to this broker
                    heard = f"another process with this client id acts at another broker, {broker.address}: {other}"
                    continue
                present = make_session(broker, client_id, filters)
                if (topic := find_publication(broker, filters, stop.is_set)) is not None and is_elsewhere(broker):
                    heard = (
                        f"{topic} is published at another broker, {broker.address}, and this service is at "
                        f"{session.order.current.address}: stop the one that is not in use until all clients are at "
                        "the same"
                    )
            except VitalFlowError as error:
                if problems.get(broker) != str(error):
                    log.warning(
                        "no session on the standby broker at %s, so a failover loses readings of devices "
                        "without receipts: %s",
                        broker,
                        error,
                    )
                problems[broker] = str(error)
            else:
                if broker in problems or not present:
                    log.info("made a session on the standby broker at %s", broker)
                problems.pop(broker, None)
        if not (heard and was_heard):
            elsewhere.problem = None
        elif elsewhere.problem is None:
            log.warning("%s", heard)
            elsewhere.problem = heard, datetime.now(UTC)
        else:
            elsewhere.problem = heard, elsewhere.problem[1]
        was_heard = bool(heard)
        stop.wait(AGAIN_S if heard else CHECK_S)


def find_publication(
    broker: BrokerEndpoint, filters: Sequence[tuple[str, SubscribeOptions]], stopping: Callable[[], bool]
) -> str | None:
    """Return a topic on which something is published at this broker; None if nothing is within LISTEN_S.

    Raises TransientError if the broker is unreachable, or refuses the connection or the subscription.
    """
    names = [name.split("/", 2)[2] if name.startswith("$share/") else name for name, _ in filters]
    deadline = time.monotonic() + LISTEN_S
    with connect_once(broker, [(name, 0) for name in names]) as client:
        while time.monotonic() < deadline and not stopping():
            message = client.next(POLL_S)
            if message is not None and message.topic and not message.retained:
                return message.topic
    return None


def make_session(broker: BrokerEndpoint, client_id: str, filters: Sequence[tuple[str, SubscribeOptions]]) -> bool:
    """Make a persistent session with these subscriptions and disconnect; return whether it was present.

    Raises TransientError if the broker is unreachable, or refuses the connection or a subscription.
    """
    client = paho_client(
        broker,
        client_id=broker.client_id(client_id),
        protocol=mqtt.MQTTv5,
        manual_ack=True,  # what the session has queued stays there
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    present: list[bool] = []
    problem: list[str] = []
    granted: list[bool] = []

    def on_connect(client: mqtt.Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            problem.append(f"connection refused: {reason}")
        else:
            present.append(flags.session_present)
            client.subscribe(list(filters))

    def on_subscribe(_client: mqtt.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        problem.extend(f"subscription refused: {reason}" for reason in refused[:1])
        granted.append(not refused)

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    # Of what is queued, as little as possible.
    properties = packet_properties(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S, ReceiveMaximum=1)
    deadline = time.monotonic() + ANSWER_S
    connect_client(client, broker, clean_start=False, properties=properties)
    try:
        while not (granted or problem):
            if client.loop(0.2) != mqtt.MQTT_ERR_SUCCESS and not problem:
                raise TransientError("the connection ended before an answer")
            if time.monotonic() > deadline:
                raise TransientError(f"no answer within {ANSWER_S:g} s")
        client.disconnect()
    except (OSError, ValueError) as error:
        raise TransientError(describe_tls_error(error, broker.host, broker.port, broker.ca)) from None
    if problem:
        raise TransientError(problem[0])
    return present[0]
