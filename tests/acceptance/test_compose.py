"""docker-compose.yml on a real engine: up from nothing, devices accepted and rejected, every service killed in turn.

Grafana is left out: no engine here has its image. What holds of the file alone is in tests/unit/test_compose.py.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hl7.client import MLLPClient  # type: ignore[import-untyped]

from mqtt.endpoint import BrokerEndpoint
from stack.binaries import CHECKOUT
from stack.envfile import NAMES
from tests.fixtures.docker import EDGES, FOREIGN, KINDS, SERVICES, Project
from tests.support.mqtt_probe import MqttProbe, connects, publishes
from tests.support.servers import eventually

TIMEOUT_S = 60  # seconds for anything to become true
# A device numbers its readings 1, 2, 3: where the last number is the number of rows, none is missing.
MISSING = """SELECT (SELECT count(*) FROM device_gap) + count(*)
             FROM (SELECT FROM patient_vitals WHERE ward = 'icu-1'
                   GROUP BY device_id, boot HAVING max(seq) <> count(*)) AS incomplete"""
CONNECTIONS = """
from urllib.request import urlopen
page = urlopen("http://127.0.0.1:9464/metrics").read().decode()
print(*(line for line in page.splitlines() if line.startswith("vitalflow_ingest_mqtt_connections_total")))"""
CERTIFICATES = [f"/var/lib/vitalflow/identity/{name}.crt" for name in ("broker", "database")]
TOPIC = "vitalflow/vitals/icu-9/my-monitor"
BEDS = "/var/lib/vitalflow/edges-{}/beds.json"
CA_FILE = "/mosquitto/identity/ca.crt"


@dataclass(frozen=True)
class Monitor:
    """A device outside of Docker, with what `devices enroll` printed for it."""

    broker: BrokerEndpoint
    client_id: str

    def sends(self, heart_rate: int, topic: str = TOPIC) -> str:
        """Publish a reading; the broker's answer."""
        reading = {"time": datetime.now(UTC).isoformat(), "patient_id": "p-9", "heart_rate": heart_rate}
        return publishes(self.broker, self.client_id, topic, json.dumps(reading).encode())


def identity(project: Project, *words: str) -> str:
    """The shell of the installation: what a command of it prints."""
    return project.compose("run", "--rm", "-T", "identity", *words).stdout


@pytest.fixture(scope="module")
def monitor(project: Project) -> Monitor:
    printed = identity(project, "devices", "enroll", "my-monitor", "--ward", "icu-9")
    values = dict(re.findall(r"^  (\S[\w ]*?) {2,}(.+)$", printed, re.MULTILINE))
    assert values["broker"] == f"localhost, port {project.port('MQTT')}, with TLS"
    assert values["publishes"] == f"{TOPIC}  (QoS 1)"
    ca = project.folder / "ca.crt"
    ca.write_text(project.compose("exec", "-T", "broker", "cat", "/mosquitto/identity/ca.crt").stdout)
    broker = BrokerEndpoint("localhost", project.port("MQTT"), values["user"], values["password"], tls=True, ca=ca)
    return Monitor(broker, values["client id"])


def test_from_empty_volumes_everything_is_healthy_and_rows_flow(project: Project) -> None:
    lasting = ("renewal", "accounts", "broker", "db", "ingest", "alerts", "station", "devices")
    assert all(project.healthy(service) for service in lasting)
    eventually(lambda: project.rows() >= 40, TIMEOUT_S, "two readings of each of twenty devices")
    assert project.ask("SELECT count(DISTINCT device_id) FROM patient_vitals") == "20"


def test_the_station_shows_the_ward_only_with_the_operators_password(project: Project) -> None:
    assert len(beds_of_station(project)) == 20
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{project.port('STATION')}/api/ward", timeout=10)


def beds_of_station(project: Project) -> dict[str, dict[str, Any]]:
    """The beds that the operator sees, by device."""
    page = f"http://127.0.0.1:{project.port('STATION')}/api/ward"
    password = (project.folder / ".secrets/mqtt_operator_password").read_text()
    proof = base64.b64encode(f"operator:{password}".encode()).decode()
    signed_in = urllib.request.Request(page, headers={"Authorization": f"Basic {proof}"})
    with urllib.request.urlopen(signed_in, timeout=10) as answer:
        return {bed["device"]: bed for bed in json.load(answer)["beds"]}


