"""One bed played by hand: readings at seconds since a start, and what the engine says to them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.engine.bed import Bed
from alerts.engine.commands import acknowledge, pause_audio
from alerts.engine.recovery import restore
from alerts.engine.timers import apply_status, tick
from alerts.rulefile.parser import parse
from tests.support.rule_text import HIGH
from vitals.alert import Alert, Event, decode_alert, encode_alert
from vitals.reading import Reading, reading
from vitals.rules import RuleSet
from vitals.signs import SIGN_KEYS

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


def rules(text: str = HIGH) -> RuleSet:
    return parse(text, "test.toml")


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def reading_at(second: float, heart_rate: float | None = None, **rest: Any) -> Reading:
    signs: dict[str, float | None] = {key: rest.pop(key) for key in SIGN_KEYS if key in rest}
    # Numbered, as the wire format recommends: the same second has the same number.
    number = {
        "boot": 1,
        "seq": max(1, round(second * 10) + 1),
        **{k: rest.pop(k) for k in ("boot", "seq") if k in rest},
    }
    return reading(at(second), {"heart_rate": heart_rate, **signs}, **number, **rest)


class BedDriver:
    """A bed whose readings arrive when they are measured, unless `arrives` says otherwise."""

    def __init__(self, text: str = HIGH, ward: str = "icu") -> None:
        self.rules = rules(text)
        self.ward = ward
        self.bed = Bed("mon-1", ward, self.rules, START)
        self.events: list[Event] = []

    def read(
        self,
        second: float,
        heart_rate: float | None = None,
        arrives: float | None = None,
        *,
        dup: bool = False,
        **rest: Any,
    ) -> list[str]:
        now = at(second if arrives is None else arrives)
        return self._said(self.bed.evaluate(reading_at(second, heart_rate, **rest), self.ward, now, dup=dup))

    def steady(self, first: int, last: int, heart_rate: float | None = None, **rest: Any) -> list[str]:
        """A reading every second, the last one included; each change with its second."""
        return [
            f"{second}: {said}" for second in range(first, last + 1) for said in self.read(second, heart_rate, **rest)
        ]

    def tick(self, second: float) -> list[str]:
        return self._said(tick(self.bed, at(second)))

    def status(self, second: float, *, online: bool, boot: int = 1, interval_s: float = 1) -> list[str]:
        return self._said(apply_status(self.bed, online=online, boot=boot, interval_s=interval_s, now=at(second)))

    def acknowledge(self, second: float, rule: str = "hr", by: str = "Nurse Joy") -> list[str]:
        return self._said(acknowledge(self.bed, rule, by, at(second)))

    def pause(self, second: float, seconds: float, rule: str = "hr") -> list[str]:
        return self._said(pause_audio(self.bed, rule, "Nurse Joy", seconds, at(second)))

    def restart(self, second: float) -> None:
        """Forget everything but what was retained, as it was on the wire."""
        kept = retained(self.events)
        beds, said = restore(self.rules, [decode_alert(encode_alert(alert)) for alert in kept], at(second))
        assert not said
        self.bed = beds.get("mon-1") or Bed("mon-1", self.ward, self.rules, at(second))

    @property
    def alert(self) -> Alert:
        (alert,) = self.bed.alerts.values()
        return alert

    @property
    def state(self) -> str:
        return str(self.alert.state)

    @property
    def priority(self) -> str:
        return str(self.alert.priority)

    def _said(self, events: Sequence[Event]) -> list[str]:
        """Return the changes but new worst values, which sound no differently."""
        self.events += events
        return [f"{event.alert.rule} {event.alert.change}" for event in events if event.alert.change != "worsened"]


def retained(events: Sequence[Event]) -> list[Alert]:
    """What a broker still holds after these were published."""
    topics: dict[tuple[str, str], Alert] = {}
    for event in events:
        if event.old_ward is not None:
            topics.pop((event.old_ward, event.alert.rule), None)
        topics[event.alert.ward, event.alert.rule] = event.alert
    return list(topics.values())
