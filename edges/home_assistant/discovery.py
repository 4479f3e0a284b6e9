"""Topics and payloads of Home Assistant: device discovery (2024.11 and later), states, availability. Pure.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. A state is not retained and expires, so that
Home Assistant shows no value from before its own start, nor one that nothing confirms any more.
"""

import json
import re
from typing import Any

from edges.home_assistant.beds import BedView
from vitals.alert_format import DISPLAY_UNITS, bed_name
from vitals.bed_snapshot import Condition
from vitals.signs import SIGNS
from vitals.topics import STACK_WARD, DeviceAddress
from vitals.version import VERSION

CONFIGS = "homeassistant/device/+/config"
ONLINE, OFFLINE = b"online", b"offline"
REPEAT_S = 5.0  # seconds between two states of a bed
EXPIRE_S = 15  # seconds after which Home Assistant shows a state no longer that is not repeated
_DEVICE_CLASS = {"temperature": "temperature"}  # not pressure: Home Assistant might show it in another unit


class Discovery:
    """The topics of one installation, by its topic root."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}/home-assistant"
        self._id = f"vitalflow__{_escape(root)}__"
        self._config = re.compile(rf"homeassistant/device/({re.escape(self._id)}[\w-]+)/config", re.ASCII)

    @property
    def running(self) -> str:
        """Topic that states whether everything below is current; its last will makes all unavailable."""
        return f"{self._root}/running"

    @property
    def alerts_known(self) -> str:
        """Topic that states whether the alerts are those of now."""
        return f"{self._root}/alerts-known"

    def state(self, bed: DeviceAddress) -> str:
        """Topic of the values, the status and the alert of a bed."""
        return f"{self._root}/beds/{bed.ward}/{bed.device}/state"

    def measured(self, bed: DeviceAddress) -> str:
        """Topic that states whether a bed is measured now, retained."""
        return f"{self._root}/beds/{bed.ward}/{bed.device}/measured"

    @property
    def retained(self) -> tuple[str, ...]:
        """Filters for what this process has retained at the broker."""
        return CONFIGS, f"{self._root}/beds/+/+/measured"

    def config_topic(self, bed: DeviceAddress) -> str:
        """Topic of the discovery of a bed."""
        return f"homeassistant/device/{self._object_id(bed)}/config"

    def is_own(self, topic: str) -> bool:
        """Return whether a topic is one that this installation retains for a bed."""
        return topic.startswith(f"{self._root}/beds/") or self._config.fullmatch(topic) is not None

    def config(self, bed: DeviceAddress) -> bytes:
        """Return the discovery of a bed; of a place of the stack only the alert."""
        number = self._object_id(bed)
        components: dict[str, dict[str, Any]] = {
            "alert": {
                "platform": "binary_sensor",
                "name": "Alert",
                "device_class": "problem",
                "value_template": "{{ 'ON' if value_json.alert else 'OFF' }}",
                **self._available(self.alerts_known),
            },
            "alert_text": {
                "platform": "sensor",
                "name": "Alert text",
                "icon": "mdi:message-alert",
                "value_template": "{{ value_json.alert or 'none' }}",
                **self._available(self.alerts_known),
            },
        }
        if bed.ward != STACK_WARD:
            components["status"] = {
                "platform": "sensor",
                "name": "Status",
                "device_class": "enum",
                "options": [condition.value for condition in Condition],
                "value_template": "{{ value_json.status }}",
                **self._available(),
            }
            components |= {
                sign.key: {
                    "platform": "sensor",
                    "name": sign.label,
                    "unit_of_measurement": DISPLAY_UNITS.get(sign.unit, sign.unit),
                    "state_class": "measurement",
                    "suggested_display_precision": sign.decimals,
                    "value_template": f"{{{{ value_json.{sign.key} }}}}",
                    **({"device_class": _DEVICE_CLASS[sign.key]} if sign.key in _DEVICE_CLASS else {}),
                    **self._available(self.measured(bed)),
                }
                for sign in SIGNS
            }
        for key, component in components.items():
            component |= {"unique_id": f"{number}__{key}", "state_topic": self.state(bed), "expire_after": EXPIRE_S}
        name = f"{bed.ward} {bed_name(bed.ward, bed.device)}"
        device = {"identifiers": [number], "name": name, "manufacturer": "VitalFlow", "suggested_area": bed.ward}
        origin = {"name": "VitalFlow", "sw_version": VERSION}
        return json.dumps({"device": device, "origin": origin, "components": components}).encode()

    def _available(self, *topics: str) -> dict[str, Any]:
        found = [{"topic": topic} for topic in (self.running, *topics)]
        return {"availability": found, "availability_mode": "all"}

    def _object_id(self, bed: DeviceAddress) -> str:
        return f"{self._id}{_escape(bed.ward)}__{_escape(bed.device)}"


def encode_state(view: BedView) -> bytes:
    """Return the state of a bed."""
    return json.dumps({"status": view.status.value, "alert": view.alert, **view.values}).encode()


def _escape(name: str) -> str:
    """Return a name in the characters that Home Assistant permits, another one for each name."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", name)