def test_the_database_sees_nothing_but_encrypted_connections(project: Project) -> None:
    encrypted = """SELECT string_agg(DISTINCT usename || ' ' || ssl, ', ' ORDER BY usename || ' ' || ssl)
                   FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE client_addr IS NOT NULL"""
    assert project.ask(encrypted) == "vitalflow_ingest true, vitalflow_reader true"
    plain = ["psql", "host=127.0.0.1 user=vitalflow dbname=vitalflow sslmode=disable", "-c", "SELECT 1"]
    refused = project.compose("exec", "-T", "db", *plain, check=False)
    assert "no pg_hba.conf entry" in refused.stderr


def test_a_reading_of_an_external_device_is_stored(project: Project, monitor: Monitor) -> None:
    assert monitor.sends(61) == "Success"
    stored = "SELECT ward, heart_rate FROM patient_vitals WHERE device_id = 'my-monitor'"
    eventually(lambda: project.ask(stored) == "icu-9|61", TIMEOUT_S, "the device's reading")
    assert monitor.sends(62, "vitalflow/vitals/icu-1/icu-1-bed-01") == "Not authorized"
    assert re.search(r"^my-monitor +icu-9$", identity(project, "devices", "list"), re.MULTILINE)


def test_connections_without_a_user_or_encryption_are_rejected(project: Project, monitor: Monitor) -> None:
    there = monitor.broker
    assert connects(BrokerEndpoint(there.host, there.port, tls=True, ca=there.ca), "") == "Not authorized"
    assert connects(there.as_user("my-monitor", "a guess"), monitor.client_id) == "Not authorized"
    assert answer(there.host, there.port, None) == b""
    certified = ssl.create_default_context(cafile=there.ca)
    assert answer(there.host, project.port("CERTIFICATE"), certified) == b""


def answer(host: str, port: int, context: ssl.SSLContext | None) -> bytes:
    """What the broker says to a greeting without a name, encrypted where a context is given; nothing: it hung up."""
    with (
        suppress(ConnectionError, ssl.SSLError),
        socket.create_connection((host, port), timeout=10) as bare,
        nullcontext(bare) if context is None else context.wrap_socket(bare, server_hostname=host) as there,
    ):
        there.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab")
        return there.recv(1)
    return b""


def test_new_certificates_are_taken_up_and_no_connection_ends(project: Project, monitor: Monitor) -> None:
    def shown() -> str:
        return ssl.get_server_certificate((monitor.broker.host, monitor.broker.port))

    began = "SELECT string_agg(DISTINCT pid::text, ',') FROM pg_stat_activity WHERE usename = 'vitalflow_ingest'"
    loaded = "SELECT pg_conf_load_time()"
    before = shown(), project.ask(loaded), project.ask(began)
    connections = project.compose("exec", "-T", "ingest", "python", "-c", CONNECTIONS).stdout
    eventually(lambda: offline_sessions(project) == "0", TIMEOUT_S, "every session has its client")
    project.compose("run", "--rm", "-T", "--entrypoint", "rm", "identity", *CERTIFICATES)
    project.compose("run", "--rm", "-T", "identity")
    eventually(lambda: shown() != before[0], TIMEOUT_S, "the broker's new certificate")
    eventually(lambda: project.ask(loaded) != before[1], TIMEOUT_S, "the database's new certificate")
    assert project.ask(began) == before[2]
    assert project.compose("exec", "-T", "ingest", "python", "-c", CONNECTIONS).stdout == connections
    assert monitor.sends(63) == "Success"


def offline_sessions(project: Project) -> str:
    """What the broker's health check reads; the broker updates it every ten seconds."""
    line = ["exec", "-T", "broker", "mosquitto_sub", "-V", "mqttv5", "-C", "1", "-W", "3"]
    return project.compose(*line, check=False).stdout.strip()


