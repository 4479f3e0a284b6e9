"""An alert's next value: raised, escalated, de-escalated, latched, returned, cleared. Pure; `bed` decides when."""

from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from vitals.alert import Alert, Change, Priority, State, alert_id
from vitals.alert_format import format_duration
from vitals.news2 import Score
from vitals.rules import Level, Rule, RuleSet
from vitals.signs import BY_KEY

CONDITION_ENDED = "the condition is over"


class Device(Protocol):
    """What an alert says of where it comes from."""

    device: str
    ward: str
    patient_id: str | None
    last: datetime | None
    last_live_at: datetime


def raised(
    bed: Device, rule: Rule, level: int, since: datetime, at: datetime, value: float | None, score: Score | None
) -> Alert:
    """A new alert. Its id follows from the device, the rule and the moment, so it is the same when made twice."""
    sign = rule.quantity
    # Silence begins with the last reading, by which the same silence is known after a restart too.
    named_after = since if rule.source in ("no-data", "offline", "ingest") else at
    return Alert(
        alert_id=alert_id(bed.device, rule.name, named_after),
        revision=1,
        rule=rule.name,
        kind=rule.kind,
        state=State.ACTIVE,
        change=Change.RAISED,
        ward=bed.ward,
        device_id=bed.device,
        patient_id=bed.patient_id,
        sign=rule.sign,
        since=since,
        raised_at=at,
        changed_at=at,
        reading_at=bed.last,
        loinc=sign.loinc if sign else (),
        mdc=sign.mdc if sign else None,
        unit=sign.unit if sign else None,
        active_since=max(at, bed.last_live_at),  # a cuff value may come later than others that are newer
        **_at_level(rule, level, value, score),
    )


def transition(
    alert: Alert,
    rule: Rule,
    level: int,
    at: datetime,
    reading_at: datetime | None,
    value: float | None,
    score: Score | None,
) -> Alert:
    """The alert at another level of its rule; at level 0 the condition is over.

    Worse than before it sounds again, whoever had acknowledged or silenced it. Milder, it keeps what a person did.
    """
    rest: dict[str, Any] = {"reading_at": reading_at}
    if level == 0:
        if rule.latching and alert.state is not State.ACKNOWLEDGED:
            return changed(alert, Change.LATCHED, at, level=0, state=State.LATCHED, latched=True, **_quiet, **rest)
        return changed(
            alert, Change.CLEARED, at, level=0, state=State.CLEARED, reason=CONDITION_ENDED, **_quiet, **rest
        )
    rest |= _at_level(rule, level, value, score)
    if alert.state is State.LATCHED:
        return changed(alert, Change.RETURNED, at, state=State.ACTIVE, latched=False, **sounding(at), **rest)
    if level < alert.level:
        return changed(alert, Change.DEESCALATED, at, **rest)
    rest |= sounding(at) | _quiet
    return changed(alert, Change.ESCALATED, at, state=State.ACTIVE, acknowledged_by=None, **rest)


_quiet: dict[str, Any] = {"audio_paused_until": None}


def sounding(at: datetime) -> dict[str, Any]:
    """The fields of an alert that begins to sound: nobody has answered yet."""
    return {"active_since": at, "reminders": 0, "attention": "normal"}


def resumed(alert: Alert, now: datetime) -> Alert:
    """The alert when its audio pause has ended."""
    return changed(alert, Change.AUDIO_RESUMED, now, state=State.ACTIVE, audio_paused_until=None, **sounding(now))


def reminded(alert: Alert, rules: RuleSet, now: datetime) -> Alert | None:
    """A high alert that nobody has answered, repeated; None while no reminder is due.

    After `attention_after` it says so too. The priority stays: it is how urgent the patient is, not how long nobody
    came (IEC 60601-1-8 has the reminder signal; an escalation in its sense is a worse condition).
    """
    since = alert.active_since
    if alert.state is not State.ACTIVE or alert.priority is not Priority.HIGH or since is None:
        return None
    number = int((now - since) / rules.reminder)
    if number <= alert.reminders:
        return None
    attention = "escalated" if now - since >= rules.attention_after else "normal"
    return changed(alert, Change.REMINDED, now, reminders=number, attention=attention)


def changed(alert: Alert, change: Change, at: datetime, *, reading_at: datetime | None = None, **fields: Any) -> Alert:
    """The alert after a change: one revision on, and never back in time."""
    return replace(
        alert,
        change=change,
        revision=alert.revision + 1,
        changed_at=max(at, alert.changed_at),
        reading_at=reading_at or alert.reading_at,
        **fields,
    )


def _at_level(rule: Rule, level: int, value: float | None, score: Score | None) -> dict[str, Any]:
    step = rule.levels[level - 1]
    limit = None if rule.above is None else step.limit
    return {
        "level": level,
        "priority": step.priority,
        "value": value,
        "limit": limit,
        "parts": score.parts if score else None,
        "text": _text(rule, step, value, limit, score),
    }


def _text(rule: Rule, step: Level, value: float | None, limit: float | None, score: Score | None) -> str:
    """One line for a person: the rule's words, the value and the limit it passed."""
    if rule.source == "clock" and value is not None:
        return f"{rule.text}: {format_duration(abs(value))} {'behind' if value > 0 else 'ahead'}"
    words = step.text or rule.text
    if value is None or limit is None:
        return words
    word = "above" if rule.above else "below"
    if rule.quantity:
        return f"{words}: {round(value, 1):g} {rule.quantity.unit}, limit {word} {limit:g}"
    parts = ", ".join(f"{_spoken(key)} {points}" for key, points in (score.parts if score else {}).items() if points)
    at_least = "at least " if score and score.missing else ""
    return f"{words}: {at_least}{value:g}" + (f" ({parts})" if parts else "")


def _spoken(part: str) -> str:
    """An input of NEWS2 as people at a bed say it."""
    return BY_KEY[part].short if part in BY_KEY else part.removeprefix("on_")
