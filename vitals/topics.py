"""The addresses: which MQTT topic carries what, built and taken apart in one place.

No patient appears in a topic, because every client that may subscribe sees topics. `{device}` is the
device's user name at the broker, which is what lets the broker's access list pin a device to its own.
"""

from dataclasses import dataclass

from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT


class InvalidTopic(PermanentError):
    """A topic that is none of ours; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where a message comes from: the ward and the device, as the topic names them."""

    ward: str
    device: str


def _fits(level: str) -> bool:
    # Printable keeps NUL, tabs and line ends out of rows, logs and pages; emoji and Hebrew stay welcome.
    return 0 < len(level) <= MAX_TEXT and level.isprintable()


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics below one root (setting VITALFLOW_TOPIC_ROOT)."""

    root: str = "vitalflow"

    def vitals(self, ward: str, device: str) -> str:
        """Readings of a device."""
        return f"{self.root}/vitals/{ward}/{device}"

    def status(self, ward: str, device: str) -> str:
        """Birth and last will of a device, retained."""
        return f"{self.root}/status/{ward}/{device}"

    def service(self, name: str) -> str:
        """Birth, heartbeat and last will of a service, retained."""
        return f"{self.root}/services/{name}"

    def alert(self, ward: str, device: str, rule: str) -> str:
        """An alert as it now stands, retained."""
        return f"{self.root}/alerts/{ward}/{device}/{rule}"

    def receipts(self, ward: str, device: str) -> str:
        """What is committed of a device's readings."""
        return f"{self.root}/receipts/{ward}/{device}"

    def rejections(self, service: str, person: str | None = None) -> str:
        """What a service was asked to do and did not, with the reason; apart for each user of the broker who asked."""
        topic = f"{self.root}/services/{service}/rejections"
        return topic if person is None else f"{topic}/{person}"

    def rules(self, service: str) -> str:
        """The rules that an alert worker watches by, retained."""
        return f"{self.root}/services/{service}/rules"

    @property
    def health(self) -> str:
        """What a broker's health check says, and hears."""
        return f"{self.root}/health"

    @property
    def enrolment(self) -> str:
        """Who was enrolled and who revoked, for the record."""
        return f"{self.root}/audit/enrolment"

    def alert_commands(self, ward: str = "+", device: str = "+", rule: str = "+", person: str | None = None) -> str:
        """What a person does to an alert; by default the filter for all of it that the station says for somebody.

        person   a user of the broker who says it himself, on a topic that only he may publish to
        """
        topic = f"{self.root}/alert-commands/{ward}/{device}/{rule}"
        return topic if person is None else f"{topic}/{person}"

    def limits(self, ward: str = "+", device: str = "+") -> str:
        """A bed's own limits, retained; by default the filter for all of them."""
        return f"{self.root}/limits/{ward}/{device}"

    def alerts(self, ward: str = "+") -> str:
        """Filter for the alerts of a ward; by default of all wards."""
        return f"{self.root}/alerts/{ward}/+/+"

    @property
    def all_vitals(self) -> str:
        """Filter for every reading. `#`, not `+/+`, so that misplaced messages are seen and kept too."""
        return f"{self.root}/vitals/#"

    @property
    def all_status(self) -> str:
        """Filter for every device's status."""
        return f"{self.root}/status/#"

    def parse(self, topic: str) -> tuple[str, DeviceAddress]:
        """Take a topic about a bed apart into its kind (`vitals`, `status`, `limits`) and the bed.

        Raises InvalidTopic where it does not have exactly the four levels, or a level is empty, not
        printable or longer than 200 characters.
        """
        levels = self._levels(topic)
        if len(levels) != 3 or levels[0] not in ("vitals", "status", "limits") or not all(map(_fits, levels[1:])):
            raise InvalidTopic(f"topic {topic[:300]!r} does not fit {self.root}/vitals/WARD/DEVICE")
        return levels[0], DeviceAddress(levels[1], levels[2])

    def parse_rule(self, topic: str) -> tuple[str, DeviceAddress, str]:
        """Take a topic about one rule of a bed apart: its kind (`alerts`), the bed and the rule's name."""
        levels = self._levels(topic)
        if len(levels) != 4 or levels[0] != "alerts" or not all(map(_fits, levels[1:])):
            raise InvalidTopic(f"topic {topic[:300]!r} does not fit {self.root}/alerts/WARD/DEVICE/RULE")
        return levels[0], DeviceAddress(levels[1], levels[2]), levels[3]

    def parse_alert_command(self, topic: str) -> tuple[DeviceAddress, str, str | None]:
        """Take a topic of `alert-commands` apart: the bed, the rule's name, and the broker's user who says it, where one does."""
        levels = self._levels(topic)
        if len(levels) not in (4, 5) or levels[0] != "alert-commands" or not all(map(_fits, levels[1:])):
            raise InvalidTopic(
                f"topic {topic[:300]!r} does not fit {self.root}/alert-commands/WARD/DEVICE/RULE or .../RULE/PERSON"
            )
        return DeviceAddress(levels[1], levels[2]), levels[3], levels[4] if len(levels) == 5 else None

    def _levels(self, topic: str) -> list[str]:
        head = self.root + "/"
        return topic[len(head) :].split("/") if topic.startswith(head) else []
