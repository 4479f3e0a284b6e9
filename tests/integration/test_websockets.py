"""MQTT over WebSockets: devices connect by wss:// with the users and rights of the listener for passwords."""

import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from mqtt.credentials import Credential, write_credentials
from mqtt.endpoint import BrokerEndpoint, session_id
from stack.servers import listens
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.mqtt_probe import MqttProbe, connects
from tests.support.process import run_module
from tests.support.servers import Db, eventually

BED = "vitalflow/vitals/icu-1/bed-1"


def by_websockets(secured: Secured, user: str, password: str = "") -> BrokerEndpoint:
    """The broker as one of its users, over WebSockets."""
    endpoint = replace(BrokerEndpoint.parse(secured.websockets_url), ca=secured.ca)
    return endpoint.as_user(user, password or f"word-of-{user}")


def client_id(user: str) -> str:
    """The only client id that the broker accepts with the password of a device."""
    return session_id(user, f"word-of-{user}".encode())


def test_a_device_by_websockets_stores_its_readings_and_receives_receipts(
    shared_secured: Secured, db: Db, make_ingest: MakeIngest, tmp_path: Path
) -> None:
    credentials, recording = tmp_path / "devices.json", tmp_path / "bed-1.csv"
    write_credentials(credentials, {"bed-1": Credential("icu-1", "word-of-bed-1")})
    recording.write_text("seconds,HR\n" + "".join(f"{second},{70.25 + second}\n" for second in range(5)))
    make_ingest(shared_secured.url_of("ingest"), db, mqtt_ca=shared_secured.ca, ingest_client_id="ingest")
    settings = {
        "VITALFLOW_MQTT_URL": shared_secured.websockets_url,
        "VITALFLOW_MQTT_CA": str(shared_secured.ca),
        "VITALFLOW_DEVICES_CREDENTIALS": str(credentials),
    }
    result = run_module("devices", "replay", str(recording), "--speed", "100", environ=os.environ | settings)
    assert result.returncode == 0, result.stderr
    assert "5 stored, 0 unconfirmed" in result.stdout
    # The broker is shared: readings that other tests left in the session of ingest come too.
    query = "SELECT count(*) FROM patient_vitals WHERE heart_rate IN (70.25, 71.25, 72.25, 73.25, 74.25)"
    eventually(lambda: db.one(query) == 5, 30, "5 rows")


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")  # paho leaves it to the collector when it is refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_users_and_rights_are_those_of_the_listener_for_passwords(shared_secured: Secured) -> None:
    bed = by_websockets(shared_secured, "bed-1")
    with MqttProbe(bed, client_id("bed-1")) as device, MqttProbe(shared_secured.broker("grace")) as person:
        assert device.connected == "Success"
        person.subscribe(BED)
        assert device.publish(BED) == "Success"
        assert person.next_topic() == BED
        assert device.publish("vitalflow/vitals/icu-1/bed-2") == "Not authorized"
        assert device.subscribe("vitalflow/vitals/#") == "Not authorized"
    assert connects(by_websockets(shared_secured, "bed-1", "wrong"), client_id("bed-1")) == "Not authorized"
    assert connects(bed, "another-id") == "Not authorized"
    assert connects(replace(bed, username=None, password=None)) == "Not authorized"


def test_a_message_over_the_limit_ends_the_connection(shared_secured: Secured) -> None:
    with MqttProbe(by_websockets(shared_secured, "bed-1"), client_id("bed-1")) as device:
        assert device.publish(BED, b"x" * 131_000) in ("Success", "No matching subscribers")
        assert device.publish(BED, b"x" * 131_073).startswith("disconnected")


def test_a_new_certificate_is_taken(own_secured_with_websockets: Secured) -> None:
    secured = own_secured_with_websockets
    port = BrokerEndpoint.parse(secured.websockets_url).port
    before = ssl.get_server_certificate(("127.0.0.1", port))
    (secured.access.authority.folder / "broker.crt").unlink()
    assert secured.server.rotate_certificates()
    eventually(lambda: listens(port), 30, "the restarted broker")
    assert ssl.get_server_certificate(("127.0.0.1", port)) != before
    bed = by_websockets(secured, "bed-1")
    assert connects(bed, client_id("bed-1")) == "Success"


def test_a_service_refuses_the_address_in_one_sentence(shared_secured: Secured, db: Db) -> None:
    settings = {
        "VITALFLOW_MQTT_URL": shared_secured.websockets_url.replace("//", "//ingest:word-of-ingest@"),
        "VITALFLOW_MQTT_CA": str(shared_secured.ca),
        "VITALFLOW_INGEST_URL": db.ingest_url,
    }
    result = run_module("ingest", environ=os.environ | settings)
    assert result.returncode == 2
    assert "services need mqtts://" in result.stderr
    assert "word-of-ingest" not in result.stderr
    assert "Traceback" not in result.stderr
