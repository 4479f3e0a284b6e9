"""Fill the broker's queues with readings without losing any.

A publisher that runs ahead of the broker loses messages silently once its 65,535 packet ids are used up, so a
window keeps it back; and the broker reports how many it dropped.
"""

import threading
from datetime import UTC, datetime, timedelta

from mqtt.endpoint import BrokerEndpoint, paho_client
from mqtt.one_shot import connect_once
from vitals.codec import encode
from vitals.errors import PermanentError
from vitals.reading import reading
from vitals.topics import Topics

IN_FLIGHT = 1000  # messages published and not yet acknowledged
DEVICES = 100
DROPPED = "$SYS/broker/publish/messages/dropped"


def fill_queues(
    broker: BrokerEndpoint,
    topics: Topics,
    messages: int,
    counter: BrokerEndpoint | None = None,
) -> None:
    """Publish `messages` readings of 100 devices at QoS 1; returns when the broker has acknowledged all.

    counter   the login that may read the count of dropped messages, if it differs from the publisher

    Raises PermanentError if the broker dropped any.
    """
    client = paho_client(broker, client_id="filler")
    slots = threading.Semaphore(IN_FLIGHT)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.on_publish = lambda *_: slots.release()
    client.connect(broker.host, broker.port)
    client.loop_start()
    start = datetime.now(UTC) - timedelta(seconds=messages / DEVICES)
    for number in range(messages):
        seq, device = divmod(number, DEVICES)
        slots.acquire()
        client.publish(topics.vitals("bench", f"device-{device:03d}"), _payload(start, seq + 1, device), qos=1)
    for _ in range(IN_FLIGHT):  # all seats free: all acknowledged
        slots.acquire()
    client.disconnect()
    client.loop_stop()
    lost = dropped(broker if counter is None else counter)
    if lost:
        raise PermanentError(
            f"the broker dropped {lost} of {messages} messages; see max_queued_messages in mosquitto.conf"
        )


def dropped(broker: BrokerEndpoint) -> int:
    """How many messages the broker says it has dropped since its start."""
    values: list[int] = []
    with connect_once(broker, [(DROPPED, 0)]) as client:
        # The broker renews it every sys_interval, 5 s; the second value is one from after the last message.
        while len(values) < 2 and (message := client.next(12)):
            values += [int(message.payload)] if message.topic else []
    if not values:
        raise PermanentError(f"the broker publishes nothing on {DROPPED}")
    return values[-1]


def _payload(start: datetime, seq: int, device: int) -> bytes:
    signs = {
        "heart_rate": 60.0 + (seq + device) % 60,
        "spo2": 92.0 + (seq + device) % 8,
        "resp_rate": 12.0 + seq % 9,
        "temperature": 36.5 + (seq % 20) / 10,
        "systolic_bp": 110.0 + seq % 30,
        "diastolic_bp": 70.0 + seq % 20,
    }
    boot = int(start.timestamp())
    time = start + timedelta(seconds=seq)
    sample = reading(time, signs, boot=boot, seq=seq, patient_id=f"p-{device:04d}", on_oxygen=False, consciousness="A")
    return encode(sample)
