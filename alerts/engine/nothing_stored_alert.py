"""The technical alert `nothing-stored`: an ingest has had a problem, or has been gone, for a minute. Pure.

Ingest reports on its retained service status why it stores nothing and since when; its last will says that it is gone.
The alert `alerts/stack/{ingest}/nothing-stored` ends when ingest stores again. It is not latching: the broker and the
devices keep the readings, and they are stored afterwards.

- A restart of ingest ends nothing by itself: an ingest that fails and starts again in turn stores nothing either.
- An ingest whose heartbeats stop without a will (a frozen process, a machine without power) is gone too.
- An ingest of which no status was retained is not known here: it has never run at this broker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.engine.stack_alert import StackAlert
from mqtt.service_status import HEARTBEAT_S, ServiceStatus
from vitals.alert import Alert, Event, Priority
from vitals.rules import Level, Rule

RAISE_AFTER = timedelta(seconds=60)
CLEAR_AFTER = timedelta(seconds=5 * HEARTBEAT_S)
"""Without a problem; longer than a started ingest takes to find that the database does not answer."""
MISSING_AFTER = timedelta(seconds=5 * HEARTBEAT_S)

RULE = Rule(
    name="nothing-stored",
    source="ingest",
    sign=None,
    above=None,
    levels=(Level(Priority.MEDIUM, after=RAISE_AFTER),),
    latching=False,
    # Without the cause, which is of no use to a nurse: ingest logs it, and the station's /healthz has it.
    text="Readings are not stored: live values and alarms continue, and the readings are stored later",
)


@dataclass(slots=True)
class _Ingest:
    """What is known of one ingest.

    reported     the last problem reported: the process (its boot) and since when
    since        when the present problem began; None without one
    well_since   since when it reports no problem any more
    """

    alert: StackAlert
    last_status_at: datetime
    boot: int = 0
    reported: tuple[int, datetime] | None = None
    since: datetime | None = None
    well_since: datetime | None = None


class NothingStoredAlerts:
    """The alerts of all ingests, by service name."""

    def __init__(self) -> None:
        self._ingests: dict[str, _Ingest] = {}

    @property
    def alerts(self) -> Sequence[StackAlert]:
        """The alert of each ingest, open or not."""
        return [ingest.alert for ingest in self._ingests.values()]

    def restore(self, alert: Alert, now: datetime) -> None:
        """Restore a retained alert."""
        ingest = self._ingest(alert.device_id, now)
        if ingest.alert.restore(alert):
            ingest.since = alert.since

    def take(self, name: str, status: ServiceStatus | None, retained: bool, now: datetime) -> Sequence[Event]:
        """Take a birth, heartbeat or will of the ingest `name`; None: its retained status was deleted."""
        if status is None:
            forgotten = self._ingests.pop(name, None)
            return () if forgotten is None else forgotten.alert.end(now)
        ingest = self._ingest(name, now)
        if status.boot < ingest.boot:
            return ()
        ingest.boot = status.boot
        if status.state == "offline":
            _trouble(ingest, now)
        elif not retained:  # a retained "online" may be old, and a heartbeat follows within seconds
            ingest.last_status_at = now
            if not status.problem:
                ingest.well_since = ingest.well_since or now
                return ()
            since = min(status.problem_since or now, now)
            boot, before = ingest.reported or (status.boot, since)
            if boot == status.boot and since > before and ingest.alert.alert is None:
                ingest.since = since  # this process has stored something in between
            ingest.reported = status.boot, since
            _trouble(ingest, since)
        return ()

    def tick(self, now: datetime) -> Sequence[Event]:
        """Raise and end alerts."""
        events: list[Event] = []
        for ingest in self._ingests.values():
            if now - ingest.last_status_at >= MISSING_AFTER and (ingest.since is None or ingest.well_since is not None):
                _trouble(ingest, ingest.last_status_at)
            events += ingest.alert.tick(now)
            if ingest.since is None:
                continue
            if ingest.well_since is not None:
                if now - ingest.well_since >= CLEAR_AFTER:
                    ingest.since = ingest.well_since = None
                    events += ingest.alert.end(now)
            elif ingest.alert.alert is None and now - ingest.since >= RAISE_AFTER:
                events += ingest.alert.sound(ingest.since, now)
        return events

    def restart_timers(self, now: datetime) -> None:
        """Ignore silence during a time in which nothing could arrive here."""
        for ingest in self._ingests.values():
            ingest.last_status_at = now

    def _ingest(self, name: str, now: datetime) -> _Ingest:
        known = self._ingests.get(name)
        if known is None:
            known = self._ingests[name] = _Ingest(StackAlert(name, RULE, now), now)
        return known


def _trouble(ingest: _Ingest, since: datetime) -> None:
    ingest.since = since if ingest.since is None else min(ingest.since, since)
    ingest.well_since = None
