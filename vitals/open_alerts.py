"""The open alerts that a subscriber has received, and which may be out of date. Pure: the caller passes the time.

Missing data is never shown as an all-clear: alerts known when a connection was lost remain, marked as stale, until the
broker sends them again, or until REPLAY_GRACE has passed with the alert worker online.
"""

from datetime import datetime, timedelta
from uuid import UUID

from vitals.alert import Alert, decode_alert, is_overtaken, is_repeated
from vitals.topics import DeviceAddress, InvalidTopic, Topics

REPLAY_GRACE = timedelta(seconds=10)
"""Time after a new connection in which the broker sends retained alerts, and the worker those that the broker lost."""


class OpenAlerts:
    """Open alerts by topic. `since`: alerts raised from this time on are counted in `raised`."""

    def __init__(self, topics: Topics, since: datetime) -> None:
        self._topics = topics
        self._since = since
        self._open: dict[str, Alert] = {}
        self._latest: dict[str, Alert] = {}  # cleared ones too
        self._stale: set[str] = set()
        self._stale_until: datetime | None = None
        self._raised: set[UUID] = set()

    def update(self, topic: str, payload: bytes, now: datetime) -> Alert | None:
        """Apply a message from an alert's topic; return the alert if it is new, changed or cleared, else None."""
        try:
            _, bed, rule = self._topics.parse_rule(topic)
        except InvalidTopic:
            return None
        if not payload:
            self._latest.pop(topic, None)
            self._forget(topic)  # the device was moved, or the message expired
            return None
        try:
            alert = decode_alert(payload)
        except ValueError:
            return None
        if (alert.ward, alert.device_id, alert.rule) != (bed.ward, bed.device, rule):
            return None  # a command could not reach it: payload and topic differ
        latest = self._latest.get(topic)
        if latest is not None and is_overtaken(alert, latest, now):
            return None  # by a worker that was replaced
        self._latest[topic] = alert
        if alert.raised_at >= self._since:
            self._raised.add(alert.alert_id)
        before = self._open.get(topic)
        if alert.is_open:
            self._open[topic] = alert
            self._stale.discard(topic)
            return None if before is not None and is_repeated(alert, before) else alert
        self._forget(topic)
        return None if before is None else alert

    def _forget(self, topic: str) -> None:
        self._open.pop(topic, None)
        self._stale.discard(topic)

    def has_open(self, device: str) -> bool:
        """Return whether an alert of the device is open."""
        return any(alert.device_id == device for alert in self._open.values())

    def forget(self, place: DeviceAddress) -> None:
        """Drop the alerts of a device that was removed from this ward; the alert worker clears them too."""
        for topic in [
            topic for topic, alert in self._open.items() if DeviceAddress(alert.ward, alert.device_id) == place
        ]:
            self._forget(topic)

    def connected(self, now: datetime) -> None:
        """Mark all alerts as stale after a new connection, until they are received again."""
        self._stale = set(self._open)
        self._stale_until = now + REPLAY_GRACE

    def alerts(self, now: datetime, *, worker_online: bool) -> list[Alert]:
        """Return the open alerts; drop stale ones if the worker is online and REPLAY_GRACE has passed."""
        if worker_online and self._stale_until is not None and now >= self._stale_until:
            for topic in self._stale:
                del self._open[topic]
            self._stale.clear()
            self._stale_until = None
        return list(self._open.values())

    def stale(self) -> frozenset[UUID]:
        """Return the ids of alerts not received since the last connection."""
        return frozenset(self._open[topic].alert_id for topic in self._stale)

    def wards(self) -> set[str]:
        """Return the wards with an open alert."""
        return {alert.ward for alert in self._open.values()}

    @property
    def raised(self) -> int:
        """Number of alerts raised since `since`, open or cleared."""
        return len(self._raised)
