"""The alarm-load laboratory: the past, run through the engine, under several rule files and delays at once.

`history` gives the beds, `bed` is the engine that the worker runs too, `report` and `plot` show what came of it. Each
rule file is tried as it is written, without its delays, and naively: the same limits, and every crossing an alarm, as
a monitor without delay and hysteresis would have it. What must not be missed, `episodes` finds in the values
themselves, without the engine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alerts.backtest.episodes import Episodes, Span
from alerts.backtest.history import BedHistory
from alerts.backtest.rule_run import BedRun, RuleRun
from vitals.rules import Rule, RuleSet

LONGEST_DELAY_S = 30  # of the curve
PAUSE = timedelta(minutes=10)  # a longer silence is no time at the bed


@dataclass
class RuleSetResult:
    """One rule file, tried: as written, without delays, naively, and with each delay of the curve."""

    where: str
    written: RuleRun
    undelayed: RuleRun
    naive: RuleRun
    episodes: dict[tuple[str, str, int], list[Span]] = field(default_factory=dict)  # the sustained ones
    curve: list[RuleRun] = field(default_factory=list)

    @property
    def removed_by_delay(self) -> float | None:
        """The share of the patients' alarms that the delays remove; None where there are none to remove."""
        before = self.undelayed.physiological
        return 1 - self.written.physiological / before if before else None

    def sustained(self, rule: Rule) -> tuple[int, int]:
        """Sustained episodes beyond a limit of the rule, of all its levels, and how many were missed.

        Missed is an episode during which the alert never stood at that level or a worse one. The score repeats no sign
        whose alert is open already, so for it any patient's alert of at least that priority counts.
        """
        found = missed = 0
        for (device, name, level), spans in self.episodes.items():
            if name == rule.name:
                shown = self._shown(device, rule, level)
                found += len(spans)
                missed += sum(not any(begun <= end and over >= start for begun, over in shown) for start, end in spans)
        return found, missed

    def _shown(self, device: str, rule: Rule, level: int) -> list[Span]:
        """Return when an alert said what this level of the rule says, or worse."""
        if rule.source != "news2":
            return self.written.spans.get((device, rule.name, level), [])
        wanted = rule.levels[level - 1].priority.rank
        return [
            span
            for (where, name, place), spans in self.written.spans.items()
            if where == device
            and (other := self.written.rules.by_name[name]).kind == "physiological"
            and other.levels[place - 1].priority.rank >= wanted
            for span in spans
        ]


@dataclass
class BacktestResult:
    """What the laboratory found. `bed_days`: the time at the beds, by their readings, in days."""

    beds: int = 0
    readings: int = 0
    bed_days: float = 0.0
    files: list[RuleSetResult] = field(default_factory=list)


def run(histories: Iterable[BedHistory], rule_sets: Sequence[RuleSet], curve: bool = False) -> BacktestResult:
    """Run every bed through every set of rules, in one pass over the readings.

    1. For each file: its rules as written, without delays, naively, and for the curve with each delay.
    2. For each bed: a fresh engine for each of them; the readings are as live as on the day.
    3. What is still open when a bed's readings end, ends there.
    """
    outcome = BacktestResult(files=[_make_result(rules, curve) for rules in rule_sets])
    trials = [trial for tried in outcome.files for trial in _rule_runs(tried)]
    for history in histories:
        outcome.beds += 1
        courses = [BedRun(trial, history) for trial in trials]
        seen = [Episodes(tried.written.rules) for tried in outcome.files]
        last: datetime | None = None
        for reading in history.readings:
            outcome.readings += 1
            for course in courses:
                course.read(reading, history.ward)
            for episodes in seen:
                episodes.take(reading)
            if last is not None and reading.time - last <= max(PAUSE, timedelta(seconds=3 * history.interval_s)):
                outcome.bed_days += (reading.time - last) / timedelta(days=1)
            last = reading.time
        if last is not None:
            for course in courses:
                course.end(last)
        for tried, episodes in zip(outcome.files, seen, strict=True):
            for (rule, level), spans in episodes.sustained().items():
                tried.episodes[history.device, rule, level] = spans
    return outcome


def without_delays(rules: RuleSet) -> RuleSet:
    """The same limits and hysteresis; every physiological alarm is raised at once."""
    return _with_levels(rules, lambda _: {"after": timedelta()})


def without_hysteresis(rules: RuleSet) -> RuleSet:
    """The same limits; every crossing is an alarm and every way back its end."""
    return _with_levels(rules, lambda limit: {"after": timedelta(), "clear": limit, "clear_after": timedelta()})


def delayed(rules: RuleSet, delay: timedelta) -> RuleSet:
    """The same rules, with this delay wherever there is one; levels without a delay keep none."""
    changed = [
        replace(rule, levels=tuple(replace(level, after=delay) if level.after else level for level in rule.levels))
        if rule.kind == "physiological"
        else rule
        for rule in rules.rules
    ]
    return replace(rules, rules=tuple(changed))


def _with_levels(rules: RuleSet, change: Callable[[float], dict[str, Any]]) -> RuleSet:
    changed = [
        replace(rule, levels=tuple(replace(level, **change(level.limit)) for level in rule.levels), latching=False)
        if rule.kind == "physiological"
        else rule
        for rule in rules.rules
    ]
    return replace(rules, rules=tuple(changed))


def _make_result(rules: RuleSet, curve: bool) -> RuleSetResult:
    delays = range(LONGEST_DELAY_S + 1) if curve else ()
    trials = [RuleRun(delayed(rules, timedelta(seconds=delay))) for delay in delays]
    return RuleSetResult(
        rules.where, RuleRun(rules), RuleRun(without_delays(rules)), RuleRun(without_hysteresis(rules)), curve=trials
    )


def _rule_runs(tried: RuleSetResult) -> list[RuleRun]:
    return [tried.written, tried.undelayed, tried.naive, *tried.curve]
