"""A bed's own limits over the rule file's, from the retained topic `limits/{ward}/{device}`. Pure.

`decode_limits` reads the message and `apply` lays it over the rules; `turnover.use` does so for a bed and
again when its patient changes. An empty message takes the bed's own limits away again.
"""

import math
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.errors import PermanentError
from vitals.payload import decode_payload
from vitals.reading import MAX_TEXT
from vitals.rules import Level, Rule, RuleSet, find_conflicts, validate_levels

MAX_LIMITS = 16 * 1024  # bytes


class RequestRejected(PermanentError):
    """What a person asked for and does not get; the text says why, for that person."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bed's own limits.

    limits       rule -> its limit, or a list of limits from its mildest level on; null keeps the file's. The file's
                 distance from limit to `clear` goes along
    spo2_scale   2 for the NEWS2 scale of a patient in hypercapnic respiratory failure, where a clinician said so
    patient_id   for whom; while another patient is known to be on the device, the file's limits hold
    time         when the person set them, for the record
    """

    by: str
    limits: dict[str, float | list[float | None]] = {}
    spo2_scale: Literal[1, 2] | None = None
    patient_id: str | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None

    def applies_to(self, patient_id: str | None) -> bool:
        """Whether they hold while this patient is on the device."""
        return self.patient_id is None or patient_id is None or self.patient_id == patient_id


_decode = msgspec.json.Decoder(Limits).decode


def decode_limits(payload: bytes) -> Limits | None:
    """Take the message apart; None for an empty one. Raises RequestRejected."""
    if not payload:
        return None
    limits = decode_payload(_decode, payload, "a limits message", MAX_LIMITS, RequestRejected)
    if not limits.by.strip() or len(limits.by) > MAX_TEXT or not limits.by.isprintable():
        raise RequestRejected(f"by is {limits.by[:40]!a}; expected a name of 1 to {MAX_TEXT} printable characters")
    return limits


def apply(rules: RuleSet, limits: Limits) -> RuleSet:
    """The rules with these limits; raises RequestRejected, with every objection, and then nothing of them holds."""
    problems: list[str] = []
    changed: dict[str, Rule] = {}
    for name, wanted in limits.limits.items():
        rule = rules.by_name.get(name)
        if rule is None or rule.above is None:
            problems.append(_unknown_rule(name, rules, rule))
            continue
        new_limits = list(wanted) if isinstance(wanted, list) else [wanted]
        if not 1 <= len(new_limits) <= len(rule.levels) or not any(new_limit is not None for new_limit in new_limits):
            problems.append(f"{name} has {len(rule.levels)} level(s); {len(new_limits)} limit(s) were given")
            continue
        if not all(new_limit is None or math.isfinite(new_limit) for new_limit in new_limits):
            problems.append(f"{name}: {new_limits} are not all numbers")
            continue
        new_limits += [None] * (len(rule.levels) - len(new_limits))
        new = tuple(_with_limit(level, new_limit) for level, new_limit in zip(rule.levels, new_limits, strict=True))
        changed[name] = replace(rule, levels=new)
        problems += [f"{name}, level {place + 1}: {problem}" for place, problem in validate_levels(changed[name])]
    new_rules = tuple(changed.get(rule.name, rule) for rule in rules.rules)
    problems += [f"{rule.name}: {problem}" for rule, problem in find_conflicts(new_rules)]
    if problems:
        raise RequestRejected("; ".join(problems))
    return replace(rules, rules=new_rules, spo2_scale=limits.spo2_scale or rules.spo2_scale)


def _with_limit(level: Level, limit: float | None) -> Level:
    return level if limit is None else replace(level, limit=limit, clear=limit + (level.clear - level.limit))


def _unknown_rule(name: str, rules: RuleSet, rule: Rule | None) -> str:
    if rule is not None:
        return f"{name} has no limit to set: it watches {rule.source}"
    known = [rule.name for rule in rules.rules if rule.above is not None]
    close = get_close_matches(name, known, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"no rule {name[:MAX_TEXT]!a}{meant}; limits can be set for {', '.join(known)}"
