"""Alarm rules, and a set of rules indexed for evaluation. Pure.

A rule has one source, and levels from the mildest to the most severe, through which its alert escalates and
de-escalates.
The alert worker publishes its rules, retained, on `services/{name}/rules`, for forms that edit a bed's limits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from vitals.alert import MAX_EPOCH, Kind, Priority
from vitals.payload import decode_payload
from vitals.signs import BY_KEY, MEAN_BP, SIGNS, Sign
from vitals.thresholds import CONTINUOUS_SIGNS, MONITORED_CHECKS, STALE_AFTER

Source = Literal[
    "sign",
    "mean-bp",
    "news2",
    "no-data",
    "offline",
    "sensor-off",
    "all-sensors-off",
    "sign-gone",
    "clock",
    "patients",
    "assignment",
    "broker",
    "ingest",
]
PHYSIOLOGICAL: tuple[Source, ...] = ("sign", "mean-bp", "news2")
"""Sources with values and limits."""
SPECIAL: tuple[Source, ...] = tuple(source for source in get_args(Source) if source not in ("sign", "broker", "ingest"))
"""Sources other than a sign that a rule file may name."""

NO_SILENCE_RULE = timedelta(days=36_500)  # can be added to a time, unlike timedelta.max


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a rule. A technical rule has no limit: only time raises its levels.

    limit    exceeded by a value beyond it, not by an equal one
    clear    reached by a value equal to it or on its good side
    single   for NEWS2: points of one input that count as exceeding the limit
    text     for this level instead of the rule's text
    """

    priority: Priority
    limit: float = 0.0
    clear: float = 0.0
    after: timedelta = timedelta()
    clear_after: timedelta = timedelta()
    single: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `above`: whether values above the limit are bad, None for technical rules."""

    name: str
    source: Source
    sign: str | None
    above: bool | None
    levels: tuple[Level, ...]
    latching: bool
    text: str

    @property
    def kind(self) -> Kind:
        """Physiological or technical, as IEC 60601-1-8 divides alarms."""
        return "physiological" if self.source in PHYSIOLOGICAL else "technical"

    @property
    def quantity(self) -> Sign | None:
        """The quantity that its limits bound; None for NEWS2 and technical rules."""
        return MEAN_BP if self.source == "mean-bp" else BY_KEY.get(self.sign or "")

    def levels_exceeded(self, value: float) -> int:
        """Return how many levels, counted from the mildest, the value exceeds."""
        count = 0
        for level in self.levels:
            if not (value > level.limit if self.above else value < level.limit):
                break
            count += 1
        return count

    def levels_not_cleared(self, value: float) -> int:
        """Return how many levels the value does not clear: it is on the bad side of `clear`."""
        count = 0
        for level in self.levels:
            if not (value > level.clear if self.above else value < level.clear):
                break
            count += 1
        return count


class RuleProfile(Struct, frozen=True, kw_only=True):
    """Other limits for a group of patients: an age group, or those scored on SpO2 scale 2.

    limits    rule -> its limit, or a list from the mildest level on; the distance to `clear` is kept
    without   rules that do not apply
    """

    name: str
    limits: dict[str, float | list[float | None]] = {}
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignRules:
    """The rules of one sign. A value from `low` to `high` exceeds no limit of any of them."""

    position: int  # in `signs.SIGNS`
    bit: int  # in `Bed.active_signs`
    key: str
    low: float
    high: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class RuleSet:
    """All rules, indexed once for the evaluation of every reading."""

    rules: tuple[Rule, ...]
    stale_after: timedelta = STALE_AFTER
    longest_audio_pause: timedelta = timedelta(minutes=10)
    spo2_scale: int = 1
    reminder: timedelta = timedelta(seconds=60)
    attention_after: timedelta = timedelta(seconds=180)
    profiles: tuple[RuleProfile, ...] = ()
    where: str = "rules"
    by_name: dict[str, Rule] = field(init=False, repr=False)
    sign_rules: tuple[SignRules, ...] = field(init=False, repr=False)
    quiet_ranges: tuple[tuple[int, float, float, int, SignRules], ...] = field(init=False, repr=False)
    mean_bp: tuple[Rule, ...] = field(init=False, repr=False)
    scored: tuple[Rule, ...] = field(init=False, repr=False)
    quiet_score: tuple[float, float] = field(init=False, repr=False)
    sensors: tuple[Rule, ...] = field(init=False, repr=False)
    timed: tuple[Rule, ...] = field(init=False, repr=False)
    offline: tuple[Rule, ...] = field(init=False, repr=False)
    silence_after: timedelta = field(init=False, repr=False)
    no_data: tuple[Rule, ...] = field(init=False, repr=False)
    device_checks: tuple[Rule, ...] = field(init=False, repr=False)
    device_check_names: frozenset[str] = field(init=False, repr=False)
    watched_signs: frozenset[str] = field(init=False, repr=False)
    all_monitored: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def of(*sources: Source) -> tuple[Rule, ...]:
            return tuple(rule for rule in self.rules if rule.source in sources)

        sign_rules = tuple(_sign_rules(of("sign")))
        watched_signs = CONTINUOUS_SIGNS | {rule.sign for rule in of("sign-gone") if rule.sign}
        device_checks = of("all-sensors-off", "sign-gone", "clock", "patients", "assignment")
        ready = {
            "by_name": {rule.name: rule for rule in self.rules},
            "sign_rules": sign_rules,
            # A reading unpacks a tuple of each sign in half the time of four attributes.
            "quiet_ranges": tuple((watch.position, watch.low, watch.high, watch.bit, watch) for watch in sign_rules),
            "mean_bp": of("mean-bp"),
            "scored": of("news2"),
            "quiet_score": _quiet_score(of("news2")),
            "sensors": of("sensor-off"),
            "timed": of("no-data", "offline"),
            "offline": of("offline"),
            "no_data": of("no-data"),
            # The shortest silence that any rule reports.
            "silence_after": min((rule.levels[0].after for rule in of("no-data")), default=NO_SILENCE_RULE),
            "watched_signs": watched_signs,
            "all_monitored": dict.fromkeys(watched_signs, MONITORED_CHECKS),
            "device_checks": device_checks,
            "device_check_names": frozenset(rule.name for rule in device_checks),
        }
        for name, value in ready.items():
            object.__setattr__(self, name, value)


def _sign_rules(rules: Sequence[Rule]) -> Sequence[SignRules]:
    groups = []
    for position, sign in enumerate(SIGNS):
        of_sign = tuple(rule for rule in rules if rule.sign == sign.key)
        if of_sign:
            low, high = quiet_range(of_sign)
            groups.append(SignRules(position, 1 << position, sign.key, low, high, of_sign))
    return groups


def _quiet_score(rules: Sequence[Rule]) -> tuple[float, float]:
    """Return the highest total, and the highest points of one input, that exceed no level of these rules."""
    levels = [level for rule in rules for level in rule.levels]
    total = min((level.limit for level in levels), default=math.inf)
    single = min((level.single for level in levels if level.single is not None), default=math.inf)
    return total, single - 1


def quiet_range(rules: Sequence[Rule]) -> tuple[float, float]:
    """Return the range of values that exceed no limit of these rules of one sign; low > high if there is none."""
    low = max((rule.levels[0].limit for rule in rules if not rule.above), default=-math.inf)
    high = min((rule.levels[0].limit for rule in rules if rule.above), default=math.inf)
    return low, high


@dataclass(frozen=True, slots=True)
class LimitProblem:
    """A limit that cannot apply.

    text    the problem in the words of a rule file; `station.limit_problem_text` has those for a user of the station
    level   index of the level in the rule
    other   for a conflict: the rule of the opposite limit
    """

    kind: Literal["impossible", "clear", "order", "clear-order", "conflict"]
    rule: Rule
    text: str
    level: int = 0
    other: Rule | None = None


def validate_levels(rule: Rule) -> list[LimitProblem]:
    """Return the problems of the limits of a rule."""
    problems: list[LimitProblem] = []
    word, worse = ("above", "higher") if rule.above else ("below", "lower")
    low, high = (rule.quantity.low, rule.quantity.high) if rule.quantity else (0.0, 20.0)
    for index, level in enumerate(rule.levels):
        before = rule.levels[index - 1] if index else None
        if not low <= level.limit <= high:
            text = f"{word} = {level.limit:g} is not a possible value; allowed are {low:g} to {high:g}"
            problems.append(LimitProblem("impossible", rule, text, index))
        if level.clear != level.limit and (level.clear > level.limit) == rule.above:
            side = "at most" if rule.above else "at least"
            text = f"clear = {level.clear:g} is beyond {word} = {level.limit:g}; allowed is {side} that"
            problems.append(LimitProblem("clear", rule, text, index))
        if before and (level.limit == before.limit or (level.limit > before.limit) != rule.above):
            text = f"{word} = {level.limit:g} follows {before.limit:g}; each level's limit must be {worse}"
            problems.append(LimitProblem("order", rule, text, index))
        elif before and level.clear != before.clear and (level.clear > before.clear) != rule.above:
            text = f"clear = {level.clear:g} follows {before.clear:g}; a milder level cannot be cleared first"
            problems.append(LimitProblem("clear-order", rule, text, index))
    return problems


def find_conflicts(rules: Sequence[Rule]) -> list[LimitProblem]:
    """Return one problem for each sign whose upper limit is below the lower one, so that every value would alarm."""
    conflicts = []
    for key in dict.fromkeys(rule.sign for rule in rules if rule.source == "sign"):
        of_sign = [rule for rule in rules if rule.source == "sign" and rule.sign == key]
        low, high = quiet_range(of_sign)
        if low > high:
            lower = next(rule for rule in of_sign if not rule.above and rule.levels[0].limit == low)
            upper = next(rule for rule in of_sign if rule.above and rule.levels[0].limit == high)
            text = (
                f"above = {high:g} is lower than below = {low:g} of the rule {lower.name}: "
                f"every value of {key} would be an alarm"
            )
            conflicts.append(LimitProblem("conflict", upper, text, other=lower))
    return conflicts


MAX_RULES = 1024 * 1024  # bytes


class _RuleMessage(Struct, kw_only=True):
    """The message of a RuleSet: the fields that are not derived."""

    rules: tuple[Rule, ...]
    stale_after: timedelta
    longest_audio_pause: timedelta
    spo2_scale: Literal[1, 2]
    reminder: timedelta
    attention_after: timedelta
    profiles: tuple[RuleProfile, ...] = ()


_decode = msgspec.json.Decoder(_RuleMessage).decode


class Republished(Struct, frozen=True):
    """A part of the message: the alert worker has published every alert that it knows before.

    epoch   of these alerts, see `alert.is_overtaken`; 0 from workers before 0.2
    wards   of these alerts; + is all
    """

    epoch: Annotated[int, Meta(ge=0, le=MAX_EPOCH)] = 0
    wards: tuple[str, ...] = ()


_decode_republished = msgspec.json.Decoder(Republished).decode


def encode_rules(rules: RuleSet, republished: Republished | None = None) -> bytes:
    """Encode as a JSON object; durations in ISO 8601 (PT19S)."""
    fields = {name: getattr(rules, name) for name in _RuleMessage.__struct_fields__}
    return msgspec.json.encode(fields | ({} if republished is None else msgspec.structs.asdict(republished)))


def decode_republished(payload: bytes) -> Republished:
    """Decode what a rules message says of the alerts; raises ValueError with one sentence."""
    return decode_payload(_decode_republished, payload, "a rules message", MAX_RULES)


def decode_rules(payload: bytes) -> RuleSet:
    """Decode rules; raises ValueError with one sentence."""
    message = decode_payload(_decode, payload, "a rules message", MAX_RULES)
    if any(rule.source == "sign" and rule.sign not in BY_KEY for rule in message.rules):
        raise ValueError("not a rules message: one rule names an unknown sign")
    if any(not rule.levels for rule in message.rules):
        raise ValueError("not a rules message: one rule has no level")
    return RuleSet(**msgspec.structs.asdict(message))
