"""The addresses: which MQTT topic carries what, built and taken apart in one place.

No patient appears in a topic, because every client that may subscribe sees topics. `{device}` is the
device's user name at the broker, which is what lets the broker's access list pin a device to its own.
"""

from dataclasses import dataclass

from vitals.errors import Never
from vitals.reading import MAX_TEXT


class BadTopic(Never):
    """A topic that is none of ours; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Bed:
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

    @property
    def all_vitals(self) -> str:
        """Filter for every reading. `#`, not `+/+`, so that misplaced messages are seen and kept too."""
        return f"{self.root}/vitals/#"

    @property
    def all_status(self) -> str:
        """Filter for every device's status."""
        return f"{self.root}/status/#"

    def parse(self, topic: str) -> tuple[str, Bed]:
        """Take a device's topic apart into its kind (`vitals`, `status`) and the bed.

        Raises BadTopic where it does not have exactly the four levels, or a level is empty, not
        printable or longer than 200 characters.
        """
        head = self.root + "/"
        levels = topic[len(head) :].split("/") if topic.startswith(head) else []
        if len(levels) != 3 or levels[0] not in ("vitals", "status") or not all(map(_fits, levels[1:])):
            raise BadTopic(f"topic {topic[:300]!r} does not fit {self.root}/vitals/WARD/DEVICE")
        return levels[0], Bed(levels[1], levels[2])
