"""What a rule is, and a set of rules made ready for watching.

`alerts.rulefile` makes rules from TOML, `limits` changes their limits for one bed, `alerts.bed` asks them. A rule
watches one thing and has levels, from the mildest to the most severe: one alert climbs and descends them. The worker
retains its rules on `services/{name}/rules`, so that whoever offers a form for a bed's limits knows what they change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from vitals.alert import Kind, Priority
from vitals.payload import decode_payload
from vitals.signs import BY_KEY, SIGNS

Source = Literal["sign", "news2", "sensor-off", "no-data", "offline", "broker"]
SPECIAL: tuple[Source, ...] = ("news2", "no-data", "sensor-off", "offline")
"""What a rule may name where it names no sign."""


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a rule. Technical rules have no limit: there, time alone makes the step.

    `limit` is passed where the value lies beyond it, never where it equals it; `clear` is reached where the value
    equals it or lies on its good side. `single`: for NEWS2, a part that scores as much counts as passing the limit.
    """

    priority: Priority
    limit: float = 0.0
    clear: float = 0.0
    after: timedelta = timedelta()
    clear_after: timedelta = timedelta()
    single: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing watched. `above`: the bad side; None for technical rules, which have no sides."""

    name: str
    source: Source
    sign: str | None
    above: bool | None
    levels: tuple[Level, ...]
    latching: bool
    text: str

    @property
    def kind(self) -> Kind:
        """Of the patient, or of the equipment."""
        return "physiological" if self.source in ("sign", "news2") else "technical"

    def levels_exceeded(self, value: float) -> int:
        """How many levels, counted from the mildest, the value lies beyond."""
        found = 0
        for level in self.levels:
            if not (value > level.limit if self.above else value < level.limit):
                break
            found += 1
        return found

    def levels_not_cleared(self, value: float) -> int:
        """How many levels the value does not let go of: it lies on the bad side of `clear`."""
        found = 0
        for level in self.levels:
            if not (value > level.clear if self.above else value < level.clear):
                break
            found += 1
        return found


@dataclass(frozen=True, slots=True)
class SignRules:
    """The rules of one sign. A value from `low` to `high` is beyond no limit of any of them."""

    position: int  # in `signs.SIGNS`
    key: str
    low: float
    high: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class RuleSet:
    """All rules, and what follows from them, worked out once because every reading asks."""

    rules: tuple[Rule, ...]
    stale_after: timedelta = timedelta(seconds=60)
    longest_audio_pause: timedelta = timedelta(minutes=10)
    spo2_scale: int = 1
    where: str = "rules"
    by_name: dict[str, Rule] = field(init=False, repr=False)
    sign_rules: tuple[SignRules, ...] = field(init=False, repr=False)
    scored: tuple[Rule, ...] = field(init=False, repr=False)
    sensors: tuple[Rule, ...] = field(init=False, repr=False)
    timed: tuple[Rule, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def of(*sources: Source) -> tuple[Rule, ...]:
            return tuple(rule for rule in self.rules if rule.source in sources)

        ready = {
            "by_name": {rule.name: rule for rule in self.rules},
            "sign_rules": tuple(_sign_rules(of("sign"))),
            "scored": of("news2"),
            "sensors": of("sensor-off"),
            "timed": of("no-data", "offline"),
        }
        for name, value in ready.items():
            object.__setattr__(self, name, value)


def _sign_rules(rules: Sequence[Rule]) -> Sequence[SignRules]:
    found = []
    for position, sign in enumerate(SIGNS):
        mine = tuple(rule for rule in rules if rule.sign == sign.key)
        if mine:
            low, high = quiet_range(mine)
            found.append(SignRules(position, sign.key, low, high, mine))
    return found


def quiet_range(rules: Sequence[Rule]) -> tuple[float, float]:
    """The values beyond no limit of these rules of one sign; empty (low > high) where the rules leave none."""
    low = max((rule.levels[0].limit for rule in rules if not rule.above), default=-math.inf)
    high = min((rule.levels[0].limit for rule in rules if rule.above), default=math.inf)
    return low, high


def validate_levels(rule: Rule) -> list[tuple[int, str]]:
    """What is wrong with a rule's limits: (place of the level, sentence). Asked for the file and for a bed's own."""
    found = []
    word, worse = ("above", "higher") if rule.above else ("below", "lower")
    sign = BY_KEY.get(rule.sign or "")
    low, high = (sign.low, sign.high) if sign else (0.0, 20.0)
    for place, level in enumerate(rule.levels):
        before = rule.levels[place - 1] if place else None
        if not low <= level.limit <= high:
            found.append((place, f"{word} = {level.limit:g} is no possible value; allowed are {low:g} to {high:g}"))
        if level.clear != level.limit and (level.clear > level.limit) == rule.above:
            side = "at most" if rule.above else "at least"
            found.append((place, f"clear = {level.clear:g} is beyond {word} = {level.limit:g}; allowed is {side} that"))
        if before and (level.limit == before.limit or (level.limit > before.limit) != rule.above):
            problem = f"{word} = {level.limit:g} follows {before.limit:g}; each level's limit must be {worse}"
            found.append((place, problem))
        elif before and level.clear != before.clear and (level.clear > before.clear) != rule.above:
            problem = f"clear = {level.clear:g} follows {before.clear:g}; a milder level cannot be cleared first"
            found.append((place, problem))
    return found


def find_conflicts(rules: Sequence[Rule]) -> list[tuple[Rule, str]]:
    """Signs for which high lies below low, so that every value would be an alarm: (a rule, sentence)."""
    found = []
    for key in dict.fromkeys(rule.sign for rule in rules if rule.source == "sign"):
        mine = [rule for rule in rules if rule.source == "sign" and rule.sign == key]
        low, high = quiet_range(mine)
        if low > high:
            lower = next(rule for rule in mine if not rule.above and rule.levels[0].limit == low)
            upper = next(rule for rule in mine if rule.above and rule.levels[0].limit == high)
            problem = (
                f"above = {high:g} is lower than below = {low:g} of the rule {lower.name}: "
                f"every value of {key} would be an alarm"
            )
            found.append((upper, problem))
    return found


MAX_RULES = 1024 * 1024  # bytes


class _RuleMessage(Struct, kw_only=True):
    """Rules as they travel: what RuleSet cannot work out by itself."""

    rules: tuple[Rule, ...]
    stale_after: timedelta
    longest_audio_pause: timedelta
    spo2_scale: Literal[1, 2]


_decode = msgspec.json.Decoder(_RuleMessage).decode


def encode_rules(rules: RuleSet) -> bytes:
    """Rules as a JSON object; durations as ISO 8601 writes them (PT19S)."""
    message = _RuleMessage(
        rules=rules.rules,
        stale_after=rules.stale_after,
        longest_audio_pause=rules.longest_audio_pause,
        spo2_scale=2 if rules.spo2_scale == 2 else 1,
    )
    return msgspec.json.encode(message)


def decode_rules(payload: bytes) -> RuleSet:
    """Decode rules; raises ValueError with one sentence."""
    message = decode_payload(_decode, payload, "a rules message", MAX_RULES)
    if any(rule.source == "sign" and rule.sign not in BY_KEY for rule in message.rules):
        raise ValueError("not a rules message: one rule names an unknown sign")
    if any(not rule.levels for rule in message.rules):
        raise ValueError("not a rules message: one rule has no level")
    return RuleSet(message.rules, message.stale_after, message.longest_audio_pause, message.spo2_scale)
