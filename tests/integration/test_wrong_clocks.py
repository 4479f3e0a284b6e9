"""The views of the present show what arrives, whatever the device's clock, numbering and message layout."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually

TOPIC = "vitalflow/vitals/icu-1/foreign"


@contextmanager
def device(broker: BrokerServer) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def send(client: mqtt.Client, ahead_s: float = 0, *, whole_seconds: bool = False, **fields: Any) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=ahead_s)
    if whole_seconds:
        moment = moment.replace(microsecond=0)
    client.publish(TOPIC, json.dumps({"time": moment.isoformat(), **fields}), qos=1).wait_for_publish(5)


def test_one_message_per_sign_of_the_same_second_is_stored_and_shown_whole(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    with device(broker) as client:
        for _ in range(3):
            for fields in ({"heart_rate": 80}, {"spo2": 70}, {"resp_rate": 16}):
                send(client, whole_seconds=True, **fields)
            time.sleep(1)
    eventually(lambda: db.count() == 9, 10, "9 rows")
    assert db.one("SELECT count(*) FROM device_gap") == 0
    row = "SELECT heart_rate, spo2, resp_rate, status FROM ward_now"
    assert db.rows(row) == [(80.0, 70.0, 16.0, "CRITICAL")]
    assert db.one("SELECT spo2 FROM ward_board") == 70


def test_different_readings_with_one_number_are_rows_of_their_own(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    """A device may number its moments and send each sign by sign, or never count on; and two devices have one name."""
    ingest = make_ingest(broker.url, db)
    moment = datetime.now(UTC).replace(microsecond=0)
    values: tuple[dict[str, Any], ...] = ({"heart_rate": 80}, {"spo2": 70}, {"spo2": 71, "patient_id": "p-1"})
    messages = [
        json.dumps({"time": (moment + timedelta(seconds=second)).isoformat(), "boot": 7, "seq": 5, **fields})
        for second in range(3)
        for fields in values
    ]
    with device(broker) as client:
        for sent, message in enumerate(messages + messages):
            if sent % 4 == 0:  # with the first one in its batch, or in a later one
                time.sleep(0.5)
            client.publish(TOPIC, message, qos=1).wait_for_publish(5)
    eventually(lambda: ingest.metric("messages_received_total") == 18, 10, "18 messages")
    eventually(lambda: ingest.metric("readings_duplicate_total") == 9, 10, "9 duplicates")
    assert db.count() == 9
    assert db.rows("SELECT heart_rate, spo2, patient_id FROM patient_vitals WHERE time = %s ORDER BY 1, 2", moment) == [
        (80.0, None, None),
        (None, 70.0, None),
        (None, 71.0, "p-1"),
    ]
    assert db.one("SELECT count(*) FROM patient_vitals WHERE seq = 5") == 3


def test_a_device_whose_values_are_never_usable_is_not_normal(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    with device(broker) as client:
        for number in (1, 2, 3):
            send(client, boot=7, seq=number, spo2="--", heart_rate="n/a")
    eventually(lambda: db.count() == 3, 10, "three rows")
    assert db.rows("SELECT status, condition FROM ward_now JOIN ward_condition USING (device_id)") == [
        (None, "WAITING")
    ]


def test_the_same_message_twice_is_one_row(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(broker.url, db)
    payload = json.dumps({"time": datetime.now(UTC).isoformat(), "spo2": 97})
    with device(broker) as client:
        for _ in range(2):
            client.publish(TOPIC, payload, qos=1).wait_for_publish(5)
    eventually(lambda: ingest.metric("messages_received_total") == 2, 10, "two messages")
    eventually(lambda: ingest.metric("readings_duplicate_total") == 1, 10, "one duplicate")
    assert db.count() == 1


def test_a_clock_that_is_ahead_and_then_right_hides_no_value(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    with device(broker) as client:
        for _ in range(3):
            send(client, ahead_s=60, spo2=98)
            time.sleep(0.5)
        eventually(lambda: db.one("SELECT spo2 FROM ward_board") == 98, 5, "98 % on the board")
        for _ in range(3):
            send(client, spo2=70)
            time.sleep(0.5)
        eventually(lambda: db.one("SELECT spo2 FROM ward_board") == 70, 5, "70 % on the board")
        assert db.one("SELECT condition FROM ward_board") == "CRITICAL"
        assert 0 <= float(str(db.one("SELECT age_s FROM ward_board"))) < 30


def test_a_clock_behind_is_not_silence_and_silence_is_judged_by_arrival(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    for ahead_s in (-90, 60):
        with device(broker) as client:
            for _ in range(6):
                send(client, ahead_s=ahead_s, spo2=98)
                time.sleep(0.5)
        eventually(lambda: db.one("SELECT condition FROM ward_board") == "NORMAL", 5, f"NORMAL at {ahead_s} s")
        assert db.rows("SELECT spo2, news2 FROM ward_board") == [(98.0, 0)]
        eventually(lambda: db.one("SELECT condition FROM ward_board") == "SILENT", 10, f"SILENT at {ahead_s} s")


def test_a_device_that_reconnects_without_a_birth_is_not_offline(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    with device(broker) as client:
        status = json.dumps({"state": "offline", "boot": 1})
        client.publish("vitalflow/status/icu-1/foreign", status, qos=1, retain=True).wait_for_publish(5)
        eventually(lambda: db.rows("SELECT condition FROM ward_board") == [("OFFLINE",)], 10, "OFFLINE")
        for number in (1, 2, 3):
            send(client, spo2=98, boot=1, seq=number)
            time.sleep(0.5)
        eventually(lambda: db.one("SELECT condition FROM ward_board") == "NORMAL", 5, "NORMAL")


def test_a_new_patient_inherits_no_value(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    make_ingest(broker.url, db)
    full: dict[str, Any] = {"heart_rate": 140, "spo2": 84, "resp_rate": 30, "temperature": 34.0, "systolic_bp": 85}
    with device(broker) as client:
        send(client, patient_id="p-1", consciousness="U", on_oxygen=True, **full)
        time.sleep(0.1)
        send(client, patient_id="p-2", heart_rate=70, spo2=98, resp_rate=14)
    eventually(lambda: db.count() == 2, 10, "two rows")
    assert db.rows("SELECT patient_id, total, missing FROM news2_latest") == [
        ("p-2", 0, ["systolic_bp", "temperature", "on_oxygen", "consciousness"])
    ]
    assert db.rows("SELECT systolic_bp, temperature, consciousness, news2 FROM ward_board") == [(None, None, None, 0)]


def test_a_score_of_a_reading_from_a_clock_that_was_ahead_is_as_old_as_its_arrival(db: Db) -> None:
    """The clock was a minute ahead, is right again, and the device is silent since."""
    db.rows(
        "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
        " VALUES (now() - interval '1 second', 'foreign', 1, 1, 'icu-1', 80, 'NORMAL', now() - interval '2 minutes')"
        " RETURNING 1"
    )
    assert db.one("SELECT stale AND age >= interval '2 minutes' FROM news2_latest") is True
    assert db.one("SELECT age >= interval '2 minutes' FROM ward_now") is True


@pytest.mark.parametrize("offset_s", [0, 3600])
def test_after_the_clock_of_the_host_was_set_back_an_hour_no_reading_of_the_past_is_shown(
    db: Db, offset_s: int
) -> None:
    """By the clock that is right now, or that was right until then, the last reading arrived in the future."""
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, arrival_lag_ms)"
            " SELECT now() + make_interval(secs => second - 5 - %(lag)s), 'bed-1', 1, second, 'icu-1', 80, 'NORMAL',"
            " 1000 * %(lag)s FROM generate_series(1, 3600) AS second",
            {"lag": offset_s},
        )
        if offset_s:
            connection.execute(
                "INSERT INTO device_clock VALUES ('bed-1', make_interval(secs => %s), now())", [offset_s]
            )
        board = connection.execute("SELECT condition, heart_rate, age_s, news2 FROM ward_board").fetchall()
        assert board == [("SILENT", None, None, None)]
        assert connection.execute("SELECT age, stale FROM news2_latest").fetchall() == [(None, True)]
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, arrival_lag_ms)"
            " VALUES (now() - interval '1 s', 'bed-1', 1, 4000, 'icu-1', 90, 'NORMAL', 0)"
        )
        connection.execute("DELETE FROM device_clock")
        board = connection.execute("SELECT condition, heart_rate FROM ward_board").fetchall()
    assert board == [("NORMAL", 90) if offset_s else ("SILENT", None)]


def test_of_readings_of_one_time_that_which_arrived_last_is_shown(db: Db) -> None:
    """Of a clock that counts minutes or stands still, on a device without numbers: a digest gives no order."""
    with psycopg.connect(db.owner_url) as connection:
        for second in range(20):
            connection.execute(
                "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, spo2, status, arrival_lag_ms)"
                " VALUES (now() - interval '30 s', 'foreign', 0, hashint8extended(%s, 0), 'icu-1', %s, 'NORMAL', %s)",
                (second, 97 if second < 15 else 70, 10_000 + 1000 * second),
            )
        connection.execute(
            "INSERT INTO device_clock (device_id, clock_offset, changed_at) VALUES ('foreign', '30 s', now())"
        )
        shown = connection.execute(
            "SELECT board.spo2, board.news2, board.age_s, news2_latest.total, ward_now.status"
            " FROM ward_board AS board JOIN news2_latest USING (device_id) JOIN ward_now USING (device_id)"
        ).fetchall()
    assert shown == [(70, 3, 1, 3, "CRITICAL")]


def test_a_bed_whose_clock_is_days_behind_is_on_the_ward_without_a_status(db: Db) -> None:
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO device_clock (device_id, clock_offset, changed_at) VALUES ('foreign', '20 days', now())"
        )
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, spo2, status, received_at)"
            " VALUES (now() - interval '20 days 1 s', 'foreign', 1, 1, 'icu-1', 70, 'CRITICAL', now() - interval '1 s')"
        )
        assert connection.execute("SELECT device_id, condition, age_s FROM ward_board").fetchall() == [
            ("foreign", "CRITICAL", 1)
        ]


def test_a_reading_without_time_of_a_listed_device_gets_the_time_of_its_arrival(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db, arrival_time_devices="icu-1/foreign")
    with device(broker) as client:
        for topic in (TOPIC, "vitalflow/vitals/icu-1/other"):
            client.publish(topic, json.dumps({"spo2": 70}), qos=1).wait_for_publish(5)
        client.publish(TOPIC, json.dumps({"spo2": 71}), qos=1, retain=True).wait_for_publish(5)
    eventually(lambda: ingest.metric("messages_received_total") == 3, 10, "three messages")
    eventually(lambda: db.count() == 2, 10, "two rows")
    assert db.rows("SELECT DISTINCT device_id, arrival_lag_ms FROM patient_vitals") == [("foreign", 0)]
    assert db.rows("SELECT topic, detail LIKE '%VITALFLOW_ARRIVAL_TIME_DEVICES' FROM rejected_message") == [
        ("vitalflow/vitals/icu-1/other", True)
    ]
