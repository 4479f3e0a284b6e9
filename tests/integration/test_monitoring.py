"""monitoring/ in Debian's Prometheus: each target is up, and each rule fires for its cause."""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from identity import ca
from identity.authority import write_public, write_secret
from stack.servers import DatabaseServer
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation
from tests.support import prometheus
from tests.support.mqtt_probe import MqttProbe
from tests.support.servers import Db, eventually
from vitals.errors import PermanentError

try:
    FOLDER = prometheus.find()
except PermanentError as error:
    pytest.skip(str(error), allow_module_level=True)  # the header of the run says it too

CAUSED = {
    "VitalFlowServiceDown",
    "VitalFlowServiceRestarts",
    "VitalFlowBrokerDisconnected",
    "VitalFlowDatabaseDisconnected",
    "VitalFlowReadingsNotStored",
    "VitalFlowMessagesUnacknowledged",
    "VitalFlowNothingCommitted",
    "VitalFlowMessagesRejected",
    "VitalFlowLoginsRefused",
    "VitalFlowCertificateExpiresSoon",
    "VitalFlowCertificateExpires",
}
# Their causes take minutes or gigabytes here; promtool's tests have them, and tests of the metrics cause them.
ONLY_IN_PROMTOOL = {
    "VitalFlowLateReadingsWaiting",
    "VitalFlowRollupsIncomplete",
    "VitalFlowDevicesWithoutReadings",
    "VitalFlowBrokerDropsMessages",
    "VitalFlowMessagesThrottled",
    "VitalFlowStandbyLagging",
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


def test_each_rule_is_caused_in_promtool_and_all_but_the_slow_ones_live() -> None:
    names = [rule["alert"] for rule in rules()]
    assert set(names) == CAUSED | ONLY_IN_PROMTOOL
    tested = [
        re.findall(r'alertname="(\w+)"', str(test["promql_expr_test"]))
        for test in yaml.safe_load(TESTS.read_text())["tests"]
    ]
    assert {name for found in tested for name in found} == set(names)


@pytest.mark.slow
def test_each_target_is_up_and_each_rule_fires_when_it_is_caused(
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
            for name in re.findall(r"vitalflow_[\w.+]+\w", rule["expr"]):
                assert any(re.fullmatch(name.removesuffix("_total"), metric) for metric in known), name
        assert monitored.fired() == set()

        # What is rejected.
        device.send("vitals/icu-1/bed-1", b"not JSON")
        for _ in range(15):
            MqttProbe(own_secured.broker("bed-1", "wrong"), "guess").leave()
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
        wait_until_fired(monitored, CAUSED - {"VitalFlowServiceDown", "VitalFlowBrokerDisconnected"}, device)
        station.kill()
        own_secured.server.stop()
        wait_until_fired(monitored, CAUSED)

        assert {rule["health"] for group in monitored.get("rules")["groups"] for rule in group["rules"]} == {"ok"}
        assert "error expanding" not in str(monitored.get("alerts"))
    finally:
        device.close()
        monitored.stop()


def wait_until_fired(
    monitored: prometheus.PrometheusServer, names: set[str], device: AlertClient | None = None
) -> None:
    """Wait until these rules have fired, while the device measures."""

    def all_fired() -> bool:
        if device is not None:
            device.measure(heart_rate=80)
        return monitored.fired() >= names

    eventually(all_fired, 240, f"all of {sorted(names)} fire")
