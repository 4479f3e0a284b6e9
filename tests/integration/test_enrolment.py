"""Enrolment and revocation at a broker that goes on running, and renewed certificates that disconnect no client."""

import json
import os
import pty
import re
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from identity import ca
from identity.dynsec import connect_dynsec
from identity.enrolment import enroll, list_users, revoke
from identity.policy import Kind, User
from mqtt.credentials import read_credentials
from mqtt.endpoint import BrokerEndpoint, session_id
from tests.fixtures.alerts import MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.mqtt_probe import MqttProbe, connects, publishes
from tests.support.process import run_module
from tests.support.servers import Db, eventually
from vitals.errors import PermanentError, TransientError

NOW = datetime.now(UTC)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(own_secured: Secured, tmp_path: Path) -> Run:
    """`python -m ...` as the one who enrols, in a folder of its own."""
    return partial(
        run_module, environ=os.environ | own_secured.settings("operator") | {"LOGNAME": "ada"}, folder=tmp_path
    )


def from_folder(folder: Path) -> tuple[BrokerEndpoint, str]:
    """The broker and the client id that `enroll --folder` wrote for a device."""
    given = json.loads((folder / "device.json").read_text())
    broker = BrokerEndpoint(given["host"], given["port"], tls=True, ca=folder / "ca.crt")
    if given["password"] is None:
        return replace(broker, certificate=folder / "device.crt", key=folder / "device.key"), given["client_id"]
    return broker.as_user(given["user"], given["password"]), given["client_id"]


def test_an_enrolled_device_connects_at_once_and_a_revoked_one_never_again(
    own_secured: Secured, run: Run, tmp_path: Path
) -> None:
    with MqttProbe(own_secured.broker("ingest")) as record:
        assert record.subscribe("vitalflow/audit/#") == "Granted QoS 1"
        shown = run("devices", "enroll", "bed-7", "--ward", "icu-1", "--folder", "bed-7")
        assert shown.returncode == 0, shown.stderr
        assert "copy to the device the files in bed-7: ca.crt, device.json" in shown.stdout
        assert record.next_topic() == "vitalflow/audit/enrolment"
        broker, client_id = from_folder(tmp_path / "bed-7")
        assert broker.password is not None
        assert broker.password not in shown.stdout
        with MqttProbe(broker, client_id) as device, MqttProbe(own_secured.broker("grace")) as person:
            assert device.publish("vitalflow/vitals/icu-1/bed-7") in ("Success", "No matching subscribers")
            device.publish("vitalflow/status/icu-1/bed-7", b'{"state":"online","boot":1}', retain=True)
            assert "bed-7  icu-1" in run("devices", "list").stdout
            person.subscribe("vitalflow/status/icu-1/bed-7")
            assert person.next_topic() == "vitalflow/status/icu-1/bed-7"
            assert run("devices", "revoke", "bed-7").returncode == 0
            assert device.disconnected() == "disconnected: Administrative action"
            assert person.next_topic() == "vitalflow/status/icu-1/bed-7", "it is not forgotten"
        assert connects(broker, client_id) == "Not authorized"
        assert record.next_topic() == "vitalflow/audit/enrolment"
    assert "bed-7" not in run("devices", "list").stdout


