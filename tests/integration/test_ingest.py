"""Ingest with a real broker and a real database: published readings become rows."""

from datetime import UTC, datetime, timedelta

import paho.mqtt.publish as publish

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually
from vitals.codec import encode, encode_many
from vitals.reading import reading


def send(broker: BrokerServer, topic: str, payload: bytes, retain: bool = False) -> None:
    publish.single(topic, payload, qos=1, retain=retain, hostname="127.0.0.1", port=broker.port)


def test_a_published_reading_becomes_a_row(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(broker.url, db)
    now = datetime.now(UTC).replace(microsecond=250_000)
    signs = {"heart_rate": 131.0, "resp_rate": 16.5}
    patient = "p\\7 \N{HEBREW LETTER ALEF}"
    sample = reading(now, signs, boot=9, seq=1, patient_id=patient, on_oxygen=True, sensor_off=("spo2",))
    send(broker, "vitalflow/vitals/icu-1/bed-1", encode(sample))
    eventually(lambda: db.count() == 1, 20, "one row")
    names = db.rows("SELECT time, device_id, ward, boot, seq, patient_id, status FROM patient_vitals")
    assert names == [(now, "bed-1", "icu-1", 9, 1, patient, "CRITICAL")]
    values = db.rows("SELECT heart_rate, spo2, resp_rate, on_oxygen, consciousness, sensor_off FROM patient_vitals")
    assert values == [(131.0, None, 16.5, True, None, ["spo2"])]
    assert ingest.stop() == 0


def test_a_backlog_is_an_array_and_duplicates_are_stored_once(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db)
    start = datetime.now(UTC)
    backlog = [reading(start + timedelta(seconds=i), {"spo2": 97.0}, boot=9, seq=i + 1) for i in range(100)]
    for _ in range(2):
        send(broker, "vitalflow/vitals/icu-1/bed-1", encode_many(backlog))
    eventually(lambda: ingest.metric("messages_received_total") == 2, 20, "both messages")
    assert db.count() == 100
    assert ingest.metric("readings_duplicate_total") == 100
