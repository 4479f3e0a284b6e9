"""Is the broker losing messages? A technical alarm of the stack itself, because a full queue drops without a word.

Mosquitto drops the newest message when a client's queue is full, tells its sender "success", and counts it in
$SYS/broker/publish/messages/dropped. A rise of that number is all there is to see; here it becomes an alert on
`alerts/stack/broker/broker-dropping`, acknowledged like any other. Pure: the worker subscribes, the time comes in.
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
    latching=True,  # what was lost stays lost: a person has to know, also when it is over
    text="The broker drops messages; readings may be lost until their devices send them again",
)


class BrokerDropAlert:
    """The broker's own numbers, and the alert about them."""

    def __init__(self, now: datetime) -> None:
        self.dropped = 0
        self.queued = 0
        self._alert = StackAlert(DEVICE, RULE, now)
        self.bed = self._alert.bed
        self._known: int | None = None
        self._rose_at = now

    def restore(self, alert: Alert, now: datetime) -> None:
        """Go on with the retained alert."""
        if self._alert.restore(alert):
            self._rose_at = now

    def take(self, topic: str, payload: bytes, now: datetime) -> Sequence[Event]:
        """A number from the broker. Its first word is where we begin; a smaller one is a broker that was restarted."""
        try:
            number = int(payload)
        except ValueError:
            return ()
        if topic == QUEUED:
            self.queued = number
            return ()
        self.dropped = number
        before, self._known = self._known, number
        if before is None or number <= before:
            return ()
        self._rose_at = now
        return self._alert.sound(now, now, value=float(number - before))

    def tick(self, now: datetime) -> Sequence[Event]:
        """The condition is over some time after the last rise; the alert stays until a person has seen it."""
        over = self._alert.end(now) if now - self._rose_at >= CLEAR_AFTER else ()
        return [*self._alert.tick(now), *over]
