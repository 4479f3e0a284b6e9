"""`vitalflow edges mqtt run`: messages of a foreign broker become rows, each once, also after kills."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bench.proxy import Proxy
from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.edge import EdgesProcess
from tests.support.servers import Db, eventually

SITE = """
zone = "UTC"
[[place]]
ward = "home"
device = "kitchen"
equipment = "kitchen"
[[place]]
ward = "home"
device = "ring-1"
equipment = "r-1"
[[mqtt]]
name = "smart-home"
url = "{url}"
mappings = ["esphome", "ring"]
[[mapping]]
name = "ring"
topic = "rings/{{ring}}"
time = "/at"
value = [{{ sign = "spo2", pointer = "/spo2", unit = "%" }}]
"""

MakeEdge = Callable[[], EdgesProcess]


@pytest.fixture
def foreign(own_broker: BrokerServer) -> Iterator[mqtt.Client]:
    """A client of the foreign broker."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", own_broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def mqtt_edge(broker: BrokerServer, own_broker: BrokerServer, tmp_path: Path) -> Iterator[EdgesProcess]:
    """The edge between the foreign broker and ours."""
    site = tmp_path / "site.toml"
    site.write_text(SITE.format(url=own_broker.url))
    environment = {"VITALFLOW_MQTT_URL": broker.url}
    with EdgesProcess(["mqtt", "run"], environment, site, tmp_path / "inbox.db", tmp_path / "edge.log") as edge:
        yield edge


def publish(client: mqtt.Client, topic: str, payload: object, *, retain: bool = False) -> None:
    content = payload if isinstance(payload, (str, bytes)) else json.dumps(payload)
    client.publish(topic, content, qos=1, retain=retain).wait_for_publish(30)


def subscribed(edge: EdgesProcess, own_broker: BrokerServer) -> bool:
    return f"connected to the broker at mqtt://127.0.0.1:{own_broker.port}" in edge.said()


def test_a_bare_number_and_an_object_bring_their_beds_and_the_rest_is_listed(
    own_broker: BrokerServer,
    mqtt_edge: EdgesProcess,
    foreign: mqtt.Client,
    db: Db,
    make_ingest: MakeIngest,
    broker: BrokerServer,
    tmp_path: Path,
) -> None:
    make_ingest(broker.url, db)
    publish(foreign, "esphome/kitchen/sensor/spo2/state", "88", retain=True)  # of an unknown time
    mqtt_edge.start()
    eventually(lambda: mqtt_edge.metric("observations_total", reason="no_time") == 1, 30, "the kept message is seen")
    at = datetime.now(UTC).replace(microsecond=0)
    publish(foreign, "esphome/kitchen/sensor/heart_rate/state", "72.5")
    for _ in range(2):
        publish(foreign, "rings/r-1", {"at": at.isoformat(), "spo2": 97, "battery": 80})
    publish(foreign, "rings/r-1", "{")
    publish(foreign, "rings/r-9", {"at": at.isoformat(), "spo2": 96})
    eventually(lambda: db.count() == 2, 30, "two rows")
    assert db.rows("SELECT device_id, heart_rate, spo2 FROM patient_vitals ORDER BY device_id") == [
        ("kitchen", 72.5, None),
        ("ring-1", None, 97.0),
    ]
    eventually(lambda: mqtt_edge.metric("messages_total", answer="unreadable") == 1, 30, "the unreadable message")
    assert mqtt_edge.metric("messages_total", answer="repeated") == 1
    assert mqtt_edge.metric("readings_unplaced") == 1
    with sqlite3.connect(tmp_path / "inbox.db") as inbox:
        unused = inbox.execute("SELECT code, reason FROM unused ORDER BY code").fetchall()
    assert ("rings/r-1", "unreadable") in unused
    assert any(code.startswith("/battery") and reason == "unmapped" for code, reason in unused)


def test_each_message_is_stored_once_although_the_edge_is_killed(
    own_broker: BrokerServer,
    mqtt_edge: EdgesProcess,
    foreign: mqtt.Client,
    db: Db,
    make_ingest: MakeIngest,
    broker: BrokerServer,
) -> None:
    make_ingest(broker.url, db, ingest_receipt_every_s=1)
    mqtt_edge.start()
    eventually(lambda: subscribed(mqtt_edge, own_broker), 30, "the subscription")
    publish(foreign, "esphome/kitchen/sensor/heart_rate/state", "50")
    eventually(lambda: db.count() == 1, 30, "the first row")
    sent = 1
    for _ in range(3):
        for _ in range(60):
            publish(foreign, "esphome/kitchen/sensor/heart_rate/state", f"{50 + sent / 100:g}")
            sent += 1
            time.sleep(0.002)
        mqtt_edge.kill()
        for _ in range(20):
            publish(foreign, "esphome/kitchen/sensor/heart_rate/state", f"{50 + sent / 100:g}")
            sent += 1
        mqtt_edge.start()
    eventually(lambda: db.count() >= sent, 60, f"{sent} rows")
    eventually(lambda: mqtt_edge.metric("readings_waiting") == 0, 60, "all receipts")
    values = Counter(float(str(value)) for (value,) in db.rows("SELECT heart_rate FROM patient_vitals"))
    assert sorted(values) == [round(50 + number / 100, 2) for number in range(sent)]
    assert set(values.values()) == {1}


def test_messages_whose_acknowledgement_is_lost_are_redelivered_and_not_stored_again(
    own_broker: BrokerServer,
    mqtt_edge: EdgesProcess,
    foreign: mqtt.Client,
    broker: BrokerServer,
    tmp_path: Path,
) -> None:
    proxy = Proxy(own_broker.port).start()
    (tmp_path / "site.toml").write_text(SITE.format(url=f"mqtt://127.0.0.1:{proxy.port}"))
    try:
        mqtt_edge.start()
        eventually(lambda: mqtt_edge.metric("source_connected", source="smart-home") == 1, 30, "the subscription")
        publish(foreign, "esphome/kitchen/sensor/heart_rate/state", "50")
        eventually(lambda: mqtt_edge.metric("messages_total", answer="accepted") == 1, 30, "the first message")
        proxy.stall_client()
        for number in range(10):
            publish(foreign, "esphome/kitchen/sensor/heart_rate/state", f"{60 + number}")
        eventually(lambda: mqtt_edge.metric("messages_total", answer="accepted") == 11, 30, "all are kept")
        mqtt_edge.kill()
        proxy.cut()  # with the acknowledgements
        proxy.heal()
        mqtt_edge.start()
        eventually(lambda: mqtt_edge.metric("messages_total", answer="repeated") == 10, 30, "all are redelivered")
        publish(foreign, "esphome/kitchen/sensor/heart_rate/state", "80")
        eventually(lambda: mqtt_edge.metric("messages_total", answer="accepted") == 1, 30, "the next message is new")
        with sqlite3.connect(tmp_path / "inbox.db") as inbox:
            assert inbox.execute("SELECT count(*) FROM reading").fetchone() == (12,)
    finally:
        proxy.stop()


def test_a_foreign_broker_that_is_away_is_named_and_connected_later(
    mqtt_edge: EdgesProcess, own_broker: BrokerServer
) -> None:
    own_broker.stop()
    mqtt_edge.start(wait=False)
    eventually(lambda: "waiting for the broker at" in mqtt_edge.said(), 30, "the log names the broker")
    eventually(lambda: "it cannot be reached" in str(mqtt_edge.health()), 30, "/healthz names the broker")
    own_broker.start()
    eventually(lambda: subscribed(mqtt_edge, own_broker), 60, "it connects")
