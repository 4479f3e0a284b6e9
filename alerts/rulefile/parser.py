"""Rules from a TOML file, with all its mistakes at once, each with its line.

This is the only module that creates rules from a file. `tomllib` parses the text; `positions` finds the lines, which
tomllib does not report. A mistake states file, line, rule, key, value and what is allowed.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec

from alerts.rulefile.diagnostics import Diagnostics, did_you_mean
from alerts.rulefile.positions import Positions
from vitals.alert import Priority
from vitals.assignment import Profile
from vitals.errors import PermanentError
from vitals.limits import SCALES, RequestRejected, apply_profile
from vitals.rules import (
    PHYSIOLOGICAL,
    SPECIAL,
    Level,
    Rule,
    RuleProfile,
    RuleSet,
    Source,
    find_conflicts,
    validate_levels,
)
from vitals.signs import BY_KEY, SIGN_KEYS
from vitals.thresholds import STALE_AFTER

DEFAULT = Path(__file__).parent.with_name("rules.toml")

_TIMES = ("for_s", "clear_for_s")
_LEVEL_KEYS = ("priority", "above", "below", "clear", "single", *_TIMES)
_RULE_KEYS = ("name", "sign", "of", "text", "latching", "level", *_LEVEL_KEYS)
_TOP_KEYS = ("stale_after_s", "audio_pause_max_s", "reminder_s", "attention_after_s", "spo2_scale", "rule", "profile")
_PROFILE_KEYS = ("name", "limits", "without")
PROFILES = (*get_args(Profile), *SCALES.values())
_PRIORITIES = ", ".join(Priority)
_SIGNS = (*SIGN_KEYS, *SPECIAL)


PER_SIGN = ("sensor-off", "sign-gone")
"""Sources with one alert for each sign."""


class InvalidRules(PermanentError):
    """A rule file with mistakes; the text has one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def load(path: Path = DEFAULT) -> RuleSet:
    """Read a rule file; raises InvalidRules with every mistake in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRules([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InvalidRules([f"{path} is not a text in UTF-8"]) from None
    return parse(text, _shown(path))


def parse(text: str, where: str) -> RuleSet:
    """The rules in a text; `where` names it in mistakes. Raises InvalidRules."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidRules([f"{where}: not TOML: {error}"]) from None
    return _RuleFileParser(where, Positions(text, content)).read(content)


