"""The technical alert `broker-dropping`: the broker drops messages of a full queue. Pure: the caller passes the time.

Mosquitto drops the newest message if a client's queue is full, acknowledges it to the sender as a success, and counts
it in $SYS/broker/publish/messages/dropped. A rise of that number raises the alert
`alerts/stack/broker/broker-dropping`, which is acknowledged like any other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.engine.stack_alert import StackAlert
from vitals.alert import Alert, Event, Priority
from vitals.rules import Level, Rule

DROPPED = "$SYS/broker/publish/messages/dropped"
QUEUED = "$SYS/broker/messages/stored"
DEVICE = "broker"
CLEAR_AFTER = timedelta(seconds=60)  # without a rise; the broker renews the number every 5 s

RULE = Rule(
    name="broker-dropping",
    source="broker",
    sign=None,
    above=None,
    levels=(Level(Priority.HIGH),),
    latching=True,  # dropped messages stay lost: a user must see the alert even if the broker drops no more
    text="Some readings do not arrive: alarms may be late, watch the patients directly",
)


class BrokerDropAlert:
    """The broker's counters, and the alert about them."""

    def __init__(self, now: datetime) -> None:
        self.dropped: int | None = None  # until the broker reports it
        self.queued = 0
        self._alert = StackAlert(DEVICE, RULE, now)
        self.bed = self._alert.bed
        self._rose_at = now

    def restore(self, alert: Alert, now: datetime) -> None:
        """Restore the retained alert."""
        if self._alert.restore(alert):
            self._rose_at = now

    def take(self, topic: str, payload: bytes, now: datetime) -> Sequence[Event]:
        """Take a counter of the broker. The first value is the reference; a smaller one shows a restarted broker."""
        try:
            number = int(payload)
        except ValueError:
            return ()
        if topic == QUEUED:
            self.queued = number
            return ()
        before, self.dropped = self.dropped, number
        if before is None or number <= before:
            return ()
        self._rose_at = now
        return self._alert.sound(now, now, value=float(number - before))

    def tick(self, now: datetime) -> Sequence[Event]:
        """End the condition some time after the last rise; the alert stays until it is acknowledged."""
        over = self._alert.end(now) if now - self._rose_at >= CLEAR_AFTER else ()
        return [*self._alert.tick(now), *over]
