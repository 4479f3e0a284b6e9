"""What Home Assistant shows of beds and alerts, and its discovery."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edges.home_assistant.beds import FORGET_AFTER, Beds
from edges.home_assistant.discovery import Discovery, encode_state
from mqtt.service_status import ServiceStatus, encode_service_status
from tests.support.factories import make_alert
from vitals.alert import Alert, Change, Priority, State, encode_alert
from vitals.codec import encode
from vitals.reading import reading
from vitals.status import Status, encode_status
from vitals.topics import DeviceAddress, Topics

START = datetime(2026, 11, 29, 10, tzinfo=UTC)
TOPICS = Topics()
BED = DeviceAddress("icu-1", "icu-1-bed-07")


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def alert_at(place: DeviceAddress, rule: str, priority: str, text: str, *, is_open: bool = True) -> Alert:
    return make_alert(
        ward=place.ward,
        device_id=place.device,
        rule=rule,
        priority=Priority(priority),
        text=text,
        unit=None,
        state=State.ACTIVE if is_open else State.CLEARED,
        change=Change.RAISED if is_open else Change.CLEARED,
    )


class Scene:
    """Beds that were connected at second 0, and one bed that is online."""

    def __init__(self) -> None:
        self.beds = Beds(TOPICS, START)
        self.beds.connected(START)
        self.status(0)

    def status(self, second: float, state: Any = "online", boot: int = 1) -> None:
        payload = encode_status(Status(state=state, boot=boot)) if state else b""
        self.beds.take(TOPICS.status(BED.ward, BED.device), payload, True, at(second))

    def measure(
        self, second: float, *, arrives: float | None = None, patient: str | None = None, **values: Any
    ) -> None:
        sent = reading(at(second), values, boot=1, seq=int(second * 10) + 1, patient_id=patient)
        topic = TOPICS.vitals(BED.ward, BED.device)
        self.beds.take(topic, encode(sent), False, at(second if arrives is None else arrives))

    def worker(self, second: float, state: Any = "online", *, retained: bool = False, problem: str = "") -> None:
        payload = encode_service_status(ServiceStatus(state=state, boot=1, problem=problem))
        self.beds.take(TOPICS.service("alerts"), payload, retained, at(second))

    def state(self, second: float) -> dict[str, Any]:
        self.beds.tick(at(second))
        view = self.beds.views(at(second))[BED]
        return {"measured": view.measured, **json.loads(encode_state(view))}


def test_a_bed_that_sends_shows_its_values_and_one_that_is_silent_or_offline_none() -> None:
    scene = Scene()
    assert (scene.state(0)["measured"], scene.state(0)["status"]) == (False, "WAITING")
    for second in range(4):
        scene.measure(second, heart_rate=72.0 + second, spo2=97.0)
    shown = scene.state(3)
    assert (shown["measured"], shown["status"]) == (True, "NORMAL")
    assert (shown["heart_rate"], shown["spo2"], shown["temperature"]) == (75.0, 97.0, None)
    silent = scene.state(8.5)
    assert (silent["measured"], silent["status"], silent["heart_rate"]) == (False, "SILENT", None)
    scene.measure(9, heart_rate=80.0)
    assert scene.state(9)["heart_rate"] == 80.0
    scene.status(9.5, "offline")
    offline = scene.state(9.5)
    assert (offline["measured"], offline["status"], offline["heart_rate"]) == (False, "OFFLINE", None)


def test_a_retained_reading_is_not_shown() -> None:
    scene = Scene()
    payload = encode(reading(at(-86_400), {"heart_rate": 72.0}))
    scene.beds.take(TOPICS.vitals(BED.ward, BED.device), payload, True, at(0))
    shown = scene.state(2)
    assert (shown["measured"], shown["status"], shown["heart_rate"]) == (False, "WAITING", None)


def test_a_value_that_is_not_repeated_is_shown_for_15_s() -> None:
    scene = Scene()
    scene.measure(0, systolic_bp=120.0, heart_rate=70.0)
    for second in range(1, 17):
        scene.measure(second, heart_rate=70.0)
    assert scene.state(15)["systolic_bp"] == 120.0
    assert scene.state(16)["systolic_bp"] is None
    assert scene.state(16)["heart_rate"] == 70.0


def test_a_backlog_and_a_sensor_that_is_off_show_no_value() -> None:
    scene = Scene()
    scene.measure(0, heart_rate=70.0)
    for number in range(20):
        scene.measure(-3600 + number, arrives=1 + number / 100, heart_rate=150.0)
    assert scene.state(2)["heart_rate"] == 70.0
    scene.measure(3, spo2=97.0, sensor_off=("heart_rate",))
    assert scene.state(3)["heart_rate"] is None


def test_no_value_of_one_patient_is_shown_as_of_another_and_no_number_of_a_patient_at_all() -> None:
    scene = Scene()
    scene.measure(0, patient="p-1", heart_rate=70.0, temperature=39.5)
    scene.measure(1, patient="p-2", heart_rate=90.0)
    shown = scene.state(1)
    assert (shown["heart_rate"], shown["temperature"]) == (90.0, None)
    assert "p-2" not in json.dumps(shown)
    scene.measure(0, arrives=2, patient="p-1", heart_rate=70.0, temperature=39.5)  # sent again
    scene.measure(0.5, arrives=2, temperature=39.4)  # late, without its patient
    shown = scene.state(2)
    assert (shown["heart_rate"], shown["temperature"]) == (90.0, None)


def test_a_new_connection_begins_without_values_and_forgets_beds_that_are_gone() -> None:
    scene = Scene()
    scene.measure(0, heart_rate=70.0)
    scene.beds.connected(at(1))
    assert scene.state(1)["measured"] is False
    scene.beds.tick(at(1) + FORGET_AFTER - timedelta(seconds=1))
    assert BED in scene.beds.views(at(30))
    scene.beds.tick(at(1) + FORGET_AFTER)
    assert scene.beds.views(at(62)) == {}
    scene.status(63)
    scene.status(64, "")
    assert scene.beds.views(at(64)) == {}


def test_that_there_is_no_alert_is_known_only_while_the_worker_runs_and_all_alerts_were_sent() -> None:
    scene = Scene()
    scene.worker(0, retained=True)
    assert not scene.beds.alerts_known(at(11)), "a retained status is of no known age"
    scene.worker(9)
    assert not scene.beds.alerts_known(at(9)), "the broker may not have sent them all"
    scene.worker(11)
    assert scene.beds.alerts_known(at(11))
    assert not scene.beds.alerts_known(at(40)), "no heartbeat"
    for state, problem in (("offline", ""), ("online", "it cannot publish")):
        scene.worker(41)
        assert scene.beds.alerts_known(at(41))
        scene.worker(41, state, problem=problem)
        assert not scene.beds.alerts_known(at(41))


def test_the_most_urgent_alert_is_shown_until_it_is_cleared() -> None:
    scene = Scene()
    low = alert_at(BED, "spo2-low", "low", "SpO2 88 % is below 90")
    high = alert_at(BED, "heart-rate-high", "high", "Heart rate 150 /min is above 120")
    for item in (low, high):
        scene.beds.take(TOPICS.alert(BED.ward, BED.device, item.rule), encode_alert(item), True, at(1))
    assert scene.state(1)["alert"] == "high: Heart rate 150 /min is above 120 (and 1 more)"
    cleared = alert_at(BED, high.rule, "high", high.text, is_open=False)
    scene.beds.take(TOPICS.alert(BED.ward, BED.device, high.rule), encode_alert(cleared), True, at(2))
    assert scene.state(2)["alert"] == "low: SpO2 88 % is below 90"


def test_an_alert_of_the_stack_is_a_device_with_alerts_only() -> None:
    scene, place = Scene(), DeviceAddress("stack", "ingest")
    item = alert_at(place, "nothing-stored", "high", "Nothing is stored")
    scene.beds.take(TOPICS.alert("stack", "ingest", item.rule), encode_alert(item), True, at(1))
    assert scene.beds.views(at(1))[place].alert == "high: Nothing is stored"
    assert set(json.loads(Discovery("vitalflow").config(place))["components"]) == {"alert", "alert_text"}


def test_the_discovery_has_units_and_is_available_only_with_process_and_bed() -> None:
    discovery = Discovery("vitalflow")
    config = json.loads(discovery.config(BED))
    assert config["origin"]["name"] == "VitalFlow"
    assert config["device"]["name"] == "icu-1 bed-07"
    signs = {key: item.get("unit_of_measurement") for key, item in config["components"].items()}
    assert (signs["heart_rate"], signs["temperature"], signs["systolic_bp"]) == ("/min", "°C", "mmHg")
    for key, item in config["components"].items():
        topics = [entry["topic"] for entry in item["availability"]]
        assert topics[0] == discovery.running
        assert item["availability_mode"] == "all"
        assert item["expire_after"] == 15
        if key in signs and signs[key] is not None:
            assert topics[1:] == [discovery.measured(BED)]
    assert len({item["unique_id"] for item in config["components"].values()}) == len(signs)


@pytest.mark.parametrize("name", ["bed 7", "Bett_7", "bed-é", "a__b", "a_5f_b"])
def test_every_name_has_an_object_id_of_its_own_in_permitted_characters(name: str) -> None:
    discovery = Discovery("vital flow/2")
    topic = discovery.config_topic(DeviceAddress("w", name))
    assert discovery.is_own(topic)
    assert not Discovery("vitalflow").is_own(topic)
    assert (
        topic.removeprefix("homeassistant/device/")
        .removesuffix("/config")
        .replace("_", "a")
        .replace("-", "a")
        .isalnum()
    )
    others = ["bed_7", "bed-7", "Bett 7", "bed-e", "a_b", "a-b", "a", "b"]
    assert topic not in {discovery.config_topic(DeviceAddress("w", other)) for other in others}
    assert topic.isascii()