def test_a_patient_is_assigned_to_a_bed_and_discharged(own_secured: Secured, run: Run) -> None:
    topic, station = "vitalflow/assignments/icu-1/bed-1", own_secured.broker("station")
    assigned = run("devices", "assign", "bed-1", "--patient", "p-1", "--spo2-scale", "2")
    assert assigned.returncode == 0, assigned.stderr
    with MqttProbe(station) as late:
        assert late.subscribe(topic) == "Granted QoS 1"
        assert late.next_topic() == topic, "it is retained"
        late.subscribe("vitalflow/limits/icu-1/bed-1")
        assert run("devices", "discharge", "bed-1").returncode == 0
        assert [late.next_topic(), late.next_topic()] == [topic, "vitalflow/limits/icu-1/bed-1"]
    with MqttProbe(station) as later:
        later.subscribe(topic)
        assert later.next_topic() == topic, "the discharge is retained too"
    for arguments, reason in (
        (["--patient", "p-1", "--profile", "infant", "--spo2-scale", "2"], "applies from 16 years"),
        (["--patient", " "], "1 to 200 printable characters"),
    ):
        rejected = run("devices", "assign", "bed-1", *arguments)
        assert (rejected.returncode, rejected.stderr.count("\n")) == (2, 1)
        assert reason in rejected.stderr
    assert "no device 'bed-99' is enrolled" in run("devices", "assign", "bed-99", "--patient", "p-1").stderr
    assert "no device 'grace' is enrolled" in run("devices", "discharge", "grace").stderr


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")  # paho leaves it to the collector when it is refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_device_with_a_certificate_comes_in_and_is_refused_once_it_is_revoked(
    own_secured: Secured, run: Run, tmp_path: Path
) -> None:
    assert run("devices", "enroll", "bed-8", "--ward", "icu-1", "--certificate").returncode == 0
    assert (tmp_path / "bed-8/device.key").stat().st_mode & 0o777 == 0o600
    broker, client_id = from_folder(tmp_path / "bed-8")
    assert publishes(broker, client_id, "vitalflow/vitals/icu-1/bed-8") in ("Success", "No matching subscribers")
    assert publishes(broker, client_id, "vitalflow/vitals/icu-1/bed-1") == "Not authorized"
    with MqttProbe(broker, client_id) as device:
        revoked = run("devices", "revoke", "bed-8")
        assert "its certificate is revoked" in revoked.stdout
        assert device.disconnected() == "disconnected: Administrative action"
    assert own_secured.server.rotate_certificates()  # as the supervisor does once it sees the new list
    eventually(lambda: connects(broker, client_id) != "Success", 10, "the certificate is refused")


def test_what_is_shown_for_a_device_is_enough_to_connect_with(own_secured: Secured, run: Run) -> None:
    shown = run("devices", "enroll", "bed-7", "--ward", "icu-1", "--qr").stdout
    given = dict(line.split(None, 1) for line in shown.splitlines() if line.startswith("  "))
    assert given["broker"] == f"127.0.0.1, port {own_secured.server.port}, with TLS"
    assert given["CA"] == str(own_secured.ca)
    broker = own_secured.broker(given["user"], given["password"])
    assert connects(broker, given["client"].removeprefix("id").strip()) == "Success"
    assert "█" in shown or "▄" in shown


def test_a_name_is_enrolled_once_unless_replaced(own_secured: Secured, run: Run) -> None:
    refused = run("devices", "enroll", "bed-1", "--ward", "icu-1")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "'bed-1' is enrolled already, as a device of ward icu-1; revoke it first, or" in refused.stderr
    assert connects(own_secured.broker("bed-1"), own_secured.broker("bed-1").client_id("bed-1")) == "Success"
    assert run("devices", "enroll", "bed-1", "--ward", "icu-1", "--rotate-password").returncode == 0
    assert connects(own_secured.broker("bed-1"), own_secured.broker("bed-1").client_id("bed-1")) == "Not authorized"
    assert run("devices", "enroll", "ada", "--ward", "icu-1", "--rotate-password").returncode == 2, (
        "a person is no device"
    )
    assert run("devices", "revoke", "ada").returncode == 2
    assert "and cannot be revoked" in run("identity", "user", "revoke", "ingest").stderr
    assert "'unknown' is not enrolled" in run("identity", "user", "revoke", "unknown").stderr


def test_several_certificates_lie_in_a_folder_for_each_device(own_secured: Secured, run: Run, tmp_path: Path) -> None:
    assert run("devices", "enroll", "bed-5", "bed-6", "--ward", "icu-1", "--certificate").returncode == 0
    for name in ("bed-5", "bed-6"):
        broker, client_id = from_folder(tmp_path / name)
        assert publishes(broker, client_id, f"vitalflow/vitals/icu-1/{name}") in ("Success", "No matching subscribers")


