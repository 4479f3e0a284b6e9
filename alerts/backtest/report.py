"""The result of a backtest as text tables and as JSON; and a rule file as a table.

Numbers are alarms a bed a day, the unit in which alarm load is published. Rules that never sounded are left out.
"""

from collections import Counter
from typing import Any

from rich.table import Table

from alerts.backtest.comparison import LONGEST_DELAY_S, BacktestResult, RuleSetResult
from alerts.backtest.rule_run import Key
from vitals.rules import Level, Rule, RuleSet


def as_json(result: BacktestResult) -> dict[str, Any]:
    """Everything, rounded to what the measurement can bear."""
    days = result.bed_days

    def load(counts: Counter[Key]) -> list[dict[str, Any]]:
        return [
            {"rule": rule, "priority": str(priority), "alarms": number, "per_bed_day": _per_day(number, days)}
            for (rule, priority), number in sorted(counts.items())
        ]

    return {
        "beds": result.beds,
        "readings": result.readings,
        "bed_days": round(days, 4),
        "files": [
            {
                "rules": file_result.where,
                "alarms": load(file_result.written.alarms),
                "naive": load(file_result.naive.alarms),
                "alarms_per_bed_day": _per_day(file_result.written.total, days),
                "naive_per_bed_day": _per_day(file_result.naive.total, days),
                "removed_by_delay": None
                if file_result.removed_by_delay is None
                else round(file_result.removed_by_delay, 3),
                "alarm_seconds": round(sum(file_result.written.seconds.values()), 1),
                "naive_alarm_seconds": round(sum(file_result.naive.seconds.values()), 1),
                "sustained": {
                    rule.name: {"episodes": found, "missed": missed}
                    for rule in file_result.written.rules.rules
                    for found, missed in [file_result.sustained(rule)]
                    if found
                },
                "by_delay": [
                    {"delay_s": delay, "per_bed_day": _per_day(rule_run.physiological, days)}
                    for delay, rule_run in enumerate(file_result.curve)
                ],
            }
            for file_result in result.files
        ],
    }


def load_table(file_result: RuleSetResult, days: float) -> Table:
    """One rule file: by rule and priority, naively and as written."""
    table = Table(title=f"{file_result.where}: alarms a bed a day", title_justify="left")
    table.add_column("rule", no_wrap=True)
    table.add_column("priority")
    for name in ("naive", "as written", "removed", "minutes of alarm", "sustained", "missed"):
        table.add_column(name, justify="right")
    naive, written = file_result.naive.alarms, file_result.written.alarms
    for rule in file_result.written.rules.rules:
        found, missed = file_result.sustained(rule)
        sustained = [str(found), str(missed)] if found else ["", ""]
        for priority in dict.fromkeys(level.priority for level in rule.levels):
            before, after = naive[rule.name, priority], written[rule.name, priority]
            if before or after:
                minutes = file_result.written.seconds[rule.name, priority] / 60
                table.add_row(rule.name, priority, *_loads(before, after, days), f"{minutes:.1f}", *sustained)
                sustained = ["", ""]  # of all levels together, so said once
    episodes = [file_result.sustained(rule) for rule in file_result.written.rules.rules]
    sustained = [str(sum(found for found, _ in episodes)), str(sum(missed for _, missed in episodes))]
    minutes = sum(file_result.written.seconds.values()) / 60
    table.add_section()
    patients = _loads(file_result.naive.physiological, file_result.written.physiological, days)
    table.add_row("of patients", "", *patients, "", *sustained)
    table.add_row("all", "", *_loads(naive.total(), written.total(), days), f"{minutes:.1f}")
    return table


def summary(result: BacktestResult, file_result: RuleSetResult) -> str:
    """One sentence below a table."""
    removed = file_result.removed_by_delay
    share = "there was nothing for the delays to remove" if removed is None else f"the delays remove {removed:.0%}"
    beds = "1 bed" if result.beds == 1 else f"{result.beds} beds"
    return (
        f"{beds}, {result.readings} readings, {result.bed_days * 24:.1f} hours. Of the alarms that "
        f"concern patients {share} (beside the same limits and hysteresis without delay)."
    )


def curve_table(result: BacktestResult) -> Table:
    """Alarms a bed a day against the delay, a column a file."""
    table = Table(title="alarms of patients, a bed a day, by delay", title_justify="left")
    table.add_column("delay", justify="right")
    for file_result in result.files:
        table.add_column(file_result.where, justify="right")
    for delay in range(0, LONGEST_DELAY_S + 1):
        loads = [_per_day(file_result.curve[delay].physiological, result.bed_days) for file_result in result.files]
        table.add_row(f"{delay} s", *(f"{load:.1f}" for load in loads))
    return table


def curves(result: BacktestResult) -> list[tuple[str, list[float]]]:
    """For a plot: each file's name, and its alarms of patients a bed a day for each delay."""
    return [
        (file_result.where, [_per_day(rule_run.physiological, result.bed_days) for rule_run in file_result.curve])
        for file_result in result.files
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


def _loads(before: int, after: int, days: float) -> list[str]:
    removed = f"{1 - after / before:.0%}" if before else ""
    return [f"{_per_day(before, days):.1f}", f"{_per_day(after, days):.1f}", removed]


def _per_day(number: int, days: float) -> float:
    return round(number / days, 2) if days else 0.0
