"""Beds and alerts in Home Assistant, on the secured broker: values, alerts, kills, and the rights of each user."""

import asyncio
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edges.home_assistant.beds import FORGET_AFTER, Beds
from edges.home_assistant.discovery import Discovery
from edges.home_assistant.metrics import NAME
from edges.home_assistant.publisher import Publisher
from mqtt.endpoint import BrokerEndpoint, session_id
from stack.servers import BrokerServer, free_port
from tests.fixtures.alerts import MakeAlerts
from tests.fixtures.secured import Secured
from tests.support.home_assistant import UNAVAILABLE, HomeAssistant
from tests.support.mqtt_probe import MqttProbe
from tests.support.process import ServiceProcess
from tests.support.servers import eventually
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import DeviceAddress, Topics

USER = "edges-home-assistant"
BED = "icu-1 bed-1"
PATIENT = "patient-4711"
CONFIG = "homeassistant/device/vitalflow__vitalflow__icu-1__bed-1/config"


class Monitor:
    """Bed 1: publishes its heart rate twice a second while it runs."""

    def __init__(self, secured: Secured) -> None:
        self.heart_rate = 72.0
        self._secured = secured
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._sequence = 0

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with MqttProbe(self._secured.broker("bed-1"), session_id("bed-1", b"word-of-bed-1")) as probe:
            probe.publish("vitalflow/status/icu-1/bed-1", b'{"state":"online","boot":1}', retain=True)
            while not self._stopping.wait(0.5):
                self._sequence += 1
                values = {"heart_rate": self.heart_rate}
                now = datetime.now(UTC)
                sent = reading(now, values, boot=1, seq=self._sequence, patient_id=PATIENT)
                probe.publish("vitalflow/vitals/icu-1/bed-1", encode(sent))


@pytest.fixture
def monitor_of_bed_1(own_secured: Secured) -> Iterator[Monitor]:
    monitor = Monitor(own_secured)
    monitor.start()
    yield monitor
    monitor.stop()


@pytest.fixture
def home_assistant_edge(own_secured: Secured, tmp_path: Path) -> Iterator[ServiceProcess]:
    """`vitalflow edges mqtt home-assistant`, started."""
    line = ["vitalflow", "edges", "mqtt", "home-assistant"]
    settings = own_secured.settings(USER) | {"VITALFLOW_EDGES_HOME_ASSISTANT_METRICS_PORT": str(free_port())}
    with ServiceProcess(line, os.environ | settings, tmp_path / "home-assistant.log") as process:
        yield process.start()


def served(edge: ServiceProcess, page: str) -> dict[str, Any]:
    """/healthz, or the values of /metrics by their names without the prefix."""
    url = f"http://127.0.0.1:{edge.environment['VITALFLOW_EDGES_HOME_ASSISTANT_METRICS_PORT']}/{page}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    if page == "healthz":
        found: dict[str, Any] = json.loads(text)
        return found
    families = text_string_to_metric_families(text)
    return {sample.name.removeprefix(NAME): sample.value for family in families for sample in family.samples}


def test_values_and_alerts_are_shown_while_they_are_current_and_never_after(
    own_secured: Secured,
    monitor_of_bed_1: Monitor,
    home_assistant_edge: ServiceProcess,
    make_alerts: MakeAlerts,
) -> None:
    worker = make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    with HomeAssistant(own_secured.broker("home")) as home:

        def shows(key: str, value: object) -> Callable[[], bool]:
            return lambda: home.entity(BED, key) == value

        eventually(shows("heart_rate", 72.0), 30, "the heart rate")
        eventually(shows("alert", ""), 30, "that no alert is open")
        eventually(lambda: served(home_assistant_edge, "healthz")["status"] == "ok", 30, "it works")
        metrics = served(home_assistant_edge, "metrics")
        assert (metrics["mqtt_connected"], metrics["publishing"], metrics["beds"]) == (1, 1, 1)
        assert metrics["states_published_total"] > 0
        monitor_of_bed_1.heart_rate = 150.0
        eventually(shows("heart_rate", 150.0), 30, "the next value")
        eventually(lambda: home.entity(BED, "alert").startswith("high: Heart rate high"), 30, "the alert")
        worker.kill()
        eventually(shows("alert", UNAVAILABLE), 30, "that the alerts are not known")
        eventually(shows("heart_rate", 150.0), 30, "the values do not depend on the worker")
        home_assistant_edge.kill()
        for key in ("heart_rate", "alert", "status"):
            eventually(shows(key, UNAVAILABLE), 30, f"the last will makes {key} unavailable")
        home_assistant_edge.start()
        eventually(shows("heart_rate", 150.0), 30, "the value after a restart")
        monitor_of_bed_1.stop()
        eventually(shows("heart_rate", UNAVAILABLE), 30, "a silent bed is unavailable")
        eventually(lambda: home.entity(BED, "status") in ("SILENT", "OFFLINE"), 30, "its status")
        assert home_assistant_edge.stop() == 0
        eventually(shows("status", UNAVAILABLE), 30, "everything is unavailable at the end")
        assert not any(PATIENT in payload for payload in home.received)


