"""`vitalflow devices doctor` on a real broker and ingest: each fault of a device has its finding."""

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devices.doctor import Report, examine
from devices.settings import DoctorSettings
from mqtt.endpoint import configure_client, session_id
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.process import run_module
from tests.support.servers import Db, eventually

OBSERVED_S = 8.0


def settings(secured: Secured, db: Db) -> dict[str, str]:
    return secured.settings("grace") | {"VITALFLOW_READER_URL": db.reader_url}


def device(secured: Secured, name: str, password: str = "") -> mqtt.Client:
    """A device of MQTT 3.1.1 that connects as it was enrolled, but for its password if one is given."""
    right = f"word-of-{name}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, session_id(name, right.encode()), protocol=mqtt.MQTTv311)
    broker = secured.broker(name, password or right)
    configure_client(client, broker)
    client.reconnect_delay_set(60, 60)
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client


def send(client: mqtt.Client, topic: str, content: Callable[[str], Any], ahead_s: float = 0) -> None:
    """Publish one message a second for as long as the observation; each is acknowledged."""
    for _ in range(int(OBSERVED_S)):
        stamp = (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat()
        made = content(stamp)
        payload = made if isinstance(made, str) else json.dumps(made)
        info = client.publish(f"vitalflow/vitals/{topic}", payload, qos=1)
        info.wait_for_publish(5)
        assert info.is_published()
        time.sleep(0.8)
    client.disconnect()
    client.loop_stop()


def test_each_fault_of_a_device_has_its_finding(own_secured: Secured, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    names = ("right", "typo", "password", "payload", "ahead", "stranger", "earlier")
    for name in names:
        own_secured.enroll(name, "icu-1", f"word-of-{name}")
    # One that is connected before the doctor observes, and refused before.
    refused = device(own_secured, "earlier", "wrong")
    eventually(lambda: ingest.metric("logins_refused_total") == 1, 10, "a refused login")
    refused.loop_stop()
    given = DoctorSettings.read(settings(own_secured, db))
    ready = threading.Barrier(len(names) + 1)

    def observe(name: str) -> Report:
        lines: list[str] = []

        def emit(line: str) -> None:
            if not lines:
                ready.wait(20)
            lines.append(line)

        return examine(given, name, OBSERVED_S, emit)

    with ThreadPoolExecutor(20) as threads:
        reports = {name: threads.submit(observe, name) for name in names}
        ready.wait(20)
        sent = [
            threads.submit(send, device(own_secured, "right"), "icu-1/right", lambda at: {"time": at, "spo2": 98}),
            threads.submit(send, device(own_secured, "typo"), "icu-01/typo", lambda at: {"time": at, "spo2": 98}),
            threads.submit(send, device(own_secured, "payload"), "icu-1/payload", lambda at: f"{at} spo2=98"),
            threads.submit(send, device(own_secured, "ahead"), "icu-1/ahead", lambda at: {"time": at, "spo2": 98}, 90),
            threads.submit(
                send, device(own_secured, "stranger"), "icu-1/stranger", lambda at: {"time": at, "HR": 72, "pleth": 1}
            ),
        ]
        wrong_password = device(own_secured, "password", "wrong")
        for future in sent:
            future.result()
        found = {
            name: "\n".join(f"{f.severity}: {f.text}; {f.advice}" for f in report.result().findings)
            for name, report in reports.items()
        }
        wrong_password.loop_stop()
    assert found["right"] == ""
    assert "no reading has arrived since" in found["typo"]
    assert "publish to exactly vitalflow/vitals/icu-1/typo" in found["typo"]
    assert "the client id is right, so user or password is wrong" in found["password"]
    assert "the client id is right, so user or password is wrong" in found["earlier"]
    assert "not_json" in found["payload"]
    assert "its clock is 90 s ahead" in found["ahead"] or "its clock is 89 s ahead" in found["ahead"]
    assert "WRONG: the key 'HR' is unknown, so its value is not stored" in found["stranger"]
    assert "the key 'pleth' is unknown" in found["stranger"]
    assert reports["right"].result().rejected == []
    assert any("not_json" in line for line in reports["payload"].result().rejected)


def test_the_command_prints_findings_and_exits_with_1(own_secured: Secured, db: Db) -> None:
    environment = {**os.environ, **settings(own_secured, db)}
    ended = run_module("devices", "doctor", "bed-7", "--seconds", "1", environ=environment)
    assert ended.returncode == 1, ended.stderr
    assert "WRONG: the broker has no user 'bed-7'; similar names: bed-9, bed-2, bed-1" in ended.stdout
    assert "vitalflow devices enroll bed-7 --ward WARD" in ended.stdout


def test_a_person_of_another_ward_gets_a_sentence(own_secured: Secured, db: Db) -> None:
    environment = {**os.environ, **settings(own_secured, db), "VITALFLOW_MQTT_URL": own_secured.url_of("ada")}
    ended = run_module("devices", "doctor", "bed-9", "--seconds", "1", environ=environment)
    assert ended.returncode == 2
    assert "the user of VITALFLOW_MQTT_URL may not read vitalflow/vitals/icu-2/bed-9" in ended.stderr
