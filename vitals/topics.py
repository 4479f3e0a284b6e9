"""MQTT topics: build and parse them.

No topic names a patient, because every client that may subscribe sees topics. `{device}` is the device's user name at
the broker, so that the broker's access rules can restrict a device to its own topics.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT

DEVICE_KINDS = ("vitals", "status", "limits", "assignments")
"""First level below the root of the topics that end in `{ward}/{device}` and that `Topics.parse` parses."""
STACK_WARD = "stack"
"""The ward of alerts about the stack itself, such as one that stores nothing. They concern every ward."""


class InvalidTopic(PermanentError):
    """An invalid topic; the message states the expected form."""


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Ward and device as named in a topic."""

    ward: str
    device: str


def _fits(level: str) -> bool:
    # Printable: no NUL, tab or line end in rows, logs and pages; any script and emoji are allowed.
    return 0 < len(level) <= MAX_TEXT and level.isprintable()


def is_name(text: str) -> bool:
    """Return whether a user, a ward or a device can have this name: a level of a topic, without space at an end."""
    return _fits(text) and text.strip() == text and not set(text) & set("+#/")


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics below one root (setting VITALFLOW_TOPIC_ROOT), and the devices that send no time.

    arrival_time   `WARD/DEVICE` of the devices without a clock, `+` for any (setting VITALFLOW_ARRIVAL_TIME_DEVICES).
                   Here, so that ingest, alert worker and station decode with the same definition.
    """

    root: str = "vitalflow"
    arrival_time: Set[str] = frozenset()

    def vitals(self, ward: str, device: str) -> str:
        """Topic of a device's readings."""
        return f"{self.root}/vitals/{ward}/{device}"

    def status(self, ward: str, device: str) -> str:
        """Topic of a device's birth and will, retained."""
        return f"{self.root}/status/{ward}/{device}"

    def service(self, name: str) -> str:
        """Topic of a service's birth, heartbeat and will, retained."""
        return f"{self.root}/services/{name}"

    def alert(self, ward: str, device: str, rule: str) -> str:
        """Topic of the present state of an alert, retained."""
        return f"{self.root}/alerts/{ward}/{device}/{rule}"

    def receipts(self, ward: str, device: str) -> str:
        """Topic of the receipts for a device's readings."""
        return f"{self.root}/receipts/{ward}/{device}"

    def rejections(self, service: str, user: str | None = None) -> str:
        """Topic of the requests that a service rejected, with the reason; one per requesting user, if known."""
        topic = f"{self.root}/services/{service}/rejections"
        return topic if user is None else f"{topic}/{user}"

    def rules(self, service: str) -> str:
        """Topic of an alert worker's rules, retained."""
        return f"{self.root}/services/{service}/rules"

    def logins(self, service: str) -> str:
        """Topic of an ingest's report of refused logins and of devices without readings, retained."""
        return f"{self.root}/services/{service}/logins"

    @property
    def health(self) -> str:
        """Topic that the broker's health check publishes to and subscribes to."""
        return f"{self.root}/health"

    @property
    def enrolment(self) -> str:
        """Topic of enrolments and revocations, for the audit record."""
        return f"{self.root}/audit/enrolment"

    @property
    def sign_ins(self) -> str:
        """Topic of sign-ins at a station, refused ones included, for the audit record."""
        return f"{self.root}/audit/sign-in"

    def password_changes(self, user: str = "+") -> str:
        """Topic on which a user requests a new password; only this user of the broker may publish there."""
        return f"{self.root}/accounts/{user}/password"

    def password_salt(self, user: str = "+") -> str:
        """Topic of the salt of a password that a user has chosen, retained."""
        return f"{self.root}/accounts/{user}/salt"

    def password_rejected(self, user: str = "+") -> str:
        """Topic of the reason why a user's password was not changed."""
        return f"{self.root}/accounts/{user}/rejected"

    def alert_commands(self, ward: str = "+", device: str = "+", rule: str = "+", user: str | None = None) -> str:
        """Topic of commands to an alert; by default the filter for all commands that the station relays.

        user   appended to the topic: only this user of the broker may publish there
        """
        topic = f"{self.root}/alert-commands/{ward}/{device}/{rule}"
        return topic if user is None else f"{topic}/{user}"

    def limits(self, ward: str = "+", device: str = "+") -> str:
        """Topic of a bed's limits, retained; by default the filter for all."""
        return f"{self.root}/limits/{ward}/{device}"

    def assignments(self, ward: str = "+", device: str = "+") -> str:
        """Topic of the patient assigned to a bed, retained; by default the filter for all."""
        return f"{self.root}/assignments/{ward}/{device}"

    def admissions(self, ward: str = "+", device: str = "+", user: str = "+") -> str:
        """Topic of admissions, transfers and discharges by one user of the broker, for the audit record."""
        return f"{self.root}/audit/admissions/{ward}/{device}/{user}"

    def alerts(self, ward: str = "+") -> str:
        """Filter for the alerts of a ward, by default of all wards."""
        return f"{self.root}/alerts/{ward}/+/+"

    def time_of_arrival(self, place: DeviceAddress, now: datetime, *, retained: bool = False) -> datetime | None:
        """Return `now` as the time of a reading without one, or None if the device must send a time.

        None for a retained message: it arrives with each subscription, and is of no known age.
        """
        if not self.arrival_time or retained:
            return None
        ward, device = place.ward, place.device
        listed = not self.arrival_time.isdisjoint((f"{ward}/{device}", f"{ward}/+", f"+/{device}", "+/+"))
        return now if listed else None

    @property
    def all_vitals(self) -> str:
        """Filter for every reading; `#`, not `+/+`, so that messages on malformed topics are kept too."""
        return f"{self.root}/vitals/#"

    @property
    def all_status(self) -> str:
        """Filter for every device's status."""
        return f"{self.root}/status/#"

    def parse(self, topic: str) -> tuple[str, DeviceAddress]:
        """Parse a topic of a device into its kind (one of `DEVICE_KINDS`) and the device.

        Raises InvalidTopic unless there are exactly four levels, each of 1 to 200 printable characters.
        """
        levels = self._levels(topic)
        if len(levels) != 3 or levels[0] not in DEVICE_KINDS or not all(map(_fits, levels[1:])):
            raise InvalidTopic(f"topic {topic[:300]!r} does not fit {self.root}/vitals/WARD/DEVICE")
        return levels[0], DeviceAddress(levels[1], levels[2])

    def parse_rule(self, topic: str) -> tuple[str, DeviceAddress, str]:
        """Parse a topic of an alert into its kind (`alerts`), the device and the rule."""
        levels = self._levels(topic)
        if len(levels) != 4 or levels[0] != "alerts" or not all(map(_fits, levels[1:])):
            raise InvalidTopic(f"topic {topic[:300]!r} does not fit {self.root}/alerts/WARD/DEVICE/RULE")
        return levels[0], DeviceAddress(levels[1], levels[2]), levels[3]

    def parse_alert_command(self, topic: str) -> tuple[DeviceAddress, str, str | None]:
        """Parse a topic of `alert-commands` into the device, the rule, and the user, if the topic names one."""
        levels = self._levels(topic)
        if len(levels) not in (4, 5) or levels[0] != "alert-commands" or not all(map(_fits, levels[1:])):
            raise InvalidTopic(
                f"topic {topic[:300]!r} does not fit {self.root}/alert-commands/WARD/DEVICE/RULE or .../RULE/USER"
            )
        return DeviceAddress(levels[1], levels[2]), levels[3], levels[4] if len(levels) == 5 else None

    def _levels(self, topic: str) -> list[str]:
        head = self.root + "/"
        return topic[len(head) :].split("/") if topic.startswith(head) else []
