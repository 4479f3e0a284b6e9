"""What a service publishes before the broker answers is delivered, in order, and takes little memory."""

import logging
import select
import time
import tracemalloc
from collections.abc import Callable

from mqtt.endpoint import BrokerEndpoint
from mqtt.session import MAX_IN_FLIGHT, Session
from stack.servers import BrokerServer
from tests.support.mqtt_probe import MqttProbe

MESSAGES = 4 * MAX_IN_FLIGHT
PAYLOAD = b"x" * 800  # as long as an alert
TOPIC = "vitalflow/flood/"


def make_session(broker: BrokerEndpoint) -> Session:
    service = "vitalflow/services/flood"
    return Session(
        broker,
        "flood",
        service,
        [],
        window=10,
        boot=time.time_ns(),
        deliver=lambda *_: None,
        connected=lambda _: None,
        log=logging.getLogger("flood"),
    )


def work_until(session: Session, is_done: Callable[[], bool]) -> None:
    """Do what the main loop of a service does."""
    end = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < end, f"{session.unpublished} unpublished"
        session.ensure_connected(time.monotonic())
        number = session.fileno()
        if number is not None and select.select([number], [], [], 0.05)[0]:
            session.receive()
        session.maintain(time.monotonic())


def test_what_is_published_before_the_broker_answers_takes_little_memory_and_arrives_in_order(
    broker: BrokerServer,
) -> None:
    endpoint = BrokerEndpoint.parse(broker.url)
    session = make_session(endpoint)
    with MqttProbe(endpoint) as probe:
        probe.subscribe(TOPIC + "+")
        work_until(session, lambda: session.is_confirmed)
        tracemalloc.start()
        try:
            for number in range(MESSAGES):
                session.publish(f"{TOPIC}{number}", PAYLOAD, retain=False, expiry_s=3600)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert session.unpublished == MESSAGES
        assert taken / MESSAGES < 4_000, "paho takes 8 KB for each message in flight"
        work_until(session, lambda: session.unpublished == 0)
        assert [probe.next_topic() for _ in range(MESSAGES)] == [f"{TOPIC}{number}" for number in range(MESSAGES)]
    session.disconnect()
