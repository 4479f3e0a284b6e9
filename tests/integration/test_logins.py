"""What the broker's own log shows reaches ingest: refused logins and devices of which no reading arrives."""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import configure_client, session_id
from mqtt.logins import LoginReport, decode_login_report
from mqtt.one_shot import connect_once
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.servers import Db, eventually


def log_in(secured: Secured, user: str, password: str) -> None:
    """Try to log in once, with the client id of the enrolled device."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, session_id(user, f"word-of-{user}".encode()))
    configure_client(client, secured.broker(user, password))
    broker = secured.broker()
    answered = threading.Event()
    client.on_connect = lambda *_: answered.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert answered.wait(10)
    client.disconnect()
    client.loop_stop()


def report(secured: Secured, service: str) -> LoginReport:
    with connect_once(secured.broker("admin"), [(f"vitalflow/services/{service}/logins", 1)]) as client:
        while (message := client.next(0.5)) is not None:
            if message.topic:
                found = decode_login_report(message.payload)
                assert found is not None
                return found
    return LoginReport()


def test_refused_logins_are_counted_logged_and_reported(
    own_secured: Secured, db: Db, make_ingest: MakeIngest, tmp_path: Path
) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    for _ in range(3):
        log_in(own_secured, "bed-1", "wrong")
    eventually(lambda: ingest.metric("logins_refused_total") == 3, 10, "three refused logins")
    client_id = session_id("bed-1", b"word-of-bed-1")
    assert ingest.said().count(f"the broker refused a login with the client id '{client_id}'") == 1
    eventually(lambda: [login.count for login in report(own_secured, "ingest").refused] == [3], 10, "the report")
    # A new process continues with it.
    assert ingest.stop() == 0
    ingest.start()
    log_in(own_secured, "bed-1", "wrong")
    eventually(lambda: [login.count for login in report(own_secured, "ingest").refused] == [4], 10, "the report")


def test_connections_that_fail_in_tls_are_counted_and_logged_with_what_to_do(
    own_secured: Secured, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    broker = own_secured.broker()
    plain = bytes.fromhex("100c00044d5154540402003c0000")  # a CONNECT without TLS
    for listener in (broker.port, own_secured.access.listeners.certificates):
        with socket.create_connection((broker.host, listener)) as connection, suppress(ConnectionResetError):
            connection.sendall(plain)
            connection.recv(1)  # until the broker closes it
    untrusting = ssl.create_default_context()  # without the CA's certificate
    with socket.create_connection((broker.host, broker.port)) as connection, pytest.raises(ssl.SSLError):
        untrusting.wrap_socket(connection, server_hostname="localhost")
    # Probes of the port by the test itself count too: they end before a login. The broker's notice has the reason only
    # if the first bytes have arrived when it accepts the connection; without it the advice has both.
    eventually(lambda: ingest.metric("connections_failed_total") >= 3, 30, "three failed connections")
    for advice in ("the client does not use TLS", "does not trust the broker's certificate"):
        eventually(lambda advice=advice: advice in ingest.said(), 30, advice)  # type: ignore[misc]
    assert ingest.metric("logins_refused_total") == 0
