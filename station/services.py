"""Outages of the broker, of the services that send heartbeats, and of the database. Pure: the caller passes the time.

Every page shows them on top, because a page without data looks like a ward without alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mqtt.service_status import HEARTBEAT_S, ServiceStatus, is_ingest
from vitals.alert_format import sanitize

MISSING_AFTER = timedelta(seconds=2.2 * HEARTBEAT_S)
"""A service is down after this time without a heartbeat: two are missing. The page must show it within 5 s."""

NO_BROKER = "No connection to the monitors. Nothing on this page is current. Watch the patients directly."
NO_ALERTS = "The alert service is down. No alarms will sound: watch the patients directly."
NO_RECORDING = "Recording is interrupted. Live values are shown; they will be stored later."
NO_DATABASE = "Trends and past alerts are not available now. Live values and alarms continue."
NO_HEARTBEAT, NO_ANSWER = "no heartbeat", "it does not answer"


@dataclass(frozen=True, slots=True)
class Outage:
    """A server or service that is down, since when, and why.

    text     for the nurse: what happened, what it means for the patients, what to do
    reason   for an engineer; shown by /healthz, on no page
    """

    name: str
    since: datetime
    text: str
    reason: str


@dataclass(slots=True)
class _Service:
    beat: datetime | None = None
    boot: int = 0
    left_at: datetime | None = None
    problem: str = ""
    problem_since: datetime | None = None


class Services:
    """State of the broker, of the services in `names`, and of the database where `has_database`."""

    def __init__(self, names: Sequence[str], *, has_database: bool, now: datetime) -> None:
        self._services = {name: _Service() for name in names}
        self._connected_at: datetime | None = None
        self._broker_lost_at = now
        self._reason = "connecting"
        self.has_database = has_database
        self._database_lost_at = now if has_database else None
        self._database_responds = False

    # --- events ---

    def connected(self, now: datetime) -> None:
        """Record a connection to the broker; each service now has two heartbeats' time to report."""
        self._connected_at = now
        for service in self._services.values():
            service.beat = service.left_at = None

    def disconnected(self, reason: str, now: datetime) -> None:
        """Record the loss of the broker; `reason` is for an engineer."""
        if self._connected_at is not None:
            self._broker_lost_at = now
        self._connected_at = None
        self._reason = reason

    def take(self, name: str, presence: ServiceStatus, retained: bool, now: datetime) -> None:
        """Apply a birth, heartbeat or last will; a retained "online" may be old and is ignored."""
        service = self._services.get(name)
        if service is None or presence.boot < service.boot:
            return
        service.boot = presence.boot
        if presence.state == "offline":
            service.beat, service.left_at = None, service.left_at or now
        elif not retained:
            service.beat, service.left_at = now, None
            service.problem, service.problem_since = sanitize(presence.problem[:300]), presence.problem_since

    def database(self, responds: bool, now: datetime) -> None:
        """Record whether the database has just responded."""
        self._database_responds = responds
        self._database_lost_at = None if responds else self._database_lost_at or now

    # --- state ---

    @property
    def broker_connected(self) -> bool:
        """Return whether the station is connected to the broker."""
        return self._connected_at is not None

    @property
    def database_connected(self) -> bool:
        """Return whether the database has just responded."""
        return self._database_responds

    def is_up(self, name: str, now: datetime) -> bool:
        """Return whether a service sends heartbeats."""
        service = self._services.get(name)
        return (
            self.broker_connected
            and service is not None
            and service.beat is not None
            and now - service.beat <= MISSING_AFTER
        )

    def outages(self, now: datetime) -> list[Outage]:
        """Return all outages; without the broker the state of the services is unknown, and none is listed."""
        found = []
        if self._connected_at is None:
            found.append(Outage("broker", self._broker_lost_at, NO_BROKER, self._reason))
        else:
            for name, service in self._services.items():
                since = service.left_at or service.beat or self._connected_at
                if service.left_at is not None or now - since > MISSING_AFTER:
                    found.append(Outage(name, since, _outage_text(name), NO_HEARTBEAT))
                elif service.problem:
                    found.append(Outage(name, service.problem_since or since, _outage_text(name), service.problem))
        if self._database_lost_at is not None:
            found.append(Outage("database", self._database_lost_at, NO_DATABASE, NO_ANSWER))
        return found


def _outage_text(name: str) -> str:
    if name.startswith("alerts"):
        return NO_ALERTS
    if is_ingest(name):
        return NO_RECORDING
    return f"The service {name} is down. Live values and alarms continue: tell your technical support."
