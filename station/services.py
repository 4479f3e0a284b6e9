"""Who is away: the broker, the services whose heartbeat we listen to, the database. Pure: it is told the time.

What is away is told on top of every page, because a page that nobody feeds looks exactly like a quiet ward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mqtt.service_status import HEARTBEAT_S, ServiceStatus

MISSING_AFTER = timedelta(seconds=2.2 * HEARTBEAT_S)
"""Without a heartbeat for so long a service is not there: two are missing. The page is to say so within 5 s."""

Kind = Literal["broker", "service", "database"]


@dataclass(frozen=True, slots=True)
class Outage:
    """One that is away, since when, and in a sentence what that means for whoever looks at the page."""

    name: str
    since: datetime
    text: str


@dataclass(slots=True)
class _Service:
    beat: datetime | None = None
    boot: int = 0
    left_at: datetime | None = None


class Services:
    """All of them. `names`: the services whose absence is told; `has_database`: whether there is one to miss."""

    def __init__(self, names: Sequence[str], *, has_database: bool, now: datetime) -> None:
        self._services = {name: _Service() for name in names}
        self._connected_at: datetime | None = None
        self._broker_lost_at = now
        self._why = "connecting"
        self._database_lost_at = now if has_database else None

    # --- what comes in ---

    def connected(self, now: datetime) -> None:
        """The broker is there; each service has the time of two heartbeats to say that it is."""
        self._connected_at = now
        for service in self._services.values():
            service.beat = service.left_at = None

    def disconnected(self, why: str, now: datetime) -> None:
        """The broker is away; `why` for a person."""
        if self._connected_at is not None:
            self._broker_lost_at = now
        self._connected_at = None
        self._why = why

    def take(self, name: str, presence: ServiceStatus, retained: bool, now: datetime) -> None:
        """A birth, a heartbeat or a last will; a retained "online" may be a leftover and is not believed."""
        service = self._services.get(name)
        if service is None or presence.boot < service.boot:
            return
        service.boot = presence.boot
        if presence.state == "offline":
            service.beat, service.left_at = None, service.left_at or now
        elif not retained:
            service.beat, service.left_at = now, None

    def database(self, there: bool, now: datetime) -> None:
        """Whether the database has just answered."""
        self._database_lost_at = None if there else self._database_lost_at or now

    # --- what is known ---

    @property
    def broker_connected(self) -> bool:
        """Whether we are connected."""
        return self._connected_at is not None

    def there(self, name: str, now: datetime) -> bool:
        """Whether a service's heart beats."""
        service = self._services.get(name)
        return (
            self.broker_connected
            and service is not None
            and service.beat is not None
            and now - service.beat <= MISSING_AFTER
        )

    def away(self, now: datetime) -> list[Outage]:
        """All that are away; while the broker is, of the services nothing is known and nothing said."""
        found = []
        if self._connected_at is None:
            text = f"No connection to the monitors ({self._why}). Nothing on this page is current."
            found.append(Outage("broker", self._broker_lost_at, text))
        else:
            for name, service in self._services.items():
                since = service.left_at or service.beat or self._connected_at
                if service.left_at is not None or now - since > MISSING_AFTER:
                    found.append(Outage(name, since, _outage_text(name)))
        if self._database_lost_at is not None:
            found.append(
                Outage(
                    "database",
                    self._database_lost_at,
                    "The database does not respond. Trends and past alerts are not available.",
                )
            )
        return found


def _outage_text(name: str) -> str:
    if name.startswith("alerts"):
        return "The alert service is down. No alarms will sound: watch the patients directly."
    if name.startswith("ingest"):
        return "Recording is interrupted. Live values are shown; they will be stored later."
    return f"The service {name} is down."
