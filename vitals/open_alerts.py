"""The open alerts as a listener at the broker knows them, and which of them may be out of date. Pure: it is told the
time and what arrived; the screens of `stack` and of `alerts` fill it and draw it.

Silence is no all-clear, here neither: what was known when a connection broke stays, marked as stale, until the broker
tells it again, or until the worker had its time to do so and did not.
"""

from datetime import datetime, timedelta
from uuid import UUID

from vitals.alert import Alert, decode_alert
from vitals.topics import InvalidTopic, Topics

REPLAY_GRACE = timedelta(seconds=10)
"""After a new connection: a broker sends at once what it retains, and the worker what a broker has forgotten."""


class OpenAlerts:
    """Alerts by topic. `since`: from which time on the raised ones are counted."""

    def __init__(self, topics: Topics, since: datetime) -> None:
        self._topics = topics
        self._since = since
        self._open: dict[str, Alert] = {}
        self._stale: set[str] = set()
        self._stale_until: datetime | None = None
        self._raised: set[UUID] = set()

    def update(self, topic: str, payload: bytes) -> Alert | None:
        """Take a message from an alert's topic; the alert where it says something new, open or cleared."""
        try:
            _, bed, rule = self._topics.parse_rule(topic)
        except InvalidTopic:
            return None
        if not payload:
            self._forget(topic)  # the device has moved, or the message expired
            return None
        try:
            alert = decode_alert(payload)
        except ValueError:
            return None
        if (alert.ward, alert.device_id, alert.rule) != (bed.ward, bed.device, rule):
            return None  # nobody could answer it: it says another place than where it stands
        if alert.raised_at >= self._since:
            self._raised.add(alert.alert_id)
        before = self._open.get(topic)
        if alert.is_open:
            self._open[topic] = alert
            self._stale.discard(topic)
            return None if alert == before else alert
        self._forget(topic)
        return None if before is None else alert

    def _forget(self, topic: str) -> None:
        self._open.pop(topic, None)
        self._stale.discard(topic)

    def connected(self, now: datetime) -> None:
        """A connection is there, the first one or a new one: all that is known has to be told again."""
        self._stale = set(self._open)
        self._stale_until = now + REPLAY_GRACE

    def alerts(self, now: datetime, *, worker_online: bool) -> list[Alert]:
        """The open ones. Those that nobody told again while the worker could have are gone."""
        if worker_online and self._stale_until is not None and now >= self._stale_until:
            for topic in self._stale:
                del self._open[topic]
            self._stale.clear()
            self._stale_until = None
        return list(self._open.values())

    def stale(self) -> frozenset[UUID]:
        """The ids of those that were not told again since the last connection."""
        return frozenset(self._open[topic].alert_id for topic in self._stale)

    def wards(self) -> set[str]:
        """The wards with an open alert."""
        return {alert.ward for alert in self._open.values()}

    @property
    def raised(self) -> int:
        """How many were raised since `since`, open or not."""
        return len(self._raised)