@pytest.mark.parametrize("option", ["--folder", "--credentials"])
def test_an_unwritable_credentials_folder_enrols_no_device(own_secured: Secured, run: Run, option: str) -> None:
    refused = run("devices", "enroll", "bed-7", "--ward", "icu-1", option, "/proc/nowhere/bed-7")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert "the folder /proc/nowhere" in refused.stderr
    assert "bed-7" not in run("devices", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bed-7", "bed-7"], "the name 'bed-7' is given twice"),
        (["..", "--certificate"], "the device name '..' cannot be used"),
        (["b" * 65, "--certificate"], "the common name of a certificate has at most 64"),
    ],
)
def test_a_failed_enrolment_leaves_nothing_behind(
    own_secured: Secured, run: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before = run("devices", "list").stdout
    refused = run("devices", "enroll", *arguments, "--ward", "icu-1")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert said in refused.stderr
    assert run("devices", "list").stdout == before


def test_a_folder_with_the_password_of_another_device_is_refused(
    own_secured: Secured, run: Run, tmp_path: Path
) -> None:
    line = ["devices", "enroll", "bed-7", "--ward", "icu-1", "--folder", "usb"]
    assert run(*line).returncode == 0
    before = (tmp_path / "usb/device.json").read_bytes()
    refused = run("devices", "enroll", "bed-8", "--ward", "icu-1", "--folder", "usb")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "usb/device.json holds the credentials of the device 'bed-7'" in refused.stderr
    assert (tmp_path / "usb/device.json").read_bytes() == before
    assert "bed-8" not in run("devices", "list").stdout
    assert run(*line, "--rotate-password").returncode == 0, "its own folder is written anew"


def test_a_user_without_a_ward_is_refused_where_nothing_can_be_asked(
    own_secured: Secured, run: Run, tmp_path: Path
) -> None:
    refused = run("identity", "user", "add", "nightingale")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "give --ward WARD, or --all-wards" in refused.stderr
    assert run("identity", "user", "add", "nightingale", "--all-wards", "--folder", "config").returncode == 0
    other = run("identity", "user", "add", "seacole", "--all-wards", "--folder", "config")
    assert other.returncode == 2
    assert "config/mosquitto_sub exists and is not of the user 'seacole'" in other.stderr
    assert "seacole" not in run("identity", "user", "list").stdout


@pytest.mark.parametrize(
    ("typed", "listed"),
    [("icu-1\n", "nurse seacole icu-1"), ("\ny\n", "nurse seacole -"), ("\nn\n", None)],
)
def test_on_a_terminal_a_user_without_a_ward_is_asked_for_it(
    own_secured: Secured, run: Run, typed: str, listed: str | None
) -> None:
    terminal, stdin = pty.openpty()
    environ = os.environ | own_secured.settings("operator") | {"LOGNAME": "ada"}
    try:
        os.write(terminal, typed.encode())
        asked = run_module("identity", "user", "add", "seacole", environ=environ, stdin=stdin)
    finally:
        os.close(terminal)
        os.close(stdin)
    assert "The only ward that seacole sees (empty: every ward)" in asked.stdout
    shown = run("identity", "user", "list").stdout
    if listed is None:
        assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
        assert "seacole" not in shown
    else:
        assert (asked.returncode, asked.stderr) == (0, "")
        assert any(" ".join(row.split()) == listed for row in shown.splitlines())


def test_enrolling_makes_no_ca_of_its_own(own_secured: Secured, tmp_path: Path) -> None:
    settings = own_secured.settings("operator") | {"VITALFLOW_CA_DIR": str(tmp_path / "elsewhere")}
    line = ["devices", "enroll", "bed-7", "--ward", "icu-1", "--certificate"]
    refused = run_module(*line, environ=os.environ | settings, folder=tmp_path)
    assert refused.returncode == 2
    assert "certificates are issued on the machine with the CA: export VITALFLOW_CA_DIR=" in refused.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_user_is_admitted_and_revoked(own_secured: Secured, run: Run, tmp_path: Path) -> None:
    shown = run("identity", "user", "add", "nightingale", "--ward", "icu-1", "--folder", "config")
    assert shown.returncode == 0, shown.stderr
    options = dict(line.split(None, 1) for line in (tmp_path / "config/mosquitto_sub").read_text().splitlines())
    assert (tmp_path / "config/mosquitto_sub").stat().st_mode & 0o777 == 0o600
    broker = own_secured.broker(options["-u"], options["-P"])
    with MqttProbe(broker) as person:
        assert person.subscribe("vitalflow/alerts/icu-1/#") == "Granted QoS 1"
        assert person.subscribe("vitalflow/alerts/icu-2/#") == "Not authorized"
        assert "nurse         nightingale" in run("identity", "user", "list").stdout
        assert run("identity", "user", "revoke", "nightingale").returncode == 0
        assert person.disconnected() == "disconnected: Administrative action"
    assert connects(broker) == "Not authorized"


def test_new_certificates_are_taken_without_losing_a_session_or_a_message(own_secured: Secured) -> None:
    def shown() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", own_secured.server.port))
        return load_pem_x509_certificate(pem.encode()).serial_number

    grace, bed = own_secured.broker("grace"), own_secured.broker("bed-1")
    away = MqttProbe(grace, "grace-who-is-away", clean=False)
    assert away.subscribe("vitalflow/vitals/icu-1/bed-1") == "Granted QoS 1"
    away.drop_connection()
    before = shown()
    assert not own_secured.server.rotate_certificates(), "nothing is due"
    with MqttProbe(grace) as person, MqttProbe(bed, bed.client_id("bed-1")) as device:
        assert person.subscribe("vitalflow/vitals/icu-1/bed-1") == "Granted QoS 1"
        (own_secured.access.authority.folder / "broker.crt").unlink()
        assert own_secured.server.rotate_certificates()
        eventually(lambda: shown() != before, 10, "a new certificate")
        assert device.publish("vitalflow/vitals/icu-1/bed-1") == "Success", "the device lost its connection"
        assert person.next_topic() == "vitalflow/vitals/icu-1/bed-1", "the person lost the connection"
    with MqttProbe(grace, "grace-who-is-away", clean=False) as again:
        assert again.session_present
        assert again.next_topic() == "vitalflow/vitals/icu-1/bed-1", "the message for who was away is lost"


def test_new_certificates_after_a_restart_do_not_disconnect_clients_repeatedly(own_secured: Secured) -> None:
    # On a SIGHUP now, Mosquitto would note the end of this session twice, and then disconnect others every second.
    grace, bed, topic = own_secured.broker("grace"), own_secured.broker("bed-1"), "vitalflow/vitals/icu-1/bed-1"
    away = MqttProbe(grace, "grace-who-is-away", clean=False)
    assert away.subscribe(topic) == "Granted QoS 1"
    away.drop_connection()
    server = own_secured.server
    server.stop()
    server.start()
    (own_secured.access.authority.folder / "broker.crt").unlink()
    assert server.rotate_certificates()
    with MqttProbe(grace, "grace-who-is-away", clean=False) as again, MqttProbe(bed, bed.client_id("bed-1")) as device:
        assert again.session_present
        for _ in range(4):
            time.sleep(1)
            assert device.publish(topic) == "Success", "the device lost its connection"
            assert again.next_topic() == topic
    assert "Expiring client" not in server.log.read_text()


def test_who_is_enrolled_stays_enrolled_when_the_broker_is_killed_or_starts_anew(own_secured: Secured) -> None:
    own_secured.enroll("bed-7", "icu-1", "a-word")
    bed = own_secured.broker("bed-7", "a-word")
    own_secured.server.kill()
    own_secured.server.start()
    assert publishes(bed, bed.client_id("bed-7"), "vitalflow/vitals/icu-1/bed-7") in (
        "Success",
        "No matching subscribers",
    )


def test_the_plaintext_listener_needs_a_setting_and_a_user(
    own_secured: Secured,
) -> None:
    assert own_secured.access.listeners.plain is not None
    plain = replace(own_secured.broker("ada"), port=own_secured.access.listeners.plain, tls=False, ca=None)
    assert connects(plain) == "Success"
    assert connects(replace(plain, username=None, password=None)) == "Not authorized"


def test_a_fleet_reports_which_of_its_devices_is_not_enrolled(own_secured: Secured, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ward.json"
    names = ["icu-2-bed-01", "icu-2-bed-02"]
    environ = os.environ | own_secured.settings("operator") | {"VITALFLOW_DEVICES_CREDENTIALS": str(path)}
    line = ["devices", "simulate", "--ward", "icu-2", "--seconds", "3", "--count"]

    def simulate(count: int) -> "subprocess.CompletedProcess[str]":
        return run_module(*line, str(count), environ=environ)

    before = simulate(2)
    assert before.returncode == 2
    assert f"enroll {' '.join(names)} --ward icu-2 --credentials {path}" in before.stderr
    assert run("devices", "enroll", *names, "--ward", "icu-2", "--credentials", str(path)).returncode == 0
    with MqttProbe(own_secured.broker("grace")) as person:
        assert person.subscribe("vitalflow/vitals/icu-2/#") == "Granted QoS 1"
        assert simulate(2).returncode == 0
        assert {person.next_topic() for _ in range(4)} == {f"vitalflow/vitals/icu-2/{name}" for name in names}
    refused = simulate(3)
    assert refused.returncode == 2
    assert "has no device 'icu-2-bed-03'" in refused.stderr
    assert f"enroll icu-2-bed-03 --ward icu-2 --credentials {path}" in refused.stderr
    assert re.search(r"\.venv/bin/(vitalflow|python -m vitalflow) devices enroll", refused.stderr)
    refused = simulate(4)
    assert "has no device 'icu-2-bed-03' and 1 more, so the broker would reject them" in refused.stderr
    assert f"enroll icu-2-bed-03 icu-2-bed-04 --ward icu-2 --credentials {path}" in refused.stderr


def test_a_rejected_service_and_an_untrusted_ca_are_logged(
    own_secured: Secured, db: Db, make_ingest: MakeIngest, make_alerts: MakeAlerts, tmp_path: Path
) -> None:
    wrong = own_secured.url_of("ingest").replace("word-of-ingest", "a-guess")
    refused = make_ingest(wrong, db, start=False, mqtt_ca=own_secured.ca).start(wait=False)
    eventually(lambda: "connection refused: Not authorized" in refused.said(), 10, "the refusal")
    assert "a-guess" not in refused.said()
    another = Path(tmp_path / "another.crt")
    another.write_bytes(ca.new_ca("another", NOW).certificate)
    untrusting = make_alerts(own_secured.url_of("alerts"), start=False, mqtt_ca=another).start(wait=False)
    eventually(lambda: f"was not signed by the CA in {another}" in untrusting.said(), 10, "the sentence")


def added_service(run: Run, name: str, service: str, *options: str) -> dict[str, str]:
    """Add a service and return the settings that the command prints for it."""
    shown = run("identity", "add-service", name, "--service", service, *options)
    assert shown.returncode == 0, shown.stderr
    return dict(re.findall(r"^  VITALFLOW_(\w+)=(\S+)", shown.stdout, re.MULTILINE))


def test_a_second_alert_worker_needs_its_own_user_and_its_refusal_names_the_command(
    own_secured: Secured, make_alerts: MakeAlerts, run: Run
) -> None:
    make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts", alerts_wards="icu-1")
    same = make_alerts(own_secured.url_of("alerts"), start=False, mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    same.start(wait=False)
    assert same.process is not None
    assert same.process.wait(20) == 2
    assert "identity add-service NAME --service alerts" in same.said()
    for standby in (False, True):
        without = make_alerts(
            own_secured.url_of("alerts"),
            start=False,
            standby=standby,
            mqtt_ca=own_secured.ca,
            alerts_client_id="alerts2",
        ).start(wait=False)
        assert without.process is not None
        assert without.process.wait(20) == 2
        assert "the broker does not authorize the user 'alerts'" in without.said()
        assert "identity add-service alerts2 --service alerts" in without.said()

    refused = run("identity", "add-service", "ingest2", "--service", "ingest", "--wards", "icu-2")
    assert refused.returncode == 2
    assert "ingest serves all wards; ingests divide the readings with VITALFLOW_INGEST_SHARE_GROUP" in refused.stderr
    settings = added_service(run, "alerts2", "alerts", "--wards", "icu-2")
    assert (settings["ALERTS_CLIENT_ID"], settings["ALERTS_WARDS"]) == ("alerts2", "icu-2")
    assert run("identity", "add-service", "alerts2", "--service", "alerts").returncode == 2
    assert run("identity", "add-service", "alerts", "--service", "alerts").returncode == 2
    second = make_alerts(
        settings["MQTT_URL"], mqtt_ca=settings["MQTT_CA"], alerts_client_id="alerts2", alerts_wards="icu-2"
    )
    eventually(lambda: "connected to the broker" in second.said(), 10, "a connection")
    bed, person = own_secured.broker("bed-9"), MqttProbe(own_secured.broker("grace"))
    with person, MqttProbe(bed, bed.client_id("bed-9")) as device:
        person.subscribe("vitalflow/alerts/icu-2/#")
        device.publish("vitalflow/vitals/icu-2/bed-9", b'{"time":"%s","heart_rate":190}' % now_text())
        assert person.next_topic() == "vitalflow/alerts/icu-2/bed-9/heart-rate-high"

    own_secured.server.stop()
    own_secured.server.start()  # its users file is written anew
    eventually(lambda: second.said().count("connected to the broker") == 2, 30, "the worker is connected again")
    assert re.search(r"service +alerts2 +alerts icu-2$", run("identity", "user", "list").stdout, re.MULTILINE)
    assert run("identity", "user", "revoke", "alerts2").returncode == 0
    eventually(lambda: "the connection ended: Administrative action" in second.said(), 10, "the end")
    assert "and cannot be revoked" in run("identity", "user", "revoke", "alerts").stderr


def test_two_ingests_with_their_own_users_share_the_readings(
    own_secured: Secured, db: Db, make_ingest: MakeIngest, run: Run
) -> None:
    settings = added_service(run, "ingest2", "ingest")
    group = [
        make_ingest(url, db, mqtt_ca=own_secured.ca, ingest_client_id=name, ingest_share_group="ward")
        for name, url in (("ingest", own_secured.url_of("ingest")), ("ingest2", settings["MQTT_URL"]))
    ]
    bed = own_secured.broker("bed-1")
    with MqttProbe(bed, bed.client_id("bed-1")) as device:
        for seq in range(20):
            device.publish("vitalflow/vitals/icu-1/bed-1", b'{"time":"%s","spo2":%d}' % (now_text(), 80 + seq))
    eventually(lambda: db.count() == 20, 20, "the readings")
    assert all(ingest.metric("readings_stored_total") for ingest in group)


def now_text() -> bytes:
    """The present time as it stands in a reading."""
    return datetime.now(UTC).isoformat().encode()


def test_simulated_devices_are_enrolled_once_and_anew_where_their_passwords_are_lost(
    own_secured: Secured, run: Run, tmp_path: Path
) -> None:
    line = ["devices", "enroll-simulated", "--count", "3", "--ward", "icu-7", "--credentials", "devices.json"]
    assert run(*line).stdout.endswith("3 enrolled for ward icu-7, 0 were enrolled already\n")
    first = read_credentials(tmp_path / "devices.json")
    assert sorted(first) == ["icu-7-bed-01", "icu-7-bed-02", "icu-7-bed-03"]
    assert run(*line).stdout.endswith("0 enrolled for ward icu-7, 3 were enrolled already\n")
    assert read_credentials(tmp_path / "devices.json") == first
    (tmp_path / "devices.json").unlink()
    assert run(*line).stdout.endswith("3 enrolled for ward icu-7, 0 were enrolled already\n")
    name, word = "icu-7-bed-02", read_credentials(tmp_path / "devices.json")["icu-7-bed-02"].password
    assert connects(own_secured.broker(name, word), session_id(name, word.encode())) == "Success"
    assert connects(own_secured.broker(name, first[name].password), name) == "Not authorized"


def test_only_the_admin_enrols(own_secured: Secured) -> None:
    with pytest.raises(TransientError, match="subscription refused"), connect_dynsec(own_secured.broker("grace")):
        pass
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        with pytest.raises(PermanentError, match="cannot be used"):
            enroll(dynsec, [User("a/b", Kind.DEVICE, "icu-1", "word")], own_secured.access.topics, by="x", now=NOW)
        with pytest.raises(PermanentError, match="is not enrolled"):
            revoke(dynsec, "none", own_secured.access.topics, by="x", now=NOW)
        assert {"admin", "ingest", "alerts", "station", "operator"} <= {one.name for one in list_users(dynsec)}
