"""One alert about a part of the stack itself, on a bed of its own in the ward `stack`.

Its topic is `alerts/stack/{part}/{rule}`; it is restored, acknowledged and paused like an alert of a patient's bed.
The rules are fixed: what the stack can lose does not depend on a ward.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from alerts.engine.bed import NOTHING, Bed
from alerts.engine.timers import tick
from alerts.engine.transitions import changed, raised, sounding, transition
from vitals.alert import Alert, Change, Event, State
from vitals.rules import Rule, RuleSet
from vitals.topics import STACK_WARD


class StackAlert:
    """The alert of one part of the stack under one rule."""

    def __init__(self, part: str, rule: Rule, now: datetime) -> None:
        self.bed = Bed(part, STACK_WARD, RuleSet((rule,)), now)
        self._rule = rule

    @property
    def alert(self) -> Alert | None:
        """The open alert."""
        return self.bed.alerts.get(self._rule.name)

    def restore(self, alert: Alert) -> bool:
        """Restore the retained alert; return whether it is open."""
        if alert.is_open:
            self.bed.alerts[self._rule.name] = alert
        return alert.is_open

    def sound(self, since: datetime, now: datetime, *, value: float | None = None) -> Sequence[Event]:
        """Raise the alert; an acknowledged, paused or latched one sounds again."""
        events: list[Event] = []
        alert = self.alert
        if alert is None:
            self.bed.keep(raised(self.bed, self._rule, 1, since, now, value, None), events)
        elif alert.state is not State.ACTIVE:
            again: dict[str, Any] = {
                "state": State.ACTIVE,
                "level": 1,
                "latched": False,
                "acknowledged_by": None,
                "acknowledged_at": None,
                "audio_paused_until": None,
                "value": value,
                **sounding(now),
            }
            self.bed.keep(changed(alert, Change.RETURNED, now, **again), events)
        return events

    def end(self, now: datetime) -> Sequence[Event]:
        """End the condition: the alert is cleared, or latched under a latching rule until it is acknowledged."""
        alert = self.alert
        if alert is None or alert.state is State.LATCHED:
            return NOTHING
        events: list[Event] = []
        self.bed.keep(transition(alert, self._rule, 0, now, None, None, None), events)
        return events

    def tick(self, now: datetime) -> Sequence[Event]:
        """End audio pauses, and repeat an unanswered alert."""
        return tick(self.bed, now)
