"""Backtest: recorded readings, evaluated by the engine under several rule files and delays in one pass.

`history` reads the beds, `rule_run` runs the engine of the worker, `report` and `plot` show the result. Each rule file
is evaluated as written, without its delays, and naively: the same limits, with an alarm at every crossing, like a
monitor without delay and hysteresis. `episodes` finds the episodes that must not be missed in the values alone,
without the engine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alerts.backtest.episodes import Episodes, Span
from alerts.backtest.history import BedHistory
from alerts.backtest.rule_run import BedRun, RuleRun
from vitals.rules import Level, Rule, RuleSet

LONGEST_DELAY_S = 30  # of the curve
PAUSE = timedelta(minutes=10)  # a longer silence is no time at the bed


@dataclass
class RuleSetResult:
    """The results of one rule file: as written, without delays, naively, and with each delay of the curve."""

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
    """The result of a backtest. `bed_days`: the monitored time of all beds, from their readings, in days."""

    beds: int = 0
    readings: int = 0
    bed_days: float = 0.0
    files: list[RuleSetResult] = field(default_factory=list)


def run(histories: Iterable[BedHistory], rule_sets: Sequence[RuleSet], curve: bool = False) -> BacktestResult:
    """Run every bed through every set of rules, in one pass over the readings.

    1. For each file: its rules as written, without delays, naively, and for the curve with each delay.
    2. For each bed: a new engine for each of them; the readings count as live, as when they were recorded.
    3. Alerts that are open at a bed's last reading end there.
    """
    result = BacktestResult(files=[_make_result(rules, curve) for rules in rule_sets])
    rule_runs = [rule_run for file_result in result.files for rule_run in _rule_runs(file_result)]
    for history in histories:
        result.beds += 1
        bed_runs = [BedRun(rule_run, history) for rule_run in rule_runs]
        bed_episodes = [Episodes(file_result.written.rules) for file_result in result.files]
        last: datetime | None = None
        for reading in history.readings:
            result.readings += 1
            for bed_run in bed_runs:
                bed_run.read(reading, history.ward)
            for episodes in bed_episodes:
                episodes.take(reading)
            if last is not None and reading.time - last <= max(PAUSE, timedelta(seconds=3 * history.interval_s)):
                result.bed_days += (reading.time - last) / timedelta(days=1)
            last = reading.time
        if last is not None:
            for bed_run in bed_runs:
                bed_run.end(last)
        for file_result, episodes in zip(result.files, bed_episodes, strict=True):
            for (rule, level), spans in episodes.sustained().items():
                file_result.episodes[history.device, rule, level] = spans
    return result


def without_delays(rules: RuleSet) -> RuleSet:
    """The same limits and hysteresis; every physiological alarm is raised at once."""
    return _with_levels(rules, lambda level: replace(level, after=timedelta()), latching=False)


def without_hysteresis(rules: RuleSet) -> RuleSet:
    """The same limits; every crossing is an alarm and every way back its end."""

    def at_once(level: Level) -> Level:
        return replace(level, after=timedelta(), clear=level.limit, clear_after=timedelta())

    return _with_levels(rules, at_once, latching=False)


def delayed(rules: RuleSet, delay: timedelta) -> RuleSet:
    """The same rules, with this delay wherever there is one; levels without a delay keep none."""
    return _with_levels(rules, lambda level: replace(level, after=delay) if level.after else level)


def _with_levels(rules: RuleSet, change: Callable[[Level], Level], **others: Any) -> RuleSet:
    """The same rules, with other levels and fields of the physiological ones."""
    changed = [
        replace(rule, levels=tuple(map(change, rule.levels)), **others) if rule.kind == "physiological" else rule
        for rule in rules.rules
    ]
    return replace(rules, rules=tuple(changed))


def _make_result(rules: RuleSet, curve: bool) -> RuleSetResult:
    delays = range(LONGEST_DELAY_S + 1) if curve else ()
    rule_runs = [RuleRun(delayed(rules, timedelta(seconds=delay))) for delay in delays]
    return RuleSetResult(
        rules.where, RuleRun(rules), RuleRun(without_delays(rules)), RuleRun(without_hysteresis(rules)), curve=rule_runs
    )


def _rule_runs(file_result: RuleSetResult) -> list[RuleRun]:
    return [file_result.written, file_result.undelayed, file_result.naive, *file_result.curve]
