"""One set of rules on recorded readings: the alarms that it raises, and their durations.

A `BedRun` is one bed under one `RuleRun`. It runs the engine as the worker would have, with each reading as live as on
the day, and looks for silence between two readings.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts.backtest.episodes import Span
from alerts.backtest.history import BedHistory
from alerts.engine.bed import Bed
from alerts.engine.timers import apply_status, tick
from vitals.alert import Change, Event, Priority
from vitals.reading import Reading
from vitals.rules import RuleSet
from vitals.thresholds import SILENT_INTERVALS

_SOUNDS = (Change.RAISED, Change.ESCALATED, Change.RETURNED)

Key = tuple[str, Priority]


@dataclass
class RuleRun:
    """One set of rules on all beds: the alarms that sounded, how long they stood, and when."""

    rules: RuleSet
    alarms: Counter[Key] = field(default_factory=Counter)
    seconds: Counter[Key] = field(default_factory=Counter)
    spans: dict[tuple[str, str, int], list[Span]] = field(default_factory=dict)  # by device, rule and level

    @property
    def total(self) -> int:
        """All alarms that sounded, of patients and of equipment."""
        return self.alarms.total()

    @property
    def physiological(self) -> int:
        """Those of patients."""
        return sum(n for (name, _), n in self.alarms.items() if self.rules.by_name[name].kind == "physiological")


class BedRun:
    """One bed under one set of rules: the engine, and the start of each active level."""

    def __init__(self, rule_run: RuleRun, history: BedHistory) -> None:
        self._rule_run = rule_run
        self._bed: Bed | None = None
        self._history = history
        self._standing: dict[tuple[str, int], datetime] = {}
        self._priority: dict[str, tuple[Priority, datetime]] = {}

    def read(self, reading: Reading, ward: str) -> None:
        """The next reading."""
        bed = self._bed
        if bed is None:
            bed = self._bed = Bed(self._history.device, ward, self._rule_run.rules, reading.time)
            apply_status(bed, online=True, boot=reading.boot, interval_s=self._history.interval_s, now=reading.time)
        elif bed.last is not None:
            self._tick_between(bed, bed.last, reading.time)
        self._note(bed.evaluate(reading, ward, reading.time))
        if reading.time >= bed.next_check:
            self._note(tick(bed, reading.time))

    def _tick_between(self, bed: Bed, last: datetime, until: datetime) -> None:
        """Between two readings only silence can be noticed: look when its delays are over."""
        if until - last <= timedelta(seconds=1):
            return
        for rule in bed.rules.timed:
            for level in rule.levels:
                due = last + max(level.after, bed.interval * SILENT_INTERVALS)
                if due < until:
                    self._note(tick(bed, due))

    def _note(self, events: Sequence[Event]) -> None:
        rule_run = self._rule_run
        for event in events:
            alert = event.alert
            name, at = alert.rule, alert.changed_at
            if alert.change in _SOUNDS:
                rule_run.alarms[name, alert.priority] += 1
            level = alert.level if alert.is_open else 0
            self._record_level(name, level, at)
            self._record_priority(name, alert.priority if level else None, at)

    def _record_level(self, name: str, level: int, at: datetime) -> None:
        for step in range(1, len(self._rule_run.rules.by_name[name].levels) + 1):
            if step <= level:
                self._standing.setdefault((name, step), at)
            elif (since := self._standing.pop((name, step), None)) is not None:
                self._rule_run.spans.setdefault((self._history.device, name, step), []).append((since, at))

    def _record_priority(self, name: str, priority: Priority | None, at: datetime) -> None:
        before = self._priority.pop(name, None)
        if before is not None:
            self._rule_run.seconds[name, before[0]] += (at - before[1]).total_seconds()  # type: ignore[assignment]
        if priority is not None:
            self._priority[name] = (priority, at)

    def end(self, at: datetime) -> None:
        """No more readings: what still stands has stood until now."""
        for name in {name for name, _ in self._standing}:
            self._record_level(name, 0, at)
            self._record_priority(name, None, at)
