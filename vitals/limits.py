"""Limits of one bed that override those of the rule file, from the retained topic `limits/{ward}/{device}`. Pure.

`decode_limits` decodes the message, `apply` merges it into the rules. An empty message removes the bed's limits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.errors import PermanentError
from vitals.payload import decode_payload
from vitals.reading import MAX_TEXT
from vitals.rules import Level, LimitProblem, Rule, RuleSet, find_conflicts, validate_levels

MAX_LIMITS = 16 * 1024  # bytes
SCALES = {1: "news2-scale-1", 2: "news2-scale-2"}
"""Profiles of the patients that are scored on each SpO2 scale of NEWS2."""


class RequestRejected(PermanentError):
    """A user's request was rejected; the message states the reason for that user."""


class LimitsRejected(RequestRejected):
    """Limits were rejected: `problems` of their values; others are only in the message."""

    def __init__(self, message: str, problems: Sequence[LimitProblem]) -> None:
        super().__init__(message)
        self.problems = problems


def require_printable(key: str, text: str) -> None:
    """Raise RequestRejected unless the text of this key has 1 to 200 printable characters."""
    if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
        raise RequestRejected(f"{key} is {text[:40]!a}; expected 1 to {MAX_TEXT} printable characters")


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one bed.

    limits       rule -> its limit, or a list of limits from the mildest level on; null keeps the file's limit. The
                 file's distance between `limit` and `clear` is kept
    spo2_scale   2 for the NEWS2 scale of a patient in hypercapnic respiratory failure, if a clinician chose it
    patient_id   their patient; while another patient is known to be on the device, the file's limits apply
    time         when the user set them, for the audit record
    """

    by: str
    limits: dict[str, float | list[float | None]] = {}
    spo2_scale: Literal[1, 2] | None = None
    patient_id: str | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None

    def applies_to(self, patient_id: str | None) -> bool:
        """Return whether they apply while this patient is on the device."""
        return self.patient_id is None or patient_id is None or self.patient_id == patient_id


_decode = msgspec.json.Decoder(Limits).decode


def decode_limits(payload: bytes) -> Limits | None:
    """Decode the message; None for an empty one. Raises RequestRejected."""
    if not payload:
        return None
    limits = decode_payload(_decode, payload, "a limits message", MAX_LIMITS, RequestRejected)
    require_printable("by", limits.by)
    return limits


def apply(rules: RuleSet, limits: Limits) -> RuleSet:
    """Return the rules with these limits; raises LimitsRejected listing every problem, and then none is applied."""
    scale = limits.spo2_scale or rules.spo2_scale
    if scale != rules.spo2_scale:
        rules = apply_profile(rules, SCALES[scale])
    return replace(_with_limits(rules, limits.limits), spo2_scale=scale)


def apply_profile(rules: RuleSet, name: str) -> RuleSet:
    """Return the rules as they hold for a group of patients; unchanged without a profile of that name."""
    for profile in rules.profiles:
        if profile.name == name:
            known = tuple(rule for rule in rules.rules if rule.name not in profile.without)
            return _with_limits(replace(rules, rules=known), profile.limits)
    return rules


def _with_limits(rules: RuleSet, limits: Mapping[str, float | list[float | None]]) -> RuleSet:
    problems: list[str] = []
    of_values: list[LimitProblem] = []
    changed: dict[str, Rule] = {}
    for name, wanted in limits.items():
        rule = rules.by_name.get(name)
        if rule is None or rule.above is None:
            problems.append(_unknown_rule(name, rules, rule))
            continue
        new_limits = list(wanted) if isinstance(wanted, list) else [wanted]
        if not 1 <= len(new_limits) <= len(rule.levels) or not any(new_limit is not None for new_limit in new_limits):
            problems.append(f"{name} has {len(rule.levels)} level(s); {len(new_limits)} limit(s) were given")
            continue
        if not all(new_limit is None or math.isfinite(new_limit) for new_limit in new_limits):
            problems.append(f"{name}: {new_limits} are not all finite numbers")
            continue
        new_limits += [None] * (len(rule.levels) - len(new_limits))
        new = tuple(_with_limit(level, new_limit) for level, new_limit in zip(rule.levels, new_limits, strict=True))
        changed[name] = replace(rule, levels=new)
        of_levels = validate_levels(changed[name])
        problems += [f"{name}, level {problem.level + 1}: {problem.text}" for problem in of_levels]
        of_values += of_levels
    new_rules = tuple(changed.get(rule.name, rule) for rule in rules.rules)
    conflicts = find_conflicts(new_rules)
    problems += [f"{conflict.rule.name}: {conflict.text}" for conflict in conflicts]
    if problems:
        raise LimitsRejected("; ".join(problems), [*of_values, *conflicts])
    return replace(rules, rules=new_rules)


def _with_limit(level: Level, limit: float | None) -> Level:
    return level if limit is None else replace(level, limit=limit, clear=limit + (level.clear - level.limit))


def _unknown_rule(name: str, rules: RuleSet, rule: Rule | None) -> str:
    if rule is not None:
        return f"{name} has no limit: it is a rule for {rule.source}"
    known = [rule.name for rule in rules.rules if rule.above is not None]
    close = get_close_matches(name, known, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"no rule {name[:MAX_TEXT]!a}{meant}; limits can be set for {', '.join(known)}"