def test_new_certificates_with_an_offline_session_restart_the_broker_and_lose_no_reading(project: Project) -> None:
    project.compose("stop", "--timeout", "20", "ingest")
    before = restarts(project, "broker")
    eventually(lambda: offline_sessions(project) == "1", TIMEOUT_S, "the broker counts the session of ingest")
    project.compose("run", "--rm", "-T", "--entrypoint", "rm", "identity", CERTIFICATES[0])
    project.compose("run", "--rm", "-T", "identity")
    eventually(lambda: restarts(project, "broker") > before, TIMEOUT_S, "the broker started again")
    rows = project.rows()
    project.compose("start", "ingest")
    eventually(lambda: project.rows() >= rows + 40, TIMEOUT_S, "the readings that the broker kept, and new ones")
    eventually(lambda: project.ask(MISSING) == "0", TIMEOUT_S, "no reading missing")


def test_the_file_is_clean_and_shows_no_secret(project: Project) -> None:
    shown = project.compose("config")
    assert shown.stderr == ""
    values = shown.stdout + project.logs()
    for service in SERVICES:
        values += project.inspect(service, "{{json .}}")
        values += project.compose("top", service, check=False).stdout
    for name in NAMES:
        assert (project.folder / ".secrets" / name).read_text() not in values, name


@pytest.mark.parametrize("killed", ["ingest", "broker", "db", "renewal alerts station devices"])
def test_a_killed_container_comes_back_and_no_reading_is_missing(project: Project, killed: str) -> None:
    before = {service: restarts(project, service) for service in killed.split()}
    for service in before:
        kill(project, service)
    eventually(
        lambda: all(restarts(project, service) > count for service, count in before.items()),
        TIMEOUT_S,
        f"{killed} started again",
    )
    eventually(lambda: all(map(project.healthy, before)), TIMEOUT_S, f"{killed} healthy")
    rows = project.rows()
    eventually(lambda: project.rows() >= rows + 40, TIMEOUT_S, f"rows after the death of {killed}")
    eventually(lambda: project.ask(MISSING) == "0", TIMEOUT_S, "no reading missing")


def restarts(project: Project, service: str) -> int:
    return int(project.inspect(service, "{{.RestartCount}}"))


def kill(project: Project, service: str) -> None:
    """kill -9 of its first process. Not `docker kill`: what that ends, Docker does not start again."""
    pid = int(project.inspect(service, "{{.State.Pid}}"))
    # If the engine is in another machine, the number would be another process here; 0 would be the whole group.
    assert project.inspect(service, "{{.Id}}") in Path(f"/proc/{pid}/cgroup").read_text(), "the engine is elsewhere"
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        subprocess.run(["sudo", "-n", "kill", "-9", str(pid)], check=True)


def test_down_and_up_keep_data_and_enrolled_devices(project: Project, monitor: Monitor) -> None:
    rows = project.rows()
    project.compose("down", "--timeout", "20")
    project.up()
    assert project.rows() >= rows
    rows = project.rows()
    eventually(lambda: project.rows() >= rows + 20, TIMEOUT_S, "rows after down and up")
    assert project.ask(MISSING) == "0"
    assert monitor.sends(64) == "Success"
    # Reloaded before the sessions were back, it would disconnect one client every second.
    assert "Expiring client" not in project.compose("logs", "broker").stdout


# The commands of the documentation, for this project, without images from elsewhere and without Grafana.
AS_DOCUMENTED = """set -eu
docker() {
    shift; last=
    case $1 in up) shift; [ "$*" != --wait ] || last=$SERVICES; set -- up --no-build --pull never "$@" ;; esac
    command docker compose $PROJECT "$@" $last
}
"""


