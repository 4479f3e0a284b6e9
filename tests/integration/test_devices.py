"""Devices with a real broker: status messages, and readings kept in order while it is unavailable."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from stack.servers import BrokerServer
from tests.fixtures.alerts import MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.fleet import fleet
from tests.support.process import Forked, run_module
from tests.support.servers import Db, eventually


class Listener:
    """A subscriber with a persistent session that records all messages."""

    def __init__(self, port: int, topics: list[str]) -> None:
        self.received: list[tuple[str, Any]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{port}", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics]) and None
        self._client.on_message = self._keep
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        eventually(self._client.is_connected, 20, "the listener connects")

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.received.append((message.topic, msgspec.json.decode(message.payload) if message.payload else None))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int, *topics: str) -> Iterator[Listener]:
    listener = Listener(port, list(topics))
    try:
        yield listener
    finally:
        listener.close()


def devices(broker: BrokerServer, *arguments: str) -> Forked:
    return Forked(["devices", *arguments], os.environ | {"VITALFLOW_MQTT_URL": broker.url})


def output_of(process: Forked, code: int = 0) -> str:
    """Wait until it has ended with this exit code; return what it printed."""
    output = "".join(process.communicate())
    assert process.wait() == code, output
    return output


def test_readings_kept_while_the_broker_was_down_arrive_in_order_and_as_arrays(own_broker: BrokerServer) -> None:
    with listening(own_broker.port, "vitalflow/vitals/#") as listener, fleet(own_broker.url, 20, 5) as running:
        eventually(lambda: running.stats.published > 100, 10, "they publish")
        own_broker.stop()
        eventually(lambda: running.stats.waiting > 200, 10, "readings wait")
        own_broker.start()
        eventually(lambda: any(isinstance(decoded, list) for _, decoded in listener.received), 15, "an array")
        eventually(lambda: running.stats.connected == 20, 15, "all devices are back")
        running.stop()
        assert (running.stats.waiting, running.stats.dropped) == (0, 0)
        acknowledged = set(running.acknowledged)
        seqs: dict[str, list[int]] = {}
        eventually(lambda: len(names(listener)) >= len(acknowledged), 10, "everything that was acknowledged")
        for topic, decoded in listener.received:
            for item in decoded if isinstance(decoded, list) else [decoded]:
                seqs.setdefault(topic.rpartition("/")[2], []).append(item["seq"])
    assert len(seqs) == 20
    for received in seqs.values():
        first_received = list(dict.fromkeys(received))  # redelivery is allowed, reordering is not
        assert first_received == list(range(1, len(first_received) + 1))


def names(listener: Listener) -> set[tuple[str, int]]:
    return {
        (topic, item["seq"])
        for topic, decoded in listener.received
        for item in (decoded if isinstance(decoded, list) else [decoded])
    }


def test_a_device_publishes_online_and_offline_and_its_will_reports_a_killed_one(own_broker: BrokerServer) -> None:
    with listening(own_broker.port, "vitalflow/status/#") as listener:
        for number, message in ((signal.SIGTERM, "offline status"), (signal.SIGKILL, "will")):
            listener.received.clear()
            process = devices(own_broker, "simulate", "--count", "2", "--ward", "icu-9", "--seed", "7")
            eventually(lambda: len(listener.received) == 2, 10, "the online status of both")
            for _, decoded in listener.received:
                assert decoded["state"] == "online"
                assert decoded["interval_s"] == 1
            boots = {topic: decoded["boot"] for topic, decoded in listener.received}
            assert boots.keys() == {"vitalflow/status/icu-9/icu-9-bed-01", "vitalflow/status/icu-9/icu-9-bed-02"}
            process.send_signal(number)
            process.communicate(timeout=15)
            eventually(lambda: len(listener.received) == 4, 10, f"the {message} of both")
            assert {(topic, decoded["boot"]) for topic, decoded in listener.received[2:]} == set(boots.items())
            assert {decoded["state"] for _, decoded in listener.received[2:]} == {"offline"}


def test_a_replayed_recording_is_stored_row_by_row_and_its_gaps_are_null(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest, tmp_path: Path
) -> None:
    # The format of the BIDMC dataset: NaN if a sensor was off.
    lines = ["Time [s], HR, PULSE, RESP, SpO2"]
    lines += [f"{i},{80 + i % 5},{81 + i % 5},{15 if i % 3 else 0},{'NaN' if i % 4 == 0 else 97}" for i in range(60)]
    lines[11] = "10,NaN,77,16,98"
    recording = tmp_path / "bidmc_99_Numerics.csv"
    recording.write_text("\n".join(lines) + "\n")
    make_ingest(broker.url, db)
    process = devices(broker, "replay", str(recording), "--speed", "60", "--ward", "icu-9")
    output_of(process)
    eventually(lambda: db.count() == 60, 10, "60 rows")
    rows = db.rows("SELECT heart_rate, resp_rate, spo2, sensor_off FROM patient_vitals ORDER BY time")
    for i, (heart_rate, resp_rate, spo2, off) in enumerate(rows):
        if i == 10:
            assert (heart_rate, resp_rate, spo2, off) == (77, 16, 98, []), "PULSE if HR is missing"
            continue
        assert heart_rate == 80 + i % 5
        assert resp_rate == (15 if i % 3 else 0), "an apnoea: the ECG is connected"
        assert spo2 == (None if i % 4 == 0 else 97)
        assert isinstance(off, list)
        assert off == ["spo2"] * (i % 4 == 0)
    seconds = db.one("SELECT extract(epoch FROM max(time) - min(time)) FROM patient_vitals")
    assert float(str(seconds)) == 59


def recording(folder: Path, seconds: int) -> Path:
    """Write a recording with a row per second and an episode of low saturation."""
    rows = [f"{i},{80 + i % 5},{70 if 20 <= i < 50 else 97}" for i in range(seconds)]
    path = folder / "own-1.csv"
    path.write_text("\n".join(["seconds,HR,SpO2", *rows]) + "\n")
    return path


def test_a_quick_replay_waits_for_its_receipts_and_leaves_without_an_alert(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, make_alerts: MakeAlerts, tmp_path: Path
) -> None:
    make_ingest(own_broker.url, db)
    alerts = make_alerts(own_broker.url, start=False)
    # Receipts for 7,200 readings may take longer than 3 s on a busy machine.
    alerts.rules.write_text(alerts.rules.read_text().replace("for_s = 3\n", "for_s = 15\n"))
    alerts.start()
    with listening(own_broker.port, "vitalflow/alerts/#", "vitalflow/status/#") as listener:
        process = devices(own_broker, "replay", str(recording(tmp_path, 7200)), "--speed", "1e6")
        output = output_of(process)
        assert "7200 readings published, 0 unsent, 0 dropped, 7200 stored, 0 unconfirmed" in output
        assert "hardly any alarm; with --as-live" in output
        assert db.count() == 7200
        eventually(lambda: listener.received[-1] == ("vitalflow/status/icu-1/own-1", None), 10, "no retained status")
        eventually(lambda: db.one("SELECT state FROM device") == "forgotten", 10, "the end of the device")
        time.sleep(2)  # what must not come
        assert [
            topic for topic, decoded in listener.received if topic.startswith("vitalflow/alerts/") and decoded
        ] == []


def test_a_replay_as_live_has_the_times_of_its_sending_and_raises_alarms(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, make_alerts: MakeAlerts, tmp_path: Path
) -> None:
    make_ingest(own_broker.url, db)
    make_alerts(own_broker.url)
    with listening(own_broker.port, "vitalflow/alerts/#") as listener:
        process = devices(own_broker, "replay", str(recording(tmp_path, 60)), "--speed", "10", "--as-live")
        output = output_of(process)
        assert "hardly any alarm" not in output
        eventually(lambda: db.count() == 60, 10, "60 rows")
        assert int(str(db.one("SELECT max(abs(arrival_lag_ms)) FROM patient_vitals"))) < 2000
        raised = {decoded["rule"] for _, decoded in listener.received if decoded and decoded["change"] == "raised"}
        assert raised == {"spo2-low"}
        eventually(lambda: listener.received[-1][1]["state"] == "cleared", 10, "the end of the alert with its device")


def test_without_ingest_a_replay_reports_nothing_confirmed(own_broker: BrokerServer, tmp_path: Path) -> None:
    process = devices(own_broker, "replay", str(recording(tmp_path, 4000)), "--speed", "1e6")
    output = output_of(process)
    assert "4000 readings published, 0 unsent, 0 dropped, no receipts" in output


def test_a_device_that_may_not_publish_ends_with_an_error_that_names_topic_and_command(
    shared_secured: Secured, tmp_path: Path
) -> None:
    path, environment = recording(tmp_path, 10), os.environ | shared_secured.settings("grace")
    for arguments in (["replay", str(path), "--speed", "1e6"], ["simulate", "--count", "2", "--seconds", "20"]):
        result = run_module("devices", *arguments, environ=environment)
        assert result.returncode == 2, result.stdout
        assert "does not permit this user to publish on vitalflow/status/icu-1/" in result.stderr
        assert "Not authorized; 0 readings were published" in result.stderr
        assert "devices enroll" in result.stderr
        assert result.stderr.count("\n") == 1
