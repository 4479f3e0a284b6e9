"""monitoring/ in Debian's Prometheus: each target is up, and each rule fires for its cause."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from edges.hl7.acks import Outcome, acknowledge
from edges.hl7.er7 import Message as Hl7Message
from edges.hl7.frames import frame
from edges.outgoing.queue import Message, Queue
from identity import ca
from identity.authority import write_public, write_secret
from mqtt.credentials import write_credentials
from mqtt.endpoint import BrokerEndpoint, session_id
from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, DatabaseServer, free_port
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured, secured
from tests.fixtures.station import MakeStation
from tests.support import prometheus
from tests.support.edge import HEART_RATE, EdgeProcess, EdgesProcess, report, site_text
from tests.support.hl7_receiver import Answer, Hl7Receiver
from tests.support.mqtt_probe import MqttProbe, connects
from tests.support.process import ServiceProcess
from tests.support.publish_flood import flooding
from tests.support.servers import Db, eventually, locked_chunk, serving, wal_receiver
from vitals.errors import PermanentError

try:
    FOLDER = prometheus.find()
except PermanentError as error:
    pytest.skip(str(error), allow_module_level=True)  # the header of the run says it too

STOPPED = {  # by a service, the broker or the database that stops
    "VitalFlowServiceDown",
    "VitalFlowServiceRestarts",
    "VitalFlowBrokerDisconnected",
    "VitalFlowDatabaseDisconnected",
    "VitalFlowReadingsNotStored",
    "VitalFlowMessagesUnacknowledged",
    "VitalFlowNothingCommitted",
    "VitalFlowMessagesRejected",
    "VitalFlowLoginsRefused",
    "VitalFlowConnectionsFailed",
    "VitalFlowCertificateExpiresSoon",
    "VitalFlowCertificateExpires",
}
BEHIND = {  # while all of them work
    "VitalFlowLateReadingsWaiting",
    "VitalFlowAlertSnapshotsWaiting",
    "VitalFlowRollupsIncomplete",
    "VitalFlowDevicesWithoutReadings",
    "VitalFlowBrokerDropsMessages",
    "VitalFlowMessagesThrottled",
    "VitalFlowStandbyLagging",
}
EDGES = {  # of what other systems send, and of what is sent to them
    "VitalFlowEdgesReadingsWaiting",
    "VitalFlowEdgesBedsRefused",
    "VitalFlowEdgesInboxFailed",
    "VitalFlowEdgesMessagesRefused",
    "VitalFlowEdgesConnectionsRejected",
    "VitalFlowEdgesReadingsUnplaced",
    "VitalFlowEdgesAdmissionsWaiting",
    "VitalFlowEdgesOutLate",
    "VitalFlowEdgesOutRejected",
    "VitalFlowEdgesOutReportsSkipped",
}
SENDERS = {  # of programs, ports and brokers that are not read, and of other brokers: in promtool only
    "VitalFlowBrokerLacksFeature",
    "VitalFlowEdgesRequestsUnproven",
    "VitalFlowEdgesSourceDisconnected",
    "VitalFlowEdgesSerialPortsNotRead",
}
TESTS = prometheus.RULES.with_suffix(".test.yml")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(prometheus.RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize(
    "arguments", [("check", "config", "--lint-fatal", "prometheus.yml"), ("test", "rules", TESTS.name)]
)
def test_promtool_accepts_the_configuration_and_each_rule_fires_for_its_series(arguments: tuple[str, ...]) -> None:
    line = [str(FOLDER / "promtool"), *arguments]
    done = subprocess.run(line, cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_is_caused_live_and_in_promtool() -> None:
    names = [rule["alert"] for rule in rules()]
    assert set(names) == STOPPED | BEHIND | EDGES | SENDERS
    tested = [
        re.findall(r'alertname="(\w+)"', str(test["promql_expr_test"]))
        for test in yaml.safe_load(TESTS.read_text())["tests"]
    ]
    assert {name for found in tested for name in found} == set(names)


@pytest.mark.slow
def test_each_target_is_up_and_rules_fire_when_services_broker_or_database_stop(
    own_secured: Secured,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    make_alerts: MakeAlerts,
    make_station: MakeStation,
    tmp_path: Path,
) -> None:
    server, db = own_database
    common = {"mqtt_ca": own_secured.ca}
    ingest = make_ingest(own_secured.url_of("ingest"), db, ingest_client_id="ingest", **common)
    alerts = make_alerts(own_secured.url_of("alerts"), alerts_client_id="alerts", **common)
    station = make_station(
        own_secured.url_of("station"), station_client_id="station", reader_url=db.reader_url, **common
    )
    eventually(lambda: ingest.metric("database_connected") == 1, 30, "ingest reaches the database")
    eventually(lambda: "database_connected 1.0" in station.ask("GET", "/metrics")[1], 30, "the station reaches it")
    monitored = prometheus.PrometheusServer(
        tmp_path,
        {
            "vitalflow-ingest": ingest.metrics_port,
            "vitalflow-alerts": alerts.metrics_port,
            "vitalflow-station": station.port,
        },
    )
    monitored.start()
    device = AlertClient(0, own_secured.broker("grace"), own_secured.broker("bed-1"), "bed-1")
    try:
        up = {"vitalflow-ingest": True, "vitalflow-alerts": True, "vitalflow-station": True}
        eventually(lambda: monitored.up() == up, 30, "each target is up")
        device.measure(heart_rate=80)
        eventually(lambda: ingest.metric("readings_stored_total") == 1, 30, "a reading is stored")
        known = {name.removesuffix("_total") for name in monitored.get("metadata")}
        for rule in rules():
            if rule["alert"] in EDGES | SENDERS:
                continue
            for name in re.findall(r"vitalflow_[\w.+]+\w", rule["expr"]):
                assert any(re.fullmatch(name.removesuffix("_total"), metric) for metric in known), name
        assert monitored.fired() == set()

        # What is rejected.
        device.send("vitals/icu-1/bed-1", b"not JSON")
        for _ in range(15):
            MqttProbe(own_secured.broker("bed-1", "wrong"), "guess").leave()
            connect_without_tls(own_secured.broker())
        # The alert worker ends twice, and then has a certificate that ends in a day.
        pair = ca.sign_client(
            own_secured.access.authority.load_or_create(datetime.now(UTC)), "alerts", datetime.now(UTC), days=1
        )
        write_public(tmp_path / "alerts.crt", pair.certificate)
        write_secret(tmp_path / "alerts.key", pair.key)
        for _ in range(2):
            alerts.stop()
            eventually(lambda: not monitored.up()["vitalflow-alerts"], 30, "the alert worker is down")
            alerts.environment |= {
                "VITALFLOW_MQTT_URL": f"mqtts://127.0.0.1:{own_secured.access.listeners.certificates}",
                "VITALFLOW_MQTT_CERTIFICATE": str(tmp_path / "alerts.crt"),
                "VITALFLOW_MQTT_KEY": str(tmp_path / "alerts.key"),
            }
            alerts.start()
            eventually(lambda: monitored.up()["vitalflow-alerts"], 30, "the alert worker is up")
        # Nothing can be stored while readings arrive, for more than a minute.
        server.stop_at_once()
        wait_until_fired(monitored, STOPPED - {"VitalFlowServiceDown", "VitalFlowBrokerDisconnected"}, device)
        station.kill()
        own_secured.server.stop()
        wait_until_fired(monitored, STOPPED)

        assert monitored.problems() == []
    finally:
        device.close()
        monitored.stop()


@pytest.fixture
def secured_with_short_queues(binaries: ServerBinaries, run_name: str, tmp_path: Path) -> Iterator[Secured]:
    """A broker that drops what exceeds 500 messages of a client."""
    made = secured(binaries, f"{run_name}-short-queues", tmp_path, max_queued_messages="500")
    with serving(binaries, made.server):
        yield made


@pytest.mark.slow
def test_rules_fire_for_lost_flooding_and_silent_devices_and_for_work_that_is_behind(
    secured_with_short_queues: Secured,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    make_alerts: MakeAlerts,
    binaries: ServerBinaries,
    tmp_path: Path,
) -> None:
    broker = secured_with_short_queues
    server, db = own_database
    with psycopg.connect(db.owner_url) as connection:  # as on the Community edition, with what its job writes
        connection.execute("UPDATE vitalflow_edition SET community = true")
        connection.execute("INSERT INTO rollup_check VALUES (now() - interval '2 days', 'vitals_1m', 10, 9)")
    ingest = make_ingest(broker.url_of("ingest"), db, ingest_client_id="ingest", mqtt_ca=broker.ca)
    alerts = make_alerts(broker.url_of("alerts"), alerts_client_id="alerts", mqtt_ca=broker.ca)
    monitored = prometheus.PrometheusServer(
        tmp_path, {"vitalflow-ingest": ingest.metrics_port, "vitalflow-alerts": alerts.metrics_port}
    )
    standby = wal_receiver(binaries, server, tmp_path / "wal.log")
    device = AlertClient(0, broker.broker("grace"), broker.broker("bed-1"), "bed-1")
    late = datetime.now(UTC) - timedelta(days=8)
    try:
        monitored.start()
        standby.start()
        eventually(lambda: monitored.up() == {"vitalflow-ingest": True, "vitalflow-alerts": True}, 30, "both are up")
        # A device that logs in and sends nothing is reported after a minute.
        assert connects(broker.broker("bed-9"), session_id("bed-9", b"word-of-bed-9")) == "Success"
        # A standby that replays nothing.
        eventually(lambda: db.rows("SELECT 1 FROM replication_lag()"), 30, "the standby is known")
        standby.signal(signal.SIGSTOP)
        db.rows("SELECT count(pg_logical_emit_message(false, 'x', repeat('x', 1000000))) FROM generate_series(1, 300)")
        # A subscriber that is offline, and more messages than its queue holds.
        with MqttProbe(broker.broker("grace"), "offline", clean=False) as offline:
            assert offline.subscribe("vitalflow/vitals/icu-1/bed-1") == "Granted QoS 1"
        for _ in range(600):
            device.measure(heart_rate=80)
        # A device that floods the alert worker.
        with flooding(broker.broker("bed-2"), "small", 3.0, bytes_a_second=300_000.0) as flood:
            assert flood.wait(30) == 0
        # A late reading that a lock keeps out of its chunk.
        device.measure(at=late, heart_rate=80)
        eventually(lambda: db.one("SELECT count(*) FROM patient_vitals WHERE time = %s", late), 30, "a late reading")
        # Readings around an alert that a lock keeps from being copied.
        with psycopg.connect(db.owner_url) as owner, locked_chunk(db, late):
            owner.execute(
                "INSERT INTO alert_snapshot (alert_id, ward, device_id, raised_at, due_at)"
                " VALUES (gen_random_uuid(), 'icu-1', 'bed-1', now(), now())"
            )
            owner.commit()
            owner.execute("SELECT FROM alert_snapshot FOR UPDATE")
            device.measure(at=late + timedelta(seconds=1), heart_rate=80)
            wait_until_fired(monitored, BEHIND, device)
        assert monitored.problems() == []
    finally:
        device.close()
        standby.kill()
        monitored.stop()


@pytest.mark.slow
def test_rules_fire_for_messages_of_other_systems_that_wait_or_are_refused(
    own_broker: BrokerServer, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    site, inbox, queue, log = (tmp_path / name for name in ("site.toml", "inbox.db", "queue.db", "edges.log"))
    site.write_text(site_text(["bed-1"], '[[source]]\nname = "his"\napplication = "HIS"\nadmissions = true\n'))
    write_credentials(tmp_path / "beds.json", {})  # bed-1 is not enrolled
    environment = {"VITALFLOW_MQTT_URL": own_broker.url, "VITALFLOW_EDGES_CREDENTIALS": str(tmp_path / "beds.json")}
    edge = EdgeProcess(environment, site, inbox, log, "--peers", "127.0.0.1")
    out_port = free_port()
    receiver = Hl7Receiver(lambda _: []).start()
    messages = [Message(f"MSH|^~\\&|A||||{now:%Y%m%d}||ORU^R01|{number}|P|2.6\r".encode()) for number in range(100_001)]
    waiting = Queue(queue, print)
    waiting.put(messages, [], now - timedelta(minutes=5))
    waiting.close()
    line = ["vitalflow", "edges", "hl7", "readings", "--to", f"127.0.0.1:{receiver.port}", "--site", str(site)]
    line += ["--queue", str(queue), "--interval", "1"]
    ports = {"VITALFLOW_EDGES_OUT_METRICS_PORT": str(out_port)}
    out = ServiceProcess(line, {**os.environ, **environment, **ports}, tmp_path / "out.log")
    monitored = prometheus.PrometheusServer(
        tmp_path, {"vitalflow-edges": edge.metrics_port, "vitalflow-edges-out": out_port}
    )
    device = AlertClient(own_broker.port)
    held = sqlite3.connect(inbox, isolation_level=None)
    try:
        # A reading that has been in the inbox for five minutes, of a bed that cannot log in.
        assert edge.start().connect().send(report("bed-1", 1, now, {HEART_RATE: 70})) == "AA"
        edge.stop()
        held.execute("UPDATE reading SET received = received - 300")
        edge.start()
        out.start()
        monitored.start()
        up = {"vitalflow-edges": True, "vitalflow-edges-out": True}
        eventually(lambda: monitored.up() == up, 30, "each target is up")
        eventually(lambda: monitored.get("query", query="vitalflow_edges_messages_total"), 30, "first values")
        known = {name.removesuffix("_total") for name in monitored.get("metadata")}
        for rule in (rule for rule in rules() if rule["alert"] in EDGES):
            assert set(re.findall(r"vitalflow_\w+?(?=_total\b|\b)", rule["expr"])) <= known, rule["alert"]
        peer = edge.connect()
        assert peer.send(report("bed-9", 1, now, {HEART_RATE: 70})) == "AA", "a place that the site does not name"
        assert peer.send(report("bed-1", 2, now, {HEART_RATE: 70}).replace(b"ORU^R01^ORU_R01", b"QRY^R02")) == "AR"
        with socket.create_connection(("127.0.0.1", edge.port), 10, ("127.0.0.2", 0)) as rejected:
            assert rejected.recv(1) == b"", "its address is not in --peers"
        receiver.answer = rejecting_one()
        receiver.kill()  # the message is sent again
        receiver.start()
        device.measure(heart_rate=80)
        held.execute("BEGIN IMMEDIATE")
        assert peer.send(report("bed-1", 3, now, {HEART_RATE: 70})) == "AE"
        held.execute("ROLLBACK")
        wait_until_fired(monitored, EDGES - {"VitalFlowEdgesAdmissionsWaiting"}, device)
        own_broker.stop()
        stamp = f"{now:%Y%m%d%H%M%S}+0000"
        admission = f"MSH|^~\\&|HIS||||{stamp}||ADT^A01|M-1|P|2.5\rEVN||{stamp}\rPID|||77^^^HOSP\rPV1||I|ICU^^bed-1\r"
        assert peer.send(admission.encode()) == "AA"
        wait_until_fired(monitored, EDGES)
        assert monitored.problems() == []
    finally:
        held.close()
        device.close()
        monitored.stop()
        edge.close_peers()
        edge.kill()
        out.kill()
        receiver.close()
        sys.stdout.write(log.read_text())


@pytest.mark.slow
def test_rules_fire_for_a_forged_webhook_a_missing_port_and_an_unreachable_broker(
    own_broker: BrokerServer, tmp_path: Path
) -> None:
    write_secret(tmp_path / "phone.secret", b"0123456789abcdef")
    write_credentials(tmp_path / "beds.json", {})
    device = 'ward = "icu-1"\ndevice = "bed-1"\n'
    tables = {
        "webhook": '[[webhook]]\nname = "phone"\nkind = "health-auto-export"\n'
        f'secret_file = "{tmp_path}/phone.secret"\n{device}',
        "mqtt": f'[[mqtt]]\nname = "home"\nurl = "mqtt://127.0.0.1:{free_port()}"\nmappings = ["esphome"]\n',
        "serial": f'[[serial]]\nport = "{tmp_path}/oximeter"\ndecoder = "nonin-7"\n{device}',
    }
    port = free_port()
    commands = {"webhook": ["listen", "--listen", f"127.0.0.1:{port}"], "mqtt": ["run"], "serial": ["read"]}
    edges = []
    for kind, table in tables.items():
        site = tmp_path / f"{kind}.toml"
        site.write_text(f'zone = "UTC"\n{table}')
        environment = {
            "VITALFLOW_MQTT_URL": own_broker.url,
            "VITALFLOW_EDGES_CLIENT_ID": f"edges-{kind}",
            "VITALFLOW_EDGES_CREDENTIALS": str(tmp_path / "beds.json"),
        }
        command, files = [kind, *commands[kind]], (tmp_path / f"{kind}.db", tmp_path / f"{kind}.log")
        edges.append(EdgesProcess(command, environment, site, *files))
    monitored = prometheus.PrometheusServer(tmp_path, {"vitalflow-edges": [edge.metrics_port for edge in edges]})
    try:
        for edge in edges:
            edge.start()
        monitored.start()
        eventually(lambda: monitored.up() == {"vitalflow-edges": True}, 30, "each target is up")
        unproven = 'vitalflow_edges_messages_total{answer="unproven"}'
        eventually(lambda: monitored.get("query", query=unproven)["result"], 30, "first values")
        forged = urllib.request.Request(
            f"http://127.0.0.1:{port}/webhooks/phone", b"{}", {"Authorization": "Bearer 0123456789abcdex"}
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(forged, timeout=10)
        wait_until_fired(monitored, SENDERS - {"VitalFlowBrokerLacksFeature"})
        assert monitored.problems() == []
    finally:
        monitored.stop()
        for edge in edges:
            edge.kill()


def rejecting_one() -> Answer:
    """Reject the first message; then answer nothing."""
    answers = iter([Outcome.REJECT])

    def answer(message: Hl7Message) -> Sequence[bytes]:
        outcome = next(answers, None)
        if outcome is None:
            return []
        return [frame(content) for content in acknowledge(message, outcome, None, datetime.now(UTC))]

    return answer


def connect_without_tls(broker: BrokerEndpoint) -> None:
    """Send an MQTT CONNECT to a port that expects TLS, until the broker closes the connection."""
    with socket.create_connection((broker.host, broker.port)) as connection, suppress(ConnectionResetError):
        connection.sendall(bytes.fromhex("100c00044d5154540402003c0000"))
        connection.recv(1)


def wait_until_fired(
    monitored: prometheus.PrometheusServer, names: set[str], device: AlertClient | None = None
) -> None:
    """Wait until these rules have fired, while the device measures."""

    def all_fired() -> bool:
        if device is not None:
            device.measure(heart_rate=80)
        return monitored.fired() >= names

    try:
        eventually(all_fired, 240, "all rules fire")
    finally:
        sys.stdout.write(f"not fired: {sorted(names - monitored.fired())}\n")
