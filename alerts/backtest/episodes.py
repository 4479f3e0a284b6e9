"""Episodes that must not be missed: the time of each value beyond each limit, from the readings alone.

`comparison` compares the alerts with them. An episode begins with a value beyond a limit and ends with the last such
value before BREAK or more in which a value was not, and none was: patients do not recover faster. A reading without a
value of the sign changes nothing, so the time after a value within the limit counts as within it, as in the engine. An
episode is sustained if the value was beyond the limit for SUSTAINED in all.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from vitals.news2 import LastValues
from vitals.reading import Reading, sign_values
from vitals.rules import Rule, RuleSet

SUSTAINED = timedelta(seconds=20)
BREAK = timedelta(seconds=5)
HOLD = timedelta(seconds=1)
"""What a value counts at most where the next one is not beyond the limit: of the time between nothing is known."""

Span = tuple[datetime, datetime]
_Key = tuple[str, int]  # rule and level


@dataclass(slots=True)
class _Episode:
    """An episode that runs: its first value, the newest one, and the time spent beyond the limit."""

    start: datetime
    newest: datetime
    last_beyond: datetime
    is_beyond: bool = True
    total: timedelta = timedelta()

    def take(self, time: datetime, beyond: bool) -> None:
        if self.is_beyond:
            lasted = time - self.newest if beyond else min(time - self.newest, HOLD)
            self.total += lasted
            self.last_beyond = self.newest + lasted
        self.newest, self.is_beyond = time, beyond


class Episodes:
    """The episodes of one bed by the limits of one set of rules."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._held = LastValues(rules.spo2_scale)
        self._running: dict[_Key, _Episode] = {}
        self._sustained: dict[_Key, list[Span]] = {}

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
            if running is not None and not running.is_beyond and time - running.last_beyond >= BREAK:
                self._end(key)
                running = None
            if running is None:
                if level <= depth:
                    self._running[key] = _Episode(time, time, time)
                continue
            running.take(time, level <= depth)

    def _end(self, key: _Key) -> None:
        episode = self._running.pop(key)
        if episode.total >= SUSTAINED:
            self._sustained.setdefault(key, []).append((episode.start, episode.last_beyond))

    def sustained(self) -> dict[_Key, list[Span]]:
        """Return the sustained episodes by rule and level, once all readings are taken."""
        for key in list(self._running):
            self._end(key)
        return self._sustained
