"""An alert worker for tests: the real program, and a person with an MQTT client."""

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import BrokerEndpoint, configure_client
from stack.servers import free_port
from tests.fix_process import ServiceProcess
from tests.fix_servers import eventually
from vitals.alert import Alert, decode_alert
from vitals.codec import encode
from vitals.reading import reading

RULES = """
[[rule]]
name = "spo2-low"
sign = "spo2"
text = "Oxygen saturation low"
clear_for_s = 2
    [[rule.level]]
    priority = "medium"
    below = 92
    clear = 93
    for_s = 4
    [[rule.level]]
    priority = "high"
    below = 80
    clear = 82

[[rule]]
name = "heart-rate-high"
sign = "heart_rate"
text = "Heart rate high"
priority = "high"
above = 120
clear = 118
for_s = 0

[[rule]]
name = "no-data"
sign = "no-data"
text = "No readings from the device"
priority = "medium"
for_s = 3
"""


class AlertsProcess(ServiceProcess):
    """`vitalflow alerts run` with rules of its own, its log and its metrics port."""

    def __init__(self, mqtt_url: str, folder: Path, **settings: object) -> None:
        log = folder / f"alerts-{uuid.uuid4().hex[:6]}.log"
        self.rules = folder / f"rules-{uuid.uuid4().hex[:6]}.toml"
        self.rules.write_text(RULES)
        self.client_id = f"alerts-{uuid.uuid4().hex[:8]}"
        self.metrics_port = free_port()
        environment = {
            **os.environ,
            "VITALFLOW_MQTT_URL": mqtt_url,
            "VITALFLOW_ALERTS_CLIENT_ID": self.client_id,
            "VITALFLOW_ALERTS_RULES": str(self.rules),
            "VITALFLOW_ALERTS_METRICS_PORT": str(self.metrics_port),
            **{f"VITALFLOW_{key.upper()}": str(value) for key, value in settings.items()},
        }
        super().__init__(["alerts", "run"], environment, log)


class Person:
    """Somebody at the broker: sends readings and commands, and sees every alert message that comes by.

    `told` has all of them in order, None for a topic that was emptied; `now` what is retained, by topic below alerts/.
    """

    def __init__(
        self, port: int, see: BrokerEndpoint | None = None, measure: BrokerEndpoint | None = None, device: str = ""
    ) -> None:
        """`see` and `measure`: at a broker with doors, who watches, and the device that measures."""
        self.told: list[tuple[str, Alert | None]] = []
        self.now: dict[str, Alert] = {}
        self.refusals: list[dict[str, str]] = []
        self._seq = 0
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"person-{uuid.uuid4().hex[:6]}")
        self._client.on_connect = lambda client, *_: (
            client.subscribe([("vitalflow/alerts/#", 1), ("vitalflow/services/+/rejections", 1)]) and None
        )
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._see
        self._sender = self._client
        if see is not None and measure is not None:
            configure_client(self._client, see)
            self._sender = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=measure.client_id(device))
            configure_client(self._sender, measure)
            self._sender.connect(measure.host, measure.port)
            self._sender.loop_start()
            port = see.port
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _see(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/rejections"):
            self.refusals.append(json.loads(message.payload))
            return
        topic = message.topic.removeprefix("vitalflow/alerts/")
        if not message.payload:
            self.told.append((topic, None))
            self.now.pop(topic, None)
            return
        alert = decode_alert(bytes(message.payload))
        self.told.append((topic, alert))
        self.now[topic] = alert

    def send(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._sender.publish(f"vitalflow/{topic}", payload, qos=1, retain=retain).wait_for_publish(10)

    def measure(self, device: str = "bed-1", ward: str = "icu-1", at: datetime | None = None, **signs: float) -> None:
        """One reading, now unless told otherwise."""
        self._seq += 1
        patient = f"p-{device}"
        told = reading(at or datetime.now(UTC), signs, boot=1, seq=self._seq, patient_id=patient)
        self.send(f"vitals/{ward}/{device}", encode(told))

    def does(self, action: str, place: str, by: str = "nurse Ada", **more: object) -> None:
        """A command about an alert: `place` is ward/device/rule."""
        self.send(f"alert-commands/{place}", json.dumps({"by": by, "action": action, **more}).encode())

    def sees(self, place: str, timeout: float = 10, **fields: object) -> Alert:
        """Wait until the alert on `place` has these fields."""

        def holds() -> bool:
            alert = self.now.get(place)
            return alert is not None and all(getattr(alert, key) == value for key, value in fields.items())

        eventually(holds, timeout, f"{place} with {fields}; it is {self.now.get(place)}")
        return self.now[place]

    def changes(self, place: str) -> list[str]:
        """What happened to the alert on `place`, each change once."""
        seen: dict[tuple[Any, int], str] = {}
        for topic, alert in self.told:
            if topic == place and alert is not None:
                seen.setdefault((alert.alert_id, alert.revision), alert.change)
        return list(seen.values())

    def close(self) -> None:
        for client in {self._client, self._sender}:
            client.disconnect()
            client.loop_stop()


MakeAlerts = Callable[..., AlertsProcess]


@pytest.fixture
def make_alerts(tmp_path: Path) -> Iterator[MakeAlerts]:
    """Start alert workers; all of them are gone when the test ends."""
    made: list[AlertsProcess] = []

    def make(mqtt_url: str, *, start: bool = True, **settings: object) -> AlertsProcess:
        alerts = AlertsProcess(mqtt_url, tmp_path, **settings)
        made.append(alerts)
        return alerts.start() if start else alerts

    yield make
    for alerts in made:
        if alerts.process is not None and alerts.process.poll() is None:
            alerts.kill()
        sys.stdout.write(alerts.said())  # pytest shows it where the test failed


@pytest.fixture
def make_person() -> Iterator[Callable[[int], Person]]:
    made: list[Person] = []

    def make(port: int) -> Person:
        made.append(Person(port))
        return made[-1]

    yield make
    for person in made:
        person.close()
