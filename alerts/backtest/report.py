"""What the laboratory found, as tables for a person and as JSON for a program; and a rule file as a table.

Numbers are alarms a bed a day, the unit in which alarm load is published. Rules that never sounded are left out.
"""

from collections import Counter
from typing import Any

from rich.table import Table

from alerts.backtest.comparison import LONGEST_DELAY_S, BacktestResult, RuleSetResult
from alerts.backtest.rule_run import Key
from vitals.alert import Priority
from vitals.rules import Level, Rule, RuleSet


def as_json(outcome: BacktestResult) -> dict[str, Any]:
    """Everything, rounded to what the measurement can bear."""
    days = outcome.bed_days

    def load(counts: Counter[Key]) -> list[dict[str, Any]]:
        return [
            {"rule": rule, "priority": str(priority), "alarms": number, "per_bed_day": _per_day(number, days)}
            for (rule, priority), number in sorted(counts.items())
        ]

    return {
        "beds": outcome.beds,
        "readings": outcome.readings,
        "bed_days": round(days, 4),
        "files": [
            {
                "rules": tried.where,
                "alarms": load(tried.written.alarms),
                "naive": load(tried.naive.alarms),
                "alarms_per_bed_day": _per_day(tried.written.total, days),
                "naive_per_bed_day": _per_day(tried.naive.total, days),
                "removed_by_delay": None if tried.removed_by_delay is None else round(tried.removed_by_delay, 3),
                "alarm_seconds": round(sum(tried.written.seconds.values()), 1),
                "naive_alarm_seconds": round(sum(tried.naive.seconds.values()), 1),
                "sustained": {
                    rule.name: {"episodes": found, "missed": missed}
                    for rule in tried.written.rules.rules
                    for found, missed in [tried.sustained(rule)]
                    if found
                },
                "by_delay": [
                    {"delay_s": delay, "per_bed_day": _per_day(trial.physiological, days)}
                    for delay, trial in enumerate(tried.curve)
                ],
            }
            for tried in outcome.files
        ],
    }


def load_table(tried: RuleSetResult, days: float) -> Table:
    """One rule file: by rule and priority, naively and as written."""
    table = Table(title=f"{tried.where}: alarms a bed a day", title_justify="left")
    table.add_column("rule", no_wrap=True)
    table.add_column("priority")
    for name in ("naive", "as written", "removed", "minutes of alarm", "sustained", "missed"):
        table.add_column(name, justify="right")
    naive, written = tried.naive.alarms, tried.written.alarms
    for rule in tried.written.rules.rules:
        found, missed = tried.sustained(rule)
        sustained = [str(found), str(missed)] if found else ["", ""]
        for priority in _priorities(rule):
            before, after = naive[rule.name, priority], written[rule.name, priority]
            if before or after:
                minutes = tried.written.seconds[rule.name, priority] / 60
                table.add_row(rule.name, priority, *_loads(before, after, days), f"{minutes:.1f}", *sustained)
                sustained = ["", ""]  # of all levels together, so said once
    episodes = [tried.sustained(rule) for rule in tried.written.rules.rules]
    sustained = [str(sum(found for found, _ in episodes)), str(sum(missed for _, missed in episodes))]
    minutes = sum(tried.written.seconds.values()) / 60
    table.add_section()
    patients = _loads(tried.naive.physiological, tried.written.physiological, days)
    table.add_row("of patients", "", *patients, "", *sustained)
    table.add_row("all", "", *_loads(naive.total(), written.total(), days), f"{minutes:.1f}")
    return table


def summary(outcome: BacktestResult, tried: RuleSetResult) -> str:
    """One sentence below a table."""
    removed = tried.removed_by_delay
    share = "there was nothing for the delays to remove" if removed is None else f"the delays remove {removed:.0%}"
    beds = "1 bed" if outcome.beds == 1 else f"{outcome.beds} beds"
    return (
        f"{beds}, {outcome.readings} readings, {outcome.bed_days * 24:.1f} hours. Of the alarms that "
        f"concern patients {share} (beside the same limits and hysteresis without delay)."
    )


def curve_table(outcome: BacktestResult) -> Table:
    """Alarms a bed a day against the delay, a column a file."""
    table = Table(title="alarms of patients, a bed a day, by delay", title_justify="left")
    table.add_column("delay", justify="right")
    for tried in outcome.files:
        table.add_column(tried.where, justify="right")
    for delay in range(0, LONGEST_DELAY_S + 1):
        loads = [_per_day(tried.curve[delay].physiological, outcome.bed_days) for tried in outcome.files]
        table.add_row(f"{delay} s", *(f"{load:.1f}" for load in loads))
    return table


def curves(outcome: BacktestResult) -> list[tuple[str, list[float]]]:
    """For a plot: each file's name, and its alarms of patients a bed a day for each delay."""
    return [
        (tried.where, [_per_day(trial.physiological, outcome.bed_days) for trial in tried.curve])
        for tried in outcome.files
    ]


def rules_table(rules: RuleSet) -> Table:
    """A rule file as a clinician reads it."""
    table = Table(title=rules.where, title_justify="left")
    for name in ("rule", "watches", "priority", "alarm", "for", "ends", "for", "latching"):
        table.add_column(name, no_wrap=True)
    for rule in rules.rules:
        for place, level in enumerate(rule.levels):
            first = place == 0
            table.add_row(
                rule.name if first else "",
                (rule.sign or rule.source) if first else "",
                level.priority,
                _limit(rule, level),
                _seconds(level.after.total_seconds()),
                "" if rule.above is None else f"{'≤' if rule.above else '≥'} {level.clear:g}",
                _seconds(level.clear_after.total_seconds()),
                "yes" if rule.latching and first else "",
            )
    return table


def _limit(rule: Rule, level: Level) -> str:
    if rule.above is None:
        return rule.source
    single = f", or one part {level.single}" if level.single else ""
    return f"{'>' if rule.above else '<'} {level.limit:g}{single}"


def _seconds(value: float) -> str:
    return f"{value:g} s" if value else "at once"


def _priorities(rule: Rule) -> list[Priority]:
    return list(dict.fromkeys(level.priority for level in rule.levels))


def _loads(before: int, after: int, days: float) -> list[str]:
    removed = f"{1 - after / before:.0%}" if before else ""
    return [f"{_per_day(before, days):.1f}", f"{_per_day(after, days):.1f}", removed]


def _per_day(number: int, days: float) -> float:
    return round(number / days, 2) if days else 0.0
