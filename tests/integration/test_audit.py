"""The record of what persons did: from MQTT through the real ingest into `audit_event`, once, and for ever."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bench.proxy import Proxy
from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually

ACKS = "vitalflow/alert-commands/icu-1/bed-1/spo2-low"
LIMITS = "vitalflow/limits/icu-1/bed-1"
ASSIGNMENTS = "vitalflow/assignments/icu-1/bed-1"
ENROLMENT = "vitalflow/audit/enrolment"
PAUSE = {"by": "nurse Ada", "action": "pause_audio", "seconds": 60}
QUERY = "SELECT actor, action, ward, device_id, rule, detail FROM audit_event ORDER BY id"


def tell(broker: BrokerServer, topic: str, content: object, *, retain: bool = False, qos: int = 1) -> None:
    """A person's message; None for an empty one."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"person-{uuid.uuid4().hex[:6]}")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    payload = b"" if content is None else json.dumps(content).encode()
    client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_each_action_is_stored_with_its_actor(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(broker.url, db)
    at = "2026-11-23T09:00:00Z"
    tell(broker, ACKS, {"by": "nurse Ada", "action": "acknowledge"})
    tell(broker, f"{ACKS}/ada", {"by": "another user", **PAUSE, "time": at})
    tell(broker, f"{ACKS}/ada", {"action": "resume_audio"}, qos=0)
    tell(broker, LIMITS, {"by": "Dr. Adams", "limits": {"spo2-low": [88, None]}, "spo2_scale": 2}, retain=True)
    tell(broker, LIMITS, None, retain=True)
    tell(broker, LIMITS, None, retain=True)  # revoking the device deletes what is not set
    enrolled = {"time": at, "by": "root@host", "action": "enrol", "name": "bed-9", "kind": "device", "ward": "icu-1"}
    tell(broker, ENROLMENT, enrolled)
    tell(broker, ENROLMENT, {**enrolled, "action": "revoke"})
    admission = {"action": "admit", "time": at, "patient_id": "p-1", "profile": "adult", "by": "another user"}
    tell(broker, "vitalflow/audit/admissions/icu-1/bed-1/ada", admission)
    tell(broker, ASSIGNMENTS, {"patient_id": None, "by": "ada", "time": at}, retain=True)
    eventually(lambda: db.count("audit_event") == 9, 20, "all of it")
    assert db.rows(QUERY) == [
        ("nurse Ada", "acknowledge", "icu-1", "bed-1", "spo2-low", {}),
        ("ada", "pause_audio", "icu-1", "bed-1", "spo2-low", {"seconds": 60.0, "by": "nurse Ada"}),
        ("ada", "resume_audio", "icu-1", "bed-1", "spo2-low", {}),
        ("Dr. Adams", "set_limits", "icu-1", "bed-1", None, {"limits": {"spo2-low": [88.0, None]}, "spo2_scale": 2}),
        (None, "remove_limits", "icu-1", "bed-1", None, {}),
        ("root@host", "enrol", "icu-1", "bed-9", None, {"kind": "device"}),
        ("root@host", "revoke", "icu-1", "bed-9", None, {"kind": "device"}),
        ("ada", "admit", "icu-1", "bed-1", None, {"patient_id": "p-1", "profile": "adult"}),
        ("ada", "discharge_patient", "icu-1", "bed-1", None, {}),
    ]
    said, received = db.rows(
        "SELECT time, received_at FROM audit_event WHERE action IN ('acknowledge', 'enrol') ORDER BY id"
    )
    assert said[0] == said[1], "it does not say when, so it was when it was received"
    assert received[0] == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert isinstance(received[1], datetime)
    assert received[1] > datetime.now(UTC) - timedelta(minutes=1), "whoever lies about the time is found out here"
    assert db.count("bed_limit") == 0, "they were taken away again"
    assert ingest.stop() == 0


def test_a_repeated_message_is_stored_once(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    """Retained limits come at every connection; a change back to earlier ones is a change all the same."""
    one, two = {"by": "A", "limits": {"spo2-low": 88}}, {"by": "B", "limits": {"spo2-low": 90}}
    ingest = make_ingest(broker.url, db)
    for limits in (one, two, one):
        tell(broker, LIMITS, limits, retain=True)
    timed = {**PAUSE, "time": "2026-11-23T09:00:00Z"}
    tell(broker, ACKS, timed)
    tell(broker, ACKS, timed)  # a telephone that sends again
    tell(broker, ACKS, PAUSE)
    tell(broker, ACKS, PAUSE)  # a person who pauses again
    eventually(lambda: db.count("audit_event") == 6, 20, "three limits, one timed pause and two more")
    other = make_ingest(broker.url, db)  # a new session: receives what is retained
    ingest.stop()
    ingest.start()
    eventually(
        lambda: other.metric("messages_received_total") >= 1 <= ingest.metric("messages_received_total"),
        20,
        "redelivered",
    )
    assert [who for (who, *_) in db.rows(QUERY)] == ["A", "B", "A", "nurse Ada", "nurse Ada", "nurse Ada"]
    assert db.rows("SELECT actor, detail FROM bed_limit") == [("A", {"limits": {"spo2-low": 88.0}})]


def test_limits_set_while_ingest_was_down_are_stored_later(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    tell(broker, LIMITS, {"by": "A", "limits": {"spo2-low": 88}}, retain=True)
    first, second = make_ingest(broker.url, db), make_ingest(broker.url, db)
    eventually(
        lambda: first.metric("messages_received_total") >= 1 <= second.metric("messages_received_total"),
        20,
        "both receive it",
    )
    assert [who for (who, *_) in db.rows(QUERY)] == ["A"], "kept, and by one of them"


def test_a_command_committed_but_not_acknowledged_is_stored_once(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    """Ingest dies between COMMIT and PUBACK; the broker delivers again, with DUP and the number that it had."""
    link = Proxy(broker.port).start()
    ingest = make_ingest(f"mqtt://127.0.0.1:{link.port}", db)
    tell(broker, LIMITS, {"by": "A", "limits": {"spo2-low": 88}})
    eventually(lambda: db.count("audit_event") == 1, 20, "the first, which is acknowledged")
    time.sleep(0.5)
    link.stall_client()
    tell(broker, ACKS, PAUSE)
    tell(broker, LIMITS, None)
    eventually(lambda: db.count("audit_event") == 3, 20, "committed")
    ingest.kill()
    link.cut()  # with the acknowledgements
    link.heal()
    ingest.start()
    eventually(lambda: ingest.metric("messages_received_total") >= 2, 20, "they come again")
    tell(broker, ACKS, PAUSE)  # the same words, and another deed
    eventually(lambda: db.count("audit_event") == 4, 20, "one more")
    assert [action for (_, action, *_) in db.rows(QUERY)] == [
        "set_limits", "pause_audio", "remove_limits", "pause_audio",
    ]  # fmt: skip
    assert ingest.stop() == 0
    link.stop()


def test_a_command_waits_for_an_unavailable_database(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    server, db = own_database
    ingest = make_ingest(broker.url, db)
    server.stop()
    tell(broker, ACKS, PAUSE)
    eventually(lambda: "waiting for the database" in ingest.said(), 20, "it says that it waits")
    ingest.kill()
    ingest.start()
    server.start()
    eventually(lambda: db.count("audit_event") == 1, 20, "kept, after a kill and an outage")
    tell(broker, ACKS, PAUSE)
    eventually(lambda: db.count("audit_event") == 2, 20, "and the next one too")


UNREADABLE = [
    (ACKS, "{", "bad_command"),
    (ACKS, '{"action":"acknowledge"}', "bad_command"),
    (ACKS, '{"by":"a\\u0000b","action":"acknowledge"}', "bad_command"),
    (ACKS, '{"by":"' + "x" * 201 + '","action":"acknowledge"}', "bad_command"),
    (ACKS, '{"by":"a","action":"acknowledge","time":"yesterday"}', "bad_command"),
    (LIMITS, '{"by":"a","limits":{"r\\u0000":1}}', "database"),
    (LIMITS, '{"by":"a","limits":' + "[" * 5000 + "]" * 5000 + "}", "bad_command"),
    (ENROLMENT, '{"by":"a","action":"enrol","name":"b","kind":"device"}', "bad_command"),
    ("vitalflow/alert-commands/icu-1", "{}", "bad_topic"),
    ("vitalflow/alert-commands/icu-1/b/r/p/more", "{}", "bad_topic"),
    ("vitalflow/audit/anything", "{}", "bad_topic"),
]


def test_an_invalid_command_is_stored_as_rejected_with_its_reason(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, payload, _ in UNREADABLE:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    eventually(lambda: db.count("rejected_message") == len(UNREADABLE), 20, "all of them")
    kept = db.rows("SELECT topic, convert_from(payload, 'UTF8'), reason FROM rejected_message")
    assert sorted(kept) == sorted(UNREADABLE)
    assert db.count("audit_event") == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'me'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
def test_the_audit_log_is_append_only(db: Db, statement: str) -> None:
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO audit_event (time, received_at, actor, action, detail, topic, payload_sha256)"
            " VALUES (now(), now(), 'ada', 'acknowledge', '{}', 't', '')"
        )
    for url in (db.ingest_url, db.reader_url, db.owner_url):
        with psycopg.connect(url) as connection:
            if url == db.reader_url:
                connection.execute("SET default_transaction_read_only = off")
                connection.commit()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    with psycopg.connect(db.reader_url) as reader:
        assert reader.execute("SELECT actor FROM audit_event").fetchall() == [("ada",)]
