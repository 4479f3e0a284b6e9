"""Ingest when its environment fails: it logs a sentence, retries or exits, and never shows a traceback."""

import subprocess
import time
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.publish import single

from mqtt.service_status import ServiceStatus, decode_service_status, encode_service_status
from stack.servers import OWNER, BrokerServer, DatabaseServer, ensure_database, free_port
from tests.fixtures.ingest import MakeIngest
from tests.support.process import environ_of, run_module
from tests.support.servers import Db, db_of, eventually, logins, serving
from vitals.codec import encode
from vitals.reading import reading


def send(port: int, topic: str, payload: bytes, retain: bool = False) -> None:
    single(topic, payload, qos=1, retain=retain, hostname="127.0.0.1", port=port)


def a_reading(seq: int = 1) -> bytes:
    return encode(reading(datetime.now(UTC), {"spo2": 97.0}, boot=1, seq=seq))


def run(**settings: str) -> subprocess.CompletedProcess[str]:
    return run_module("ingest", environ=environ_of(**settings))


def retained_status(port: int, topic: str) -> ServiceStatus | None:
    """Return the service status that is retained on a topic."""
    received: list[ServiceStatus | None] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(topic) and None

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        received.append(decode_service_status(bytes(message.payload)))

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    deadline = time.monotonic() + 3
    while not received and time.monotonic() < deadline:
        time.sleep(0.02)
    client.disconnect()
    client.loop_stop()
    return received[0] if received else None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "VITALFLOW_INGEST_URL is not set; see .env.example"),
        ({"INGEST_URL": "postgresql://u:s3cret@127.0.0.1/d", "INGEST_RECEIVE_MAXIMUM": "10"}, "must be at least 2000"),
        ({"INGEST_URL": "nonsense"}, "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ({"INGEST_URL_FILE": "/nowhere/url"}, "'/nowhere/url', which cannot be read: No such file or directory"),
    ],
)
def test_a_bad_setting_is_one_sentence_and_exit_code_2(settings: dict[str, str], sentence: str) -> None:
    result = run(**settings)
    assert result.returncode == 2
    assert result.stderr.startswith("vitalflow ingest: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.stderr


def test_a_metrics_port_in_use_is_reported(broker: BrokerServer) -> None:
    result = run(INGEST_URL="postgresql://u:p@127.0.0.1/d", INGEST_METRICS_PORT=str(broker.port))
    assert result.returncode == 2
    assert f"cannot serve /metrics on 127.0.0.1:{broker.port}: Address already in use" in result.stderr


def test_a_broker_configuration_that_loses_data_is_logged_with_the_line_to_write(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest, tmp_path: Any
) -> None:
    conf = tmp_path / "mosquitto.conf"
    conf.write_text("listener 1883\n")
    ingest = make_ingest(broker.url, db, ingest_broker_conf=conf)
    assert "persistence is off" in ingest.said()
    assert "write: autosave_interval 10" in ingest.said()
    assert ingest.stop() == 0


def test_it_waits_for_a_broker_that_is_not_running_yet_and_logs_its_address(
    binaries: Any, run_name: str, tmp_path: Any, db: Db, make_ingest: MakeIngest
) -> None:
    port = free_port()
    ingest = make_ingest(f"mqtt://127.0.0.1:{port}", db, start=False).start(wait=False)
    eventually(lambda: f"waiting for the broker at mqtt://127.0.0.1:{port}: " in ingest.said(), 10, "a sentence")
    late = BrokerServer(binaries, f"{run_name}-late", port, tmp_path / "late.log")
    with serving(binaries, late):
        eventually(lambda: "connected to the broker" in ingest.said(), 15, "a connection")
        send(port, "vitalflow/vitals/w/d", a_reading())
        eventually(lambda: db.count() == 1, 20, "a row")
        assert ingest.stop() == 0
        assert "Traceback" not in ingest.said()


def test_a_wrong_database_password_is_logged_and_loses_nothing(
    broker: BrokerServer, database: DatabaseServer, db: Db, make_ingest: MakeIngest
) -> None:
    name = db.owner_url.rpartition("/")[2]
    wrong = Db(db.owner_url, database.url(name, "vitalflow_ingest", "wr0ng"), db.reader_url, db.names_url)
    ingest = make_ingest(broker.url, wrong)
    send(broker.port, "vitalflow/vitals/w/d", a_reading())
    waiting = "waiting for the database at postgresql://vitalflow_ingest@127.0.0.1"
    eventually(lambda: waiting in ingest.said(), 30, "a sentence")
    assert "password authentication failed" in ingest.said()
    assert "wr0ng" not in ingest.said()
    assert "Traceback" not in ingest.said()
    ingest.kill()
    ingest.environment["VITALFLOW_INGEST_URL"] = db.ingest_url
    ingest.start()
    eventually(lambda: db.count() == 1, 20, "the reading, which the broker kept")


def test_with_a_database_that_is_not_migrated_it_retries_and_names_the_command(
    broker: BrokerServer, database: DatabaseServer, db: Db, make_ingest: MakeIngest
) -> None:
    from sql.migrate import connect, migrate

    name = "not_migrated_yet"
    ensure_database(database.url("postgres"), name)
    empty = db_of(database, name)
    ingest = make_ingest(broker.url, empty)
    send(broker.port, "vitalflow/vitals/w/d", a_reading())
    eventually(lambda: "run: vitalflow db migrate" in ingest.said(), 10, "a sentence")
    with connect(empty.owner_url) as connection:
        migrate(connection, {}, lambda _: None)
    eventually(lambda: empty.count() == 1, 10, "the reading, with no restart")
    assert ingest.stop() == 0


def test_on_a_server_without_its_login_it_retries_and_names_the_command(
    broker: BrokerServer, binaries: Any, run_name: str, tmp_path: Any, make_ingest: MakeIngest
) -> None:
    from sql.migrate import connect, migrate

    server = DatabaseServer(binaries, f"{run_name}-new", free_port(), tmp_path / "new.log")
    server.start()
    try:
        ensure_database(server.url("postgres"), OWNER)
        new = db_of(server, OWNER)
        ingest = make_ingest(broker.url, new)
        assert ingest.metric("mqtt_connected") == 1
        send(broker.port, "vitalflow/vitals/w/d", a_reading())
        eventually(lambda: "create its logins with: vitalflow db migrate" in ingest.said(), 10, "a sentence")
        assert ingest.metric("database_blocked") == 1
        with connect(new.owner_url) as connection:
            migrate(connection, logins(server, OWNER), lambda _: None)
        eventually(lambda: new.count() == 1, 10, "the reading, with no restart")
        eventually(lambda: ingest.metric("database_blocked") == 0, 5, "that it no longer waits")
        assert ingest.stop() == 0
    finally:
        server.stop()
        binaries.remove(server.folder.parent)


def test_sigterm_while_the_database_is_down_exits_within_5_s_and_loses_nothing(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    server, db = own_database
    ingest = make_ingest(broker.url, db)
    server.stop_at_once()
    for seq in range(1, 51):
        send(broker.port, "vitalflow/vitals/w/d", a_reading(seq))
    eventually(lambda: ingest.metric("inflight_messages") == 50, 20, "fifty messages in flight")
    started = time.monotonic()
    assert ingest.stop() == 0
    assert time.monotonic() - started < 5
    assert "the broker keeps 50 unacknowledged messages" in ingest.said()
    server.start()
    ingest.start()
    eventually(lambda: db.count() == 50, 10, "fifty rows")


def test_sigterm_stores_and_acknowledges_the_open_batch_and_publishes_offline(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db, ingest_linger_s=10)
    topic = f"vitalflow/services/{ingest.client_id}"
    online = retained_status(broker.port, topic)
    assert online is not None
    assert online.state == "online"
    for seq in range(1, 6):
        send(broker.port, "vitalflow/vitals/w/d", a_reading(seq))
    eventually(lambda: ingest.metric("inflight_messages") == 5, 20, "five messages in the open batch")
    assert db.count() == 0
    assert ingest.stop() == 0
    assert db.count() == 5

    def is_offline() -> bool:  # a busy broker reads the subscription of this test before the last packets of ingest
        found = retained_status(broker.port, topic)
        return found is not None and (found.state, found.boot) == ("offline", online.boot)

    eventually(is_offline, 10, "its offline status")
    ingest.start()
    time.sleep(1)
    assert ingest.metric("messages_received_total") == 0, "they were acknowledged, so they are not redelivered"


def test_a_second_instance_is_rejected_and_the_first_continues(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    first = make_ingest(broker.url, db)
    second = make_ingest(broker.url, db, start=False, ingest_client_id=first.client_id).start(wait=False)
    assert second.process is not None
    assert second.process.wait(20) == 2
    assert f"an ingest with the client id '{first.client_id}' is already running (process" in second.said()
    send(broker.port, "vitalflow/vitals/w/d", a_reading())
    eventually(lambda: db.count() == 1, 20, "the first one still stores")
    assert first.said().count("connected to the broker") == 1


def test_a_service_status_without_heartbeat_is_stale(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    # As after a power failure of broker and ingest: the retained status is "online", but no ingest runs.
    # The clock of its host was a minute ahead: the next instance is later all the same.
    stale = ServiceStatus(state="online", boot=time.time_ns() + 60 * 10**9, host="gone", pid=1)
    send(broker.port, "vitalflow/services/stale", encode_service_status(stale), retain=True)
    ingest = make_ingest(broker.url, db, start=False, ingest_client_id="stale").start(wait=False)
    eventually(
        lambda: "process 1 on gone held this session last; waiting for its heartbeat" in ingest.said(), 10, "a sentence"
    )
    started = time.monotonic()
    assert ingest.stop() == 0, "SIGTERM ends it while it waits"
    assert time.monotonic() - started < 5
    ingest.start()
    assert ingest.stop() == 0


def test_an_instance_whose_session_a_later_one_took_over_logs_it_and_exits(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db)
    later = ServiceStatus(state="online", boot=time.time_ns() + 10**9, host="elsewhere", pid=4711)
    send(broker.port, f"vitalflow/services/{ingest.client_id}", encode_service_status(later))
    assert ingest.process is not None
    assert ingest.process.wait(10) == 2
    assert "(process 4711 on elsewhere) started after this one and took over the session" in ingest.said()


def test_after_a_restart_of_the_broker_its_queued_readings_are_stored(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(own_broker.url, db)
    for seq in range(1, 4):
        send(own_broker.port, "vitalflow/vitals/w/d", a_reading(seq))
        eventually(lambda seq=seq: db.count() == seq, 20, "a row")  # type: ignore[misc]
        own_broker.stop()
        own_broker.start()
        connections = seq + 1
        eventually(
            lambda number=connections: ingest.metric("mqtt_connections_total") == number,  # type: ignore[misc]
            15,
            "a connection",
        )
    assert "the broker lost the session" not in ingest.said()
    assert ingest.stop() == 0


def test_the_last_status_of_a_device_is_stored(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    make_ingest(broker.url, db)
    for payload in (
        b'{"state":"online","boot":100,"interval_s":1,"model":"Monitor 3"}',
        b'{"state":"online","boot":200,"interval_s":1,"model":"Monitor 3"}',
        b'{"state":"offline","boot":100}',  # the will of the previous connection
    ):
        send(broker.port, "vitalflow/status/icu-1/bed-1", payload, retain=True)
    send(broker.port, "vitalflow/vitals/icu-1/bed-1", a_reading())
    eventually(lambda: db.count() == 1, 20, "the reading that was sent after them")
    query = "SELECT ward, state, boot, interval_s, model FROM device WHERE device_id = 'bed-1'"
    assert db.rows(query) == [("icu-1", "online", 200, 1.0, "Monitor 3")]
    send(broker.port, "vitalflow/status/icu-1/bed-1", b'{"state":"offline","boot":200}', retain=True)
    eventually(lambda: db.rows(query)[0][1:3] == ("offline", 200), 20, "offline")
