"""The broker of a ward: readings and alerts while the centre is away, and nothing lost or doubled when it returns."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from identity.bridge import BRIDGE_FILE
from stack.binaries import ServerBinaries
from stack.broker_access import MOSQUITTO
from stack.servers import STORE_FILE
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.broker_pair import export_line, further_broker, printed_by
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured, secured
from tests.support.mqtt_probe import MqttProbe, publishes
from tests.support.servers import Db, eventually, stop_running
from vitals.codec import encode
from vitals.reading import reading

WORKER = "alerts-edge-1"
PLACE = "icu-1/bed-1/heart-rate-high"
STORED = "SELECT seq, count(*) FROM patient_vitals WHERE device_id = 'bed-1' GROUP BY seq ORDER BY seq"
EVENTS = "SELECT change FROM alert_event WHERE device_id = 'bed-1' AND rule = 'heart-rate-high' ORDER BY revision"


@dataclass
class Ward:
    """The centre, and the broker of the ward icu-1 with a user for its alert worker."""

    centre: Secured
    edge: Secured
    worker_password: str


@pytest.fixture
def ward(binaries: ServerBinaries, run_name: str, tmp_path: Path) -> Iterator[Ward]:
    """Both brokers run, the second one with what the commands wrote for it."""
    centre = secured(binaries, f"{run_name}-centre", tmp_path)
    centre.server.start()
    environ, folder = os.environ | centre.settings("operator"), tmp_path / "edge"
    line = ["identity", "enroll-bridge", "edge-1", "--kind", "ward", "--ward", "icu-1", "--folder", str(folder)]
    printed_by([*line, "--address", f"127.0.0.1:{centre.server.port}"], environ)
    printed_by(export_line(binaries, centre, folder, "--ward", "icu-1"), environ)
    bridge = (folder / BRIDGE_FILE).read_text()
    edge = further_broker(binaries, f"{run_name}-edge", folder, centre, bridge, tmp_path / "edge.log")
    edge.server.start()
    printed = printed_by(
        ["identity", "add-service", WORKER, "--service", "alerts"],
        environ | {"VITALFLOW_ADMIN_URL": edge.url_of("admin")},
    )
    password = printed.partition(f"{WORKER}:")[2].partition("@")[0]
    yield Ward(centre, edge, password)
    for server in (edge.server, centre.server):
        stop_running(server)
        binaries.remove(server.folder.parent)


def test_a_ward_alarms_while_the_centre_is_away_and_nothing_is_lost_or_doubled_afterwards(
    ward: Ward, db: Db, binaries: ServerBinaries, make_ingest: MakeIngest, make_alerts: MakeAlerts
) -> None:
    centre, edge = ward.centre, ward.edge
    store = centre.server.folder / STORE_FILE
    make_ingest(centre.url_of("ingest"), db, ingest_client_id="ingest", mqtt_ca=centre.ca)
    url = edge.url.replace("//", f"//{WORKER}:{ward.worker_password}@")
    make_alerts(url, alerts_client_id=WORKER, alerts_wards="icu-1", mqtt_ca=edge.ca)
    bed = AlertClient(0, edge.broker("grace"), edge.broker("bed-1"), "bed-1")
    bed.measure(heart_rate=80)
    eventually(lambda: db.rows(STORED) == [(1, 1)], 30, "a reading reaches the centre")

    centre.server.signal(signal.SIGUSR1)  # saves its store, as it does every 10 s: a session that is not saved is lost
    eventually(lambda: b"ingest" in binaries.read(store, MOSQUITTO), 10, "the session of ingest is saved")
    centre.server.kill()
    for heart_rate in (81, 150):
        bed.measure(heart_rate=heart_rate)
    raised = bed.wait_for(PLACE, timeout=30, state="active")
    centre.server.start()
    eventually(lambda: db.rows(STORED) == [(1, 1), (2, 1), (3, 1)], 60, "the readings reach the centre once each")
    eventually(lambda: db.rows(EVENTS) == [("raised",)], 30, "the alert reaches the centre once")

    with MqttProbe(centre.broker("ada")) as ada:
        assert ada.connected == "Success"
        command = json.dumps({"by": "ada", "action": "acknowledge"}).encode()
        assert ada.publish(f"vitalflow/alert-commands/{PLACE}/ada", command) == "Success"
    assert bed.wait_for(PLACE, timeout=30, state="acknowledged").alert_id == raised.alert_id
    eventually(lambda: db.rows(EVENTS) == [("raised",), ("acknowledged",)], 30, "the centre has the acknowledgement")

    bed.close()
    edge.server.kill()
    with MqttProbe(centre.broker("ada")) as ada:
        assert ada.publish(f"vitalflow/alert-commands/{PLACE}/ada", b'{"by":"ada","action":"pause_audio"}') == "Success"
    edge.server.start()
    measure(edge, 4, 150)
    eventually(lambda: [times for _, times in db.rows(STORED)] == [1] * 4, 60, "the ward's broker goes on")
    numbers = count(
        5
    )  # the worker's session was not saved yet, so what came before it connected again is not evaluated

    def ended() -> bool:
        measure(edge, next(numbers), 80)
        return db.rows(EVENTS) == [("raised",), ("acknowledged",), ("cleared",)]

    eventually(ended, 60, "the alert ends, and no old command was carried out")
    assert db.one("SELECT count(DISTINCT alert_id) FROM alert_event WHERE rule = 'heart-rate-high'") == 1


def measure(edge: Secured, seq: int, heart_rate: float) -> None:
    """Publish a reading of bed-1 on a connection of its own."""
    device, now = edge.broker("bed-1"), datetime.now(UTC)
    payload = encode(reading(now, {"heart_rate": heart_rate}, boot=1, seq=seq, patient_id="p-bed-1"))
    answer = publishes(device, device.client_id("bed-1"), "vitalflow/vitals/icu-1/bed-1", payload)
    assert answer in ("Success", "No matching subscribers")
