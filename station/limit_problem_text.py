"""State in one sentence, for a nurse, why the limits of a bed cannot apply. Pure; without names of rules."""

from vitals.alert_format import DISPLAY_UNITS
from vitals.limits import LimitsRejected
from vitals.rules import LimitProblem, Rule

OUTDATED = "This form is out of date. Close it, reload the page and try again."
"""The form has fields that the rules in use do not have; no input of a user leads to it."""


def limit_problem_text(rejected: LimitsRejected) -> str:
    """Return the sentences for all problems."""
    return " ".join(dict.fromkeys(_sentence(problem) for problem in rejected.problems)) or OUTDATED


def _sentence(problem: LimitProblem) -> str:
    rule, level = problem.rule, problem.rule.levels[problem.level]
    before = rule.levels[problem.level - 1]
    name, worse = _name(rule), "above" if rule.above else "below"
    match problem.kind:
        case "conflict" if problem.other is not None:
            low, high = problem.other.levels[0].limit, rule.levels[0].limit
            return f"The high limit for {name} ({high:g}) must be above the low limit ({low:g})."
        case "impossible":
            least, most = (rule.quantity.low, rule.quantity.high) if rule.quantity else (0, 20)
            unit = f" {_unit(rule)}" if _unit(rule) else ""
            side = "high" if rule.above else "low"
            return f"The {side} limit for {name} ({level.limit:g}) must be from {least:g} to {most:g}{unit}."
        case "order":
            return (
                f"{rule.text}: the limit for {level.priority} priority ({level.limit:g}) must be {worse} "
                f"that for {before.priority} priority ({before.limit:g})."
            )
        case _:
            return (
                f"{rule.text}: the limits for {before.priority} priority ({before.limit:g}) and {level.priority} "
                f"priority ({level.limit:g}) are too close together."
            )


def _name(rule: Rule) -> str:
    if rule.quantity is None:
        return "NEWS2"
    return rule.quantity.label[0].lower() + rule.quantity.label[1:]


def _unit(rule: Rule) -> str:
    return DISPLAY_UNITS.get(rule.quantity.unit, rule.quantity.unit) if rule.quantity else ""
