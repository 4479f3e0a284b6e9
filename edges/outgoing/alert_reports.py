"""Decide which message each change of an alert is. Pure: the caller passes the time.

Silence is no all-clear: an alert ends for the receiver when the alert worker clears it. One that the broker no longer
has ends only if the broker and all alert workers are there and it stays absent for REPLAY_GRACE.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from mqtt.service_status import HEARTBEAT_S, ServiceStatus
from vitals.alert import Alert, Change, is_overtaken, is_repeated
from vitals.open_alerts import REPLAY_GRACE

KEEP_ENDED = timedelta(days=1)  # an old revision is redelivered within seconds, and retained for an hour
_ONLINE = timedelta(seconds=3 * HEARTBEAT_S)


class Phase(StrEnum):
    """What a message says of the alert; the words of MDC_ATTR_EVENT_PHASE."""

    START = "start"
    CONTINUE = "continue"
    UPDATE = "update"
    ESCALATE = "escalate"
    DEESCALATE = "deescalate"
    END = "end"


_PHASES = {
    Change.RAISED: Phase.START,
    Change.RETURNED: Phase.START,
    Change.ESCALATED: Phase.ESCALATE,
    Change.DEESCALATED: Phase.DEESCALATE,
    Change.CLEARED: Phase.END,
}


def phase_of(change: Change) -> Phase:
    """Return the phase that a change is."""
    return _PHASES.get(change, Phase.UPDATE)


def _place(alert: Alert) -> tuple[str, str, str]:
    return alert.ward, alert.device_id, alert.rule


@dataclass(frozen=True, slots=True)
class Report:
    """A message to write.

    repeated   not caused by a change: its id states the time too
    before     the alert as it was reported last
    """

    alert: Alert
    phase: Phase
    repeated: bool = False
    before: Alert | None = field(default=None, compare=False)

    def identify(self, now: datetime, separator: str) -> str:
        """Return the id of the message: the same if the same change is reported twice."""
        parts = [str(self.alert.alert_id), str(self.alert.revision)]
        return separator.join([*parts, f"{now.timestamp():.0f}"] if self.repeated else parts)


@dataclass(frozen=True, slots=True)
class Reported:
    """The last report of an alert.

    ended   when it was reported as ended; None: it is open for the receiver
    """

    alert: Alert
    ended: datetime | None = None


class AlertReports:
    """What the receiver knows of the alerts. `reported`: of earlier runs."""

    def __init__(self, reported: Iterable[Reported]) -> None:
        self._reported = {item.alert.alert_id: item for item in reported}
        self._latest = {_place(item.alert): item.alert for item in self._reported.values()}
        self._unrepeated = {number for number, item in self._reported.items() if item.ended is None}
        self._absent_since: dict[UUID, datetime] = {}
        self._workers: dict[str, datetime | None] = {}  # the last heartbeat; None: offline or unknown

    def connected(self, now: datetime) -> None:
        """Take note of a new connection: the broker sends all retained alerts again."""
        for number, item in self._reported.items():
            if item.ended is None:
                self._absent_since[number] = now
        self._workers = dict.fromkeys(self._workers)

    def take(self, alert: Alert, now: datetime, *, retained: bool) -> Report | None:
        """Apply an alert as it was received; return the message that it makes, if any."""
        number = alert.alert_id
        before = self._reported.get(number)
        known = (self._latest.get(_place(alert)), None if before is None else before.alert)
        if any(item is not None and is_overtaken(alert, item, now) for item in known):
            return None
        self._latest[_place(alert)] = alert
        if before is None:
            if not alert.is_open and retained:
                return None  # raised and cleared before the first start
            return self._note(Report(alert, Phase.START if alert.is_open else Phase.END), now)
        if alert.is_open:
            self._absent_since.pop(number, None)
        if alert.revision == before.alert.revision and (
            alert.epoch == before.alert.epoch or is_repeated(alert, before.alert)
        ):
            self._reported[number] = replace(before, alert=alert)
            if before.ended is not None:  # it was reported as ended because it was absent
                return self._note(Report(alert, Phase.START, repeated=True), now) if alert.is_open else None
            if number in self._unrepeated:
                return self._note(Report(alert, Phase.CONTINUE, repeated=True), now)
            return None
        if before.ended is not None and alert.is_open:
            return self._note(Report(alert, Phase.START), now)
        # A process that took over may repeat the number of a revision that it has not read.
        return self._note(Report(alert, phase_of(alert.change), repeated=alert.revision <= before.alert.revision), now)

    def deleted(self, ward: str, device: str, rule: str, now: datetime) -> None:
        """Apply the deletion of a retained alert: its device was moved, or the message expired."""
        for number, item in self._reported.items():
            alert = item.alert
            if item.ended is None and (alert.ward, alert.device_id, alert.rule) == (ward, device, rule):
                self._absent_since.setdefault(number, now)

    def take_status(self, name: str, status: ServiceStatus, now: datetime, *, retained: bool) -> None:
        """Apply the status of a service; those of alert workers count."""
        if name.startswith("alerts"):
            online = status.state == "online" and not retained
            self._workers[name] = now if online else None

    def find_absent(self, now: datetime) -> list[Report]:
        """Return the messages for open alerts that have been absent for REPLAY_GRACE."""
        online = [since is not None and now - since <= _ONLINE for since in self._workers.values()]
        if not online or not all(online):
            return []
        absent = [number for number, since in self._absent_since.items() if now - since >= REPLAY_GRACE]
        return [self._note(Report(self._reported[number].alert, Phase.END, repeated=True), now) for number in absent]

    def forget_ended(self, now: datetime) -> None:
        """Forget the alerts that ended long ago."""
        self._reported = {
            number: item
            for number, item in self._reported.items()
            if item.ended is None or now - item.ended < KEEP_ENDED
        }
        self._latest = {_place(item.alert): item.alert for item in self._reported.values()}

    def _note(self, report: Report, now: datetime) -> Report:
        number = report.alert.alert_id
        ended = now if report.phase is Phase.END else None
        before = self._reported.get(number)
        self._reported[number] = Reported(report.alert, ended)
        self._unrepeated.discard(number)
        if ended is not None:
            self._absent_since.pop(number, None)
        return report if before is None else replace(report, before=before.alert)
