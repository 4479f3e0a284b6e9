"""What must not be missed: how long each value lay beyond each limit, found in the readings alone, without the engine.

`comparison` compares the alerts with it. An episode begins with a value beyond a limit and ends with the last one
before a value that is not; a reading without a value of the sign says nothing either way, as it does for an alert.
"""

from datetime import datetime, timedelta

from vitals.news2 import LastValues
from vitals.reading import Reading, sign_values
from vitals.rules import Rule, RuleSet

SUSTAINED = timedelta(seconds=20)

Span = tuple[datetime, datetime]
_Key = tuple[str, int]  # rule and level


class Episodes:
    """The episodes of one bed by the limits of one set of rules."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._held = LastValues(rules.spo2_scale)
        self._running: dict[_Key, Span] = {}
        self._over: dict[_Key, list[Span]] = {}

    def take(self, reading: Reading) -> None:
        """Look at one reading."""
        values = sign_values(reading)
        for watch in self._rules.sign_rules:
            value = values[watch.position]
            if value is not None:
                for rule in watch.rules:
                    self._note(rule, rule.levels_exceeded(value), reading.time)
        if self._rules.scored:
            total, worst = self._held.update(reading, values, reading.time)
            for rule in self._rules.scored:
                beyond = [
                    place
                    for place, level in enumerate(rule.levels, 1)
                    if total > level.limit or (level.single and worst >= level.single)
                ]
                self._note(rule, max(beyond, default=0), reading.time)

    def _note(self, rule: Rule, depth: int, time: datetime) -> None:
        for level in range(1, len(rule.levels) + 1):
            key = (rule.name, level)
            running = self._running.get(key)
            if level <= depth:
                self._running[key] = (running[0] if running else time, time)
            elif running:
                self._over.setdefault(key, []).append(self._running.pop(key))

    def sustained(self) -> dict[_Key, list[Span]]:
        """By rule and level, the episodes of 20 s or longer; one that still runs counts as it is."""
        found: dict[_Key, list[Span]] = {}
        for key, spans in self._over.items():
            found[key] = [*spans]
        for key, span in self._running.items():
            found.setdefault(key, []).append(span)
        long = {key: [span for span in spans if span[1] - span[0] >= SUSTAINED] for key, spans in found.items()}
        return {key: spans for key, spans in long.items() if spans}
