"""The two subscribers that most tutorials write, for `compare`.

They re-create a common pattern, not a product, as a careful reader of such a tutorial writes it:
a persistent session, QoS 1, a connection that is made again when it was lost. What they are missing is
what the pattern is missing: to acknowledge only what is stored, and a name for each reading that makes it stored once.

    python -m bench.tutorials insert|queue MQTT-PORT DATABASE-URL
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

import aiomqtt
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

TABLE = """
    CREATE TABLE tutorial (
        time timestamptz NOT NULL, device_id text NOT NULL, boot bigint, seq bigint, patient_id text,
        heart_rate real, spo2 real, resp_rate real, temperature real, systolic_bp real, diastolic_bp real);
    SELECT create_hypertable('tutorial', by_range('time'));
    CREATE INDEX ON tutorial (device_id, time DESC);
"""
KEYS = ("boot", "seq", "patient_id", "heart_rate", "spo2", "resp_rate", "temperature", "systolic_bp", "diastolic_bp")
INSERT = (
    "INSERT INTO tutorial (time, device_id, boot, seq, patient_id, heart_rate, spo2, resp_rate, temperature,"
    " systolic_bp, diastolic_bp) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
TOPIC = "vitalflow/vitals/#"
BATCH = 1000
LINGER_S = 0.5


def row(topic: str, payload: bytes | bytearray) -> tuple[Any, ...]:
    """A message as the values of a row."""
    message = json.loads(payload)
    return (message["time"], topic.rpartition("/")[2], *(message.get(key) for key in KEYS))


def insert(port: int, url: str) -> None:
    """paho-mqtt: one INSERT and one COMMIT a message, in the callback; an error is printed."""
    connection = psycopg.connect(url)

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal connection
        try:
            connection.execute(INSERT, row(message.topic, message.payload))
            connection.commit()
        except psycopg.Error as error:
            print("error:", error, file=sys.stderr)  # noqa: T201
            with suppress(psycopg.Error):
                connection.close()
                connection = psycopg.connect(url)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tutorial", clean_session=False)
    client.on_connect = lambda client, *_: client.subscribe(TOPIC, qos=1) and None
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


async def queue(port: int, url: str) -> None:
    """aiomqtt: messages into a queue, from there many at a time with executemany; a batch is tried until it is
    stored."""
    waiting: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def write() -> None:
        connection = await psycopg.AsyncConnection.connect(url)
        while True:
            batch = [await waiting.get()]
            until = time.monotonic() + LINGER_S
            while len(batch) < BATCH and (left := until - time.monotonic()) > 0:
                try:
                    batch.append(waiting.get_nowait())
                except asyncio.QueueEmpty:
                    await asyncio.sleep(min(left, 0.01))
            while True:
                try:
                    async with connection.cursor() as cursor:
                        await cursor.executemany(INSERT, batch)
                    await connection.commit()
                    break
                except psycopg.Error as error:
                    print("error:", error, file=sys.stderr)  # noqa: T201
                    await asyncio.sleep(1)
                    with suppress(psycopg.Error):
                        await connection.close()
                        connection = await psycopg.AsyncConnection.connect(url)

    writing = asyncio.create_task(write())
    async with aiomqtt.Client("127.0.0.1", port, identifier="tutorial", clean_session=False) as client:
        await client.subscribe(TOPIC, qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            waiting.put_nowait(row(str(message.topic), message.payload))
    await writing


if __name__ == "__main__":
    _, which, port_, url_ = sys.argv
    if which == "insert":
        insert(int(port_), url_)
    else:
        asyncio.run(queue(int(port_), url_))