def _shown(path: Path) -> str:
    """As short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


class _RuleFileParser:
    """One pass over a file: rules on one side, mistakes on the other."""

    def __init__(self, where: str, lines: Positions) -> None:
        self._where = where
        self._mistakes = Diagnostics(where, lines)

    def read(self, content: dict[str, Any]) -> RuleSet:
        self._mistakes.unknown(content, _TOP_KEYS, None)
        stale = self._mistakes.seconds(content, "stale_after_s", None, STALE_AFTER.total_seconds(), least=1.0)
        pause = self._mistakes.seconds(content, "audio_pause_max_s", None, 600.0, least=1.0)
        reminder = self._mistakes.seconds(content, "reminder_s", None, 60.0, least=10.0)
        attention = self._mistakes.seconds(content, "attention_after_s", None, 180.0, least=10.0)
        scale = content.get("spo2_scale", 1)
        if type(scale) is not int or scale not in (1, 2):
            self._mistakes.invalid_value("spo2_scale", scale, "1 or 2", None)
        tables = content.get("rule", [])
        if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
            self._mistakes.add("rule", "no rule; expected at least one [[rule]]")
            tables = []
        rules: list[Rule] = []
        places: dict[str, int] = {}
        for place, table in enumerate(tables):
            self._mistakes.section, self._mistakes.name = place, str(table.get("name", f"number {place + 1}"))
            made = self._read_rule(table)
            for name in [rule.name for rule in made] or [self._mistakes.name]:
                if name in places:
                    first = self._mistakes.lines.of(places[name], "name")
                    self._mistakes.invalid_value("name", name, f"a name of its own; line {first} has it already")
                places.setdefault(name, place)
            rules += made
        for conflict in find_conflicts([rule for rule in rules if rule.levels]):
            self._mistakes.section, self._mistakes.name = places[conflict.rule.name], conflict.rule.name
            self._mistakes.add("above", conflict.text, 0)
        profiles = self._read_profiles(content.get("profile", []), RuleSet(tuple(rules)))
        if self._mistakes:
            raise InvalidRules(self._mistakes.as_lines())
        return RuleSet(tuple(rules), stale, pause, scale, reminder, attention, profiles, self._where)

    def _read_profiles(self, tables: Any, rules: RuleSet) -> tuple[RuleProfile, ...]:
        self._mistakes.section = None
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._mistakes.invalid_value("profile", tables, "tables [[profile]]")
            return ()
        profiles = []
        for place, table in enumerate(tables):
            self._mistakes.section, self._mistakes.name = ("profile", place), str(table.get("name", place + 1))
            self._mistakes.unknown(table, _PROFILE_KEYS, None)
            name = table.get("name")
            if name not in PROFILES:
                self._mistakes.invalid_value(
                    "name", name, f"one of {', '.join(PROFILES)}{did_you_mean(name, PROFILES)}", None
                )
            try:
                profile = msgspec.convert(table, RuleProfile)
            except msgspec.ValidationError as error:
                self._mistakes.add(
                    "limits", f"{error}; limits are a table of rules and limits, without a list of rules"
                )
                continue
            for rule in profile.without:
                if rule not in rules.by_name:
                    known = tuple(rules.by_name)
                    self._mistakes.add("without", f"no rule {rule[:80]!r}{did_you_mean(rule, known)}")
            try:
                apply_profile(replace(rules, profiles=(profile,)), profile.name)
            except RequestRejected as rejected:
                key = next((rule for rule in profile.limits if str(rejected).startswith(rule)), "name")
                self._mistakes.add(key, str(rejected))
            profiles.append(profile)
        return tuple(profiles)

    def _read_rule(self, table: dict[str, Any]) -> list[Rule]:
        self._mistakes.unknown(table, _RULE_KEYS, None)
        name = self._mistakes.text(table, "name")
        if name and not all(part.isalnum() for part in name.replace("_", "-").split("-")):
            self._mistakes.invalid_value(
                "name", name, "letters, digits and dashes between them: it is a level of a topic", None
            )
        text = self._mistakes.text(table, "text")
        latching = table.get("latching", False)
        if not isinstance(latching, bool):
            self._mistakes.invalid_value("latching", latching, "true or false", None)
        sign = table.get("sign")
        if sign not in _SIGNS:
            self._mistakes.invalid_value("sign", sign, f"one of {', '.join(_SIGNS)}{did_you_mean(sign, _SIGNS)}", None)
            self._read_levels(table, "sign")  # for their own mistakes
            return []
        source: Source = "sign" if sign in BY_KEY else sign
        if "of" in table and source not in PER_SIGN:
            self._mistakes.add("of", f"of stands only in a rule on {' or '.join(PER_SIGN)}", None)
        levels, above = self._read_levels(table, source)
        if not name or not text or not levels:
            return []
        if source in PER_SIGN:
            return [
                Rule(f"{name}-{key.replace('_', '-')}", source, key, None, levels, latching, _sensor(text, key))
                for key in self._signs_of(table)
            ]
        rule = Rule(name, source, sign if source == "sign" else None, above, levels, latching, text)
        if above is not None:
            for problem in validate_levels(rule):
                key = "clear" if problem.kind.startswith("clear") else "above" if above else "below"
                self._mistakes.add(key, problem.text, problem.level)
        return [rule]

    def _read_levels(self, table: dict[str, Any], source: Source) -> tuple[tuple[Level, ...], bool | None]:
        """The levels, with what the rule says for all of them; and which side is the bad one."""
        steps = table.get("level")
        if steps is None:
            steps = [{key: table[key] for key in _LEVEL_KEYS if key in table}]
        elif not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
            self._mistakes.invalid_value("level", steps, "tables [[rule.level]]", None)
            return (), None
        else:
            for key in ("above", "below", "clear", "single"):
                if key in table:
                    self._mistakes.add(
                        key, f"{key} stands in the rule and the rule has levels; write it in each level", None
                    )
        shared = {key: table[key] for key in ("priority", *_TIMES) if key in table}
        levels = []
        sides: set[bool] = set()
        for place, step in enumerate(steps):
            self._mistakes.unknown(step, (*_LEVEL_KEYS, "text"), place)
            level, above = self._read_level({**shared, **step}, source, place)
            levels.append(level)
            sides |= set() if above is None else {above}
        if len(sides) > 1:
            self._mistakes.add("above", "some levels have above and some below; expected one side in all of them", None)
        self._in_order(levels, source)
        whole = [level for level in levels if level is not None]
        return tuple(whole) if len(whole) == len(levels) else (), next(iter(sides), None)

    def _read_level(self, step: Mapping[str, Any], source: Source, place: int) -> tuple[Level | None, bool | None]:
        before = len(self._mistakes)
        priority = step.get("priority")
        if priority not in tuple(Priority):
            self._mistakes.invalid_value(
                "priority", priority, f"one of {_PRIORITIES}{did_you_mean(priority, tuple(Priority))}", place
            )
        after, clear_after = (self._mistakes.seconds(step, key, place, 0.0) for key in _TIMES)
        given = [key for key in ("above", "below") if key in step]
        above = None if len(given) != 1 else given[0] == "above"
        limit = clear = 0.0
        single = step.get("single")
        if source in PHYSIOLOGICAL:
            if len(given) != 1:
                found = "both above and below" if given else "no limit"
                self._mistakes.add("above", f"{found}; expected above or below", place)
            else:
                limit = self._mistakes.number(step, given[0], place, 0.0)
                clear = self._mistakes.number(step, "clear", place, limit)
            if source == "news2" and above is False:
                self._mistakes.add("below", "below says nothing of NEWS2, where more is worse; expected above", place)
        else:
            for key in [*given, *(key for key in ("clear",) if key in step)]:
                self._mistakes.add(key, f"{key} has no meaning for {source}; only for_s and clear_for_s have", place)
            above = None
        if single is not None and (source != "news2" or type(single) is not int or not 1 <= single <= 3):
            self._mistakes.invalid_value("single", single, "1, 2 or 3, in a rule on news2", place)
        text = self._mistakes.text(step, "text", place) if "text" in step else None
        if len(self._mistakes) > before:
            return None, above
        return Level(Priority(str(priority)), limit, clear, after, clear_after, single, text), above

    def _in_order(self, levels: list[Level | None], source: Source) -> None:
        for place, (mild, severe) in enumerate(pairwise(levels), 1):
            if mild is None or severe is None:
                continue
            if severe.priority.rank < mild.priority.rank:
                text = f"priority = '{severe.priority}' follows '{mild.priority}'; levels go from mild to severe"
                self._mistakes.add("priority", text, place)
            if source not in PHYSIOLOGICAL and severe.after <= mild.after:
                text = f"for_s = {severe.after.total_seconds():g} follows {mild.after.total_seconds():g}; only time "
                self._mistakes.add("for_s", text + "makes the levels here, so each must be longer", place)

    def _signs_of(self, table: dict[str, Any]) -> list[str]:
        wanted = table.get("of", list(SIGN_KEYS))
        if isinstance(wanted, list) and wanted and all(key in BY_KEY for key in wanted):
            return list(dict.fromkeys(wanted))
        self._mistakes.invalid_value("of", wanted, f"a list of {', '.join(SIGN_KEYS)}", None)
        return []


def _sensor(text: str, key: str) -> str:
    return f"{text}: {BY_KEY[key].label}"
