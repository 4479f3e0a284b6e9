"""What Home Assistant makes of the discovery, for tests: entities with their availability and their last state."""

import json
import threading
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import BrokerEndpoint, configure_client

UNAVAILABLE, UNKNOWN = "unavailable", None


class HomeAssistant:
    """Subscribes as Home Assistant does. `values` of the templates are read by their key; `expire_after` is ignored."""

    def __init__(self, broker: BrokerEndpoint) -> None:
        self.configs: dict[str, dict[str, Any]] = {}
        self.last: dict[str, bytes] = {}
        self.received: list[str] = []
        self._lock = threading.Lock()
        client = self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        configure_client(client, broker)
        client.on_connect = lambda client, *_: client.subscribe(
            [("homeassistant/#", 1), ("vitalflow/home-assistant/#", 1)]
        )
        client.on_message = self._take
        client.connect(broker.host, broker.port)
        client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self.received.append(message.payload.decode())
            if message.topic.endswith("/config"):
                self.configs.pop(message.topic, None)
                if message.payload:
                    self.configs[message.topic] = json.loads(message.payload)
            else:
                self.last[message.topic] = bytes(message.payload)

    def entity(self, device: str, key: str) -> Any:
        """Return the state of an entity of the device with this name."""
        with self._lock:
            for config in self.configs.values():
                if config["device"]["name"] == device:
                    component = config["components"][key]
                    if any(self.last.get(item["topic"]) != b"online" for item in component["availability"]):
                        return UNAVAILABLE
                    state = self.last.get(component["state_topic"])
                    return UNKNOWN if state is None else json.loads(state)[key.removesuffix("_text")]
        return "no such device"