def test_the_entities_of_a_bed_that_is_gone_are_removed_and_those_of_others_stay(
    own_secured: Secured, monitor_of_bed_1: Monitor, home_assistant_edge: ServiceProcess
) -> None:
    with HomeAssistant(own_secured.broker("home")) as home, MqttProbe(own_secured.broker("admin")) as admin:
        eventually(lambda: CONFIG in home.configs, 30, "the bed")
        monitor_of_bed_1.stop()
        admin.publish("vitalflow/status/icu-1/bed-1", b"", retain=True)
        eventually(lambda: CONFIG not in home.configs, 30, "the bed is gone")


def test_everything_is_shown_again_after_a_kill_of_the_broker(
    own_secured: Secured, monitor_of_bed_1: Monitor, home_assistant_edge: ServiceProcess
) -> None:
    with HomeAssistant(own_secured.broker("home")) as home:
        eventually(lambda: home.entity(BED, "heart_rate") == 72.0, 30, "the value")
    monitor_of_bed_1.stop()
    own_secured.server.kill()
    own_secured.server.start()
    monitor_of_bed_1.heart_rate = 99.0
    monitor_of_bed_1.start()
    with HomeAssistant(own_secured.broker("home")) as home:
        eventually(lambda: home.entity(BED, "heart_rate") == 99.0, 30, "the value after the kill")


def test_what_an_earlier_run_left_of_beds_that_are_gone_is_removed_at_another_broker_too(broker: BrokerServer) -> None:
    discovery, now = Discovery("vitalflow"), datetime.now(UTC)
    present, gone = (DeviceAddress("icu-1", name) for name in ("present", "gone"))
    other = Discovery("other").config_topic(gone)
    beds = Beds(Topics(), now)
    beds.connected(now - FORGET_AFTER)
    beds.take("vitalflow/status/icu-1/present", b'{"state":"online","boot":1}', True, now)
    publisher = Publisher(BrokerEndpoint.parse(broker.url), "discovery", discovery, beds, lambda: True)

    async def run() -> None:
        running = asyncio.create_task(publisher.run())
        wanted = {other, discovery.config_topic(present)}
        await asyncio.to_thread(eventually, lambda: set(home.configs) == wanted, 30, "the bed that is gone")
        publisher.stop()
        await running

    endpoint = BrokerEndpoint.parse(broker.url)
    with MqttProbe(endpoint) as earlier, HomeAssistant(endpoint) as home:
        for topic in (discovery.config_topic(gone), other):
            earlier.publish(topic, discovery.config(gone), retain=True)
        earlier.publish(discovery.measured(gone), b"online", retain=True)
        eventually(lambda: len(home.configs) == 2, 30, "the beds of earlier runs")
        asyncio.run(run())
        eventually(lambda: home.last[discovery.measured(gone)] == b"", 30, "its availability")
        assert home.last[discovery.running] == b"offline"


def test_each_user_has_the_rights_of_its_task_only(own_secured: Secured) -> None:
    with MqttProbe(own_secured.broker(USER)) as edge:
        for topic in ("vitalflow/vitals/icu-1/bed-1", "vitalflow/alerts/icu-1/bed-1/x", "homeassistant/status"):
            assert edge.publish(topic) == "Not authorized"
        assert edge.subscribe("vitalflow/assignments/#") == "Not authorized"
    with MqttProbe(own_secured.broker("home")) as home:
        for topic in (CONFIG, "vitalflow/home-assistant/running", "vitalflow/vitals/icu-1/bed-1"):
            assert home.publish(topic) == "Not authorized"
        for topic in ("vitalflow/vitals/#", "vitalflow/alerts/#", "vitalflow/#"):
            assert home.subscribe(topic) == "Not authorized"
        assert home.publish("homeassistant/status", b"online") in ("Success", "No matching subscribers")
        assert home.subscribe("homeassistant/#") == "Granted QoS 1"
