"""Guarantee 4: bad input is never lost and never blocks good input. With a real broker and a real database."""

import random
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually
from vitals.codec import MAX_PAYLOAD, encode
from vitals.reading import reading

HOSTILE: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "data/hostile.toml").read_text())[
    "message"
]


def payload_of(message: dict[str, Any]) -> bytes:
    if "hex" in message:
        return bytes.fromhex(message["hex"])
    text: str = message.get("payload", message.get("before", ""))
    text += message.get("unit", "") * message.get("times", 0) + message.get("after", "")
    return text.replace("{now}", datetime.now(UTC).isoformat()).encode()


def publish(broker: BrokerServer, messages: list[tuple[str, bytes]], retain: bool = False) -> None:
    """Publish all messages over one connection, in order, each acknowledged by the broker."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for info in [client.publish(topic, payload, qos=1, retain=retain) for topic, payload in messages]:
        info.wait_for_publish(20)
        assert info.is_published(), "the broker did not accept a message, so the test shows nothing"
    client.disconnect()
    client.loop_stop()


def test_every_hostile_message_is_stored_with_its_reason_and_good_ones_are_stored(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db)
    start = datetime.now(UTC)
    messages, expected = [], []
    for number, message in enumerate(HOSTILE):
        topic = "vitalflow/" + message.get("topic", f"vitals/icu-1/hostile-{number}")
        payload = payload_of(message)
        messages.append((topic, payload))
        expected.append((message, topic, payload))
        good = reading(start + timedelta(milliseconds=number), {"spo2": 97.0}, boot=1, seq=number + 1)
        messages.append(("vitalflow/vitals/icu-1/good", encode(good)))
    publish(broker, messages)
    eventually(lambda: ingest.metric("messages_received_total") == len(messages), 20, f"{len(messages)} messages")

    assert db.one("SELECT count(*) FROM patient_vitals WHERE device_id = 'good'") == len(HOSTILE)
    query = "SELECT topic, payload, payload_size, reason, detail FROM rejected_message ORDER BY id"
    kept = {(topic, payload): rest for topic, payload, *rest in db.rows(query)}
    for message, topic, payload in expected:
        found = kept.pop((topic, payload[:MAX_PAYLOAD]), None)
        if "reason" in message:
            assert found is not None, message["name"]
            assert found[:2] == [len(payload), message["reason"]], message["name"]
            assert found[2], message["name"]
        else:
            assert found is None, message["name"]
        device = topic.rpartition("/")[2]
        rows = db.one("SELECT count(*) FROM patient_vitals WHERE device_id = %s", device)
        assert rows == message.get("stored", 0), message["name"]
    assert not kept
    assert ingest.metric("messages_rejected_total") == db.count("rejected_message")
    assert ingest.metric("messages_rejected_total", reason="too_large") == 4
    assert ingest.metric("unknown_keys_total") == 3
    assert ingest.stop() == 0


def test_an_implausible_sign_becomes_null_and_the_rest_is_stored(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db)
    now = datetime.now(UTC).isoformat()
    payload = f'{{"time":"{now}","heart_rate":801,"spo2":88,"sensor_off":["resp_rate"]}}'.encode()
    publish(broker, [("vitalflow/vitals/icu-1/bed-1", payload)])
    eventually(lambda: ingest.metric("messages_received_total") == 1, 20, "the message")
    rows = db.rows("SELECT heart_rate, spo2, sensor_off, status FROM patient_vitals")
    assert rows == [(None, 88.0, ["resp_rate"], "CRITICAL")]
    rejected = db.rows("SELECT payload, reason, detail FROM rejected_message")
    assert rejected == [(payload, "implausible", "heart_rate 801 is outside 0 to 350 /min")]


def test_a_retained_bad_reading_is_rejected_once_and_not_at_each_restart(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    def retain(device: str) -> None:
        publish(own_broker, [(f"vitalflow/vitals/icu-1/{device}", b"[nonsense")], retain=True)

    def topics() -> list[Any]:
        return [topic for (topic,) in db.rows("SELECT topic FROM rejected_message ORDER BY topic")]

    expected = [f"vitalflow/vitals/icu-1/{device}" for device in ("before", "down", "live")]
    retain("before")
    ingest = make_ingest(own_broker.url, db)
    retain("live")
    eventually(lambda: len(topics()) == 2, 20, "the two messages")
    ingest.kill()
    retain("down")

    def store_another() -> None:  # the broker sends what it retains before what is published later
        stored = db.count()
        good = encode(reading(datetime.now(UTC), {"spo2": 97.0}, boot=1, seq=stored + 1))
        publish(own_broker, [("vitalflow/vitals/icu-1/good", good)])
        eventually(lambda: db.count() == stored + 1, 20, "a good reading")

    for _ in range(2):
        ingest.start()
        store_another()
        own_broker.stop()
        own_broker.start()
        eventually(lambda: ingest.metric("mqtt_connections_total") == 2, 20, "a connection to the restarted broker")
        store_another()
        assert ingest.stop() == 0
    assert topics() == expected


def almost_a_reading(dice: random.Random) -> bytes:
    """Make a valid reading and delete, swap, insert or replace some bytes."""
    now = datetime.now(UTC) - timedelta(seconds=dice.uniform(-600, 600))
    data = bytearray(encode(reading(now, {"heart_rate": 80.5, "spo2": 97.0}, boot=5, seq=dice.randrange(100))))
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                del data[at : at + dice.randrange(1, 5)]
            case 1:
                data[at] = dice.randrange(256)
            case 2:
                data[at:at] = dice.choice([b"null", b"true", b"{}", b"[", b"]", b'"', b"1e99", b"\\u0000", b"-"])
            case _:
                other = dice.randrange(len(data))
                data[at], data[other] = data[other], data[at]
        if not data:
            break
    return bytes(data)


def test_of_4000_damaged_messages_every_one_is_stored_or_rejected(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    dice = random.Random(7)
    ingest = make_ingest(broker.url, db)
    made = [dice.randbytes(dice.randrange(200)) if i % 4 == 0 else almost_a_reading(dice) for i in range(4000)]
    publish(broker, [(f"vitalflow/vitals/fuzz/device-{i}", payload) for i, payload in enumerate(made)])
    eventually(lambda: ingest.metric("messages_received_total") == len(made), 30, "all messages")
    stored = {row[0] for row in db.rows("SELECT device_id FROM patient_vitals")}
    rejected = {topic: payload for topic, payload in db.rows("SELECT topic, payload FROM rejected_message")}
    for i, payload in enumerate(made):
        topic = f"vitalflow/vitals/fuzz/device-{i}"
        assert f"device-{i}" in stored or topic in rejected, payload
        assert rejected.get(topic, payload) == payload
    assert len(stored) > 500
    assert len(rejected) > 1000
    assert ingest.stop() == 0


@pytest.mark.parametrize("bad", [{3}, {0, 1, 499}, set(range(200, 230))])
def test_a_row_that_only_the_database_rejects_is_isolated_and_stored_with_its_error(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest, bad: set[int]
) -> None:
    # No validation is complete: a constraint that ingest does not check stands for a value that it does not expect.
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("ALTER TABLE patient_vitals ADD CONSTRAINT unlucky CHECK (patient_id <> 'bad')")
    ingest = make_ingest(broker.url, db)
    start = datetime.now(UTC)
    messages = []
    for i in range(500):
        patient = "bad" if i in bad else "p-1"
        sample = reading(start + timedelta(milliseconds=i), {"spo2": 97.0}, boot=1, seq=i + 1, patient_id=patient)
        messages.append(("vitalflow/vitals/icu-1/bed-1", encode(sample)))
    publish(broker, messages)
    eventually(lambda: ingest.metric("messages_received_total") == 500, 30, "all messages")
    assert db.count() == 500 - len(bad)
    kept = db.rows("SELECT payload, reason, detail FROM rejected_message ORDER BY id")
    assert [payload for payload, *_ in kept] == [messages[i][1] for i in sorted(bad)]
    assert {reason for _, reason, _ in kept} == {"database"}
    assert all("unlucky" in str(detail) for *_, detail in kept)