def documented(project: Project, heading: str, **variables: str) -> None:
    """Run the commands below a heading of docs/docker.md."""
    text = (CHECKOUT / "docs/docker.md").read_text()
    found = re.search(rf"^### {heading}$.*?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    environ = project.environ | variables | {"PROJECT": " ".join(project.options), "SERVICES": " ".join(SERVICES)}
    line = ["sh", "-c", AS_DOCUMENTED + found[1]]
    ended = subprocess.run(line, cwd=project.folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stderr}\n{project.logs()}"


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_the_documented_backup_is_restored_into_empty_volumes(
    project: Project, monitor: Monitor, tmp_path: Path
) -> None:
    assert monitor.sends(65) == "Success"
    readings = "SELECT count(*) FROM patient_vitals WHERE device_id = 'my-monitor'"
    eventually(lambda: project.ask(f"{readings} AND heart_rate = 65") == "1", TIMEOUT_S, "the device's reading")
    before, rows, roles = project.ask(readings), project.rows(), project.ask("SELECT count(*) FROM pg_roles")
    key, file = tmp_path / "backup.key", tmp_path / "vitalflow.age"
    made = subprocess.run(["age-keygen", "-o", str(key)], capture_output=True, text=True, check=True)
    documented(project, "Backup", RECIPIENT=made.stderr.split()[-1], FILE=str(file))
    assert not (project.folder / "saved").exists()
    project.compose("down", "--volumes", "--timeout", "5")
    shutil.rmtree(project.folder / ".secrets")
    documented(project, "Restore", KEY=str(key), FILE=str(file))
    assert (project.ask(readings), project.ask("SELECT count(*) FROM pg_roles")) == (before, roles)
    eventually(lambda: project.rows() >= rows + 40, TIMEOUT_S, "every row and new ones")
    assert monitor.sends(66) == "Success"
    eventually(lambda: project.ask(f"{readings} AND heart_rate = 66") == "1", TIMEOUT_S, "a reading afterwards")


def test_who_is_revoked_is_disconnected_for_good_and_both_are_on_record(project: Project, monitor: Monitor) -> None:
    with MqttProbe(monitor.broker, monitor.client_id) as there:
        assert there.connected == "Success"
        assert "is revoked and disconnected" in identity(project, "devices", "revoke", "my-monitor")
        assert there.disconnected().startswith("disconnected: ")
    assert connects(monitor.broker, monitor.client_id) == "Not authorized"
    record = (
        "SELECT string_agg(actor || ' ' || action, ', ' ORDER BY id) FROM audit_event WHERE device_id = 'my-monitor'"
    )
    eventually(lambda: project.ask(record) == "docker enrolled, docker revoked", TIMEOUT_S, "the record")


PLACES = """
[[place]]
unit = "ICU"
bed = "7"
ward = "icu-9"
device = "hl7-bed"

[[place]]
equipment = "cuff-12"
ward = "icu-9"
device = "fhir-bed"

[[webhook]]
name = "phone"
kind = "health-auto-export"
secret_file = "/etc/vitalflow/edges/token"
ward = "icu-9"
device = "webhook-bed"

[[mqtt]]
name = "smart-home"
url = "mqtt://foreign-broker:1883"
mappings = ["esphome"]

[[place]]
equipment = "ring"
source = "smart-home"
ward = "icu-9"
device = "mqtt-bed"

[[serial]]
port = "{port}"
decoder = "nonin-7"
ward = "icu-9"
device = "serial-bed"

[[receiver]]
name = "chat"
template = "slack"
url = "http://receiver:8000/"
"""
REPORT = """MSH|^~\\&|MONITOR|ICU|||{now}||ORU^R01^ORU_R01|{number}|P|2.6
PID|||p-7^^^HOSP^MR
PV1||I|ICU^^7
OBR|1|||182777000^monitoring of patient^SCT|||{now}
OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.147842|{heart_rate}|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||F
"""


@pytest.fixture
def oximeter() -> Iterator[str]:
    """A simulated oximeter at a pseudo-terminal of this machine; its path."""
    line = [sys.executable, "-m", "vitalflow", "edges", "serial", "simulate", "nonin-7"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        Path(path).chmod(0o666)  # a real port has the group that the container gets
        yield path
        process.terminate()


def test_other_systems_bring_their_beds_onto_the_station_and_receive_alerts(project: Project, oximeter: str) -> None:
    with (project.folder / "site.toml").open("a") as site:
        site.write(PLACES.format(port=oximeter))
    for kind in KINDS[:5]:
        identity(project, *f"devices enroll {kind}-bed --ward icu-9 --credentials {BEDS.format(kind)}".split())
    project.compose("up", "--no-build", "--pull", "never", "--wait", *EDGES, *FOREIGN)
    with MLLPClient("127.0.0.1", project.port("HL7")) as client:
        now = datetime.now(UTC)
        message = REPORT.format(now=f"{now:%Y%m%d%H%M%S}+0000", number="1", heart_rate=71).replace("\n", "\r")
        assert "MSA|AA|1" in client.send_message(message).decode()
    token = project.compose("run", "--rm", "-T", "--entrypoint", "cat", "identity", "/etc/vitalflow/edges/token").stdout
    at = datetime.now(UTC)
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "effectiveDateTime": at.isoformat(),
        "device": {"identifier": {"value": "cuff-12"}},
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }
    value = {"date": f"{at:%Y-%m-%d %H:%M:%S} +0000", "Min": 73, "Avg": 73, "Max": 73}
    phone = {"data": {"metrics": [{"name": "heart_rate", "units": "count/min", "data": [value]}]}}
    trusted = ssl.create_default_context(cadata=project.compose("exec", "-T", "broker", "cat", CA_FILE).stdout)
    for name, path, body in (("FHIR", "fhir/R4/Observation", observation), ("WEBHOOK", "webhooks/phone", phone)):
        request = urllib.request.Request(
            f"https://localhost:{project.port(name)}/{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
            assert answer.status in (200, 201)
    foreign = ["exec", "-T", "foreign-broker"]
    publish = ["mosquitto_pub", "-q", "1", "-t", "esphome/ring/sensor/heart_rate/state", "-m", "74"]
    project.compose(*foreign, *publish)
    stored = """SELECT string_agg(device_id || ' ' || heart_rate, ', ' ORDER BY device_id) FROM patient_vitals
                WHERE device_id IN ('hl7-bed', 'fhir-bed', 'webhook-bed', 'mqtt-bed')"""
    beds = "fhir-bed 72, hl7-bed 71, mqtt-bed 74, webhook-bed 73"
    eventually(lambda: project.ask(stored) == beds, TIMEOUT_S, "all readings")
    port = "SELECT count(*) > 1 FROM patient_vitals WHERE device_id = 'serial-bed' AND spo2 > 80"
    eventually(lambda: project.ask(port) == "t", TIMEOUT_S, "readings of the serial port")
    shown = beds_of_station(project)
    assert shown["hl7-bed"]["values"]["heart_rate"]["value"] == 71
    assert shown["fhir-bed"]["values"]["heart_rate"]["value"] == 72
    config = "mosquitto_sub -C 1 -W 30 -t homeassistant/device/vitalflow__vitalflow__icu-9__hl7-bed/+"
    assert "icu-9 hl7-bed" in project.compose(*foreign, *config.split()).stdout
    low = REPORT.format(now=f"{datetime.now(UTC):%Y%m%d%H%M%S}+0000", number="2", heart_rate=20).replace("\n", "\r")
    with MLLPClient("127.0.0.1", project.port("HL7")) as client:
        assert "MSA|AA|2" in client.send_message(low).decode()
    eventually(lambda: "icu-9 hl7-bed" in project.compose("logs", "receiver").stdout, TIMEOUT_S, "the alert as a text")
    project.compose("stop", *EDGES, *FOREIGN)


def test_a_volume_of_another_major_and_an_empty_secret_end_up_with_a_sentence(project: Project) -> None:
    project.compose("stop", "--timeout", "20", "ingest")
    rows = project.rows()
    project.compose("stop", "--timeout", "20", "db")
    version = Path("/var/lib/postgresql/data/PG_VERSION")
    write = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "db", "-c"]
    project.compose(*write, f"echo 16 > {version}")
    refused = project.compose("up", "--no-build", "--pull", "never", "--wait", "db", check=False)
    assert refused.returncode != 0
    assert "preflight" in refused.stderr
    said = project.compose("logs", "preflight").stdout
    assert "holds data of PostgreSQL 16, and this is PostgreSQL 17" in said
    assert project.inspect("db", "{{.State.Running}}") == "false"

    project.compose(*write, f"echo 17 > {version}")
    secret = project.folder / ".secrets/reader_password"
    kept = secret.read_text()
    secret.chmod(0o644)
    secret.write_text("")
    assert project.compose("up", "--no-build", "--pull", "never", "--wait", "db", check=False).returncode != 0
    assert "the secret reader_password is empty" in project.compose("logs", "preflight").stdout
    secret.write_text(kept)
    project.compose("up", "--no-build", "--pull", "never", "--wait", "db")
    assert project.rows() == rows
