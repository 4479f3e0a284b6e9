"""Create and change alerts: raise, escalate, de-escalate, latch, return, clear, remind. Pure; `Bed` decides when."""

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
    """The fields of a bed that an alert contains."""

    device: str
    ward: str
    patient_id: str | None
    last: datetime | None
    last_live_at: datetime


def raised(
    bed: Device, rule: Rule, level: int, since: datetime, at: datetime, value: float | None, score: Score | None
) -> Alert:
    """Return a new alert. Its id is derived from device, rule and time, so a redelivered reading makes the same one."""
    sign = rule.quantity
    # Silence begins with the last reading, so it has the same id after a restart.
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
        first_value=value,
        first_value_at=None if value is None else at,
        worst_value=value,
        worst_value_at=None if value is None else at,
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
    """Return the alert at another level of its rule; at level 0 the condition has ended.

    At a worse level it sounds again, even if it was acknowledged or paused. At a milder one it keeps that.
    """
    rest: dict[str, Any] = {"reading_at": reading_at}
    if level == 0:
        if rule.latching and alert.state is not State.ACKNOWLEDGED:
            return changed(alert, Change.LATCHED, at, level=0, state=State.LATCHED, latched=True, **_quiet, **rest)
        return changed(
            alert, Change.CLEARED, at, level=0, state=State.CLEARED, reason=CONDITION_ENDED, **_quiet, **rest
        )
    rest |= _at_level(rule, level, value, score) | _worst(alert, rule, value, at)
    if alert.state is State.LATCHED:
        return changed(alert, Change.RETURNED, at, state=State.ACTIVE, latched=False, **sounding(at), **rest)
    if level < alert.level:
        return changed(alert, Change.DEESCALATED, at, **rest)
    rest |= sounding(at) | _quiet
    return changed(alert, Change.ESCALATED, at, state=State.ACTIVE, acknowledged_by=None, acknowledged_at=None, **rest)


def worsened(alert: Alert, rule: Rule, at: datetime, reading_at: datetime | None, value: float | None) -> Alert | None:
    """Return the alert with a new worst value; None if the value is no worse or the condition has ended.

    It sounds no differently. It is published so that the worst value survives a restart.
    """
    worst = _worst(alert, rule, value, at) if alert.level else {}
    return changed(alert, Change.WORSENED, at, reading_at=reading_at, **worst) if worst else None


def _worst(alert: Alert, rule: Rule, value: float | None, at: datetime) -> dict[str, Any]:
    """Return the fields of the worst value after `value`; nothing if that is no worse."""
    # An alert that a worker before 0.2 raised has only `value`.
    worst, worst_at = alert.worst_value, alert.worst_value_at
    if worst is None:
        worst, worst_at = alert.value, alert.changed_at
    if value is None or rule.above is None:
        return {}
    if worst is None or (value > worst if rule.above else value < worst):
        return {"worst_value": value, "worst_value_at": at}
    return {} if alert.worst_value is not None else {"worst_value": worst, "worst_value_at": worst_at}


_quiet: dict[str, Any] = {"audio_paused_until": None}


def sounding(at: datetime) -> dict[str, Any]:
    """Return the fields of an alert that begins to sound and is unanswered."""
    return {"active_since": at, "reminders": 0, "attention": "normal"}


def resumed(alert: Alert, now: datetime) -> Alert:
    """Return the alert after its audio pause."""
    return changed(alert, Change.AUDIO_RESUMED, now, state=State.ACTIVE, audio_paused_until=None, **sounding(now))


def next_change(alert: Alert, rules: RuleSet) -> datetime | None:
    """Return when the alert changes by itself: its audio pause ends, or it is unanswered and a reminder is due."""
    if alert.audio_paused_until is not None:
        return alert.audio_paused_until
    if alert.state is not State.ACTIVE or alert.priority is not Priority.HIGH or alert.active_since is None:
        return None
    try:
        return alert.active_since + (alert.reminders + 1) * rules.reminder
    except OverflowError:
        return None  # of a retained alert with an absurd time or number


def reminded(alert: Alert, rules: RuleSet, now: datetime) -> Alert:
    """Return the reminder of an unanswered high alert at `now`, when one is due.

    After `attention_after` its attention is escalated. Its priority stays, because it states the urgency of the
    condition (IEC 60601-1-8 defines the reminder signal; an escalation in its sense is a worse condition).
    """
    since = alert.active_since or now
    attention = "escalated" if now - since >= rules.attention_after else "normal"
    return changed(alert, Change.REMINDED, now, reminders=(now - since) // rules.reminder, attention=attention)


def changed(alert: Alert, change: Change, at: datetime, *, reading_at: datetime | None = None, **fields: Any) -> Alert:
    """Return the alert after a change: the next revision, and a time that is not earlier."""
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
    """Return one line for a user: the text of the rule or level, the value and its limit.

    A value within the limit is left out: while an alert de-escalates it explains no alarm.
    """
    if rule.source == "clock" and value is not None:
        return f"{rule.text}: {format_duration(abs(value))} {'behind' if value > 0 else 'ahead'}"
    words = step.text or rule.text
    if value is None or limit is None:
        return words
    word = "above" if rule.above else "below"
    single = step.single is not None and score is not None and score.worst >= step.single
    if not single and not (value > limit if rule.above else value < limit):
        return f"{words}, limit {word} {limit:g}" if rule.quantity else words
    if rule.quantity:
        return f"{words}: {round(value, 1):g} {rule.quantity.unit}, limit {word} {limit:g}"
    parts = ", ".join(f"{_spoken(key)} {points}" for key, points in (score.parts if score else {}).items() if points)
    at_least = "at least " if score and score.missing else ""
    return f"{words}: {at_least}{value:g}" + (f" ({parts})" if parts else "")


def _spoken(part: str) -> str:
    """Return the short name of an input of NEWS2."""
    return BY_KEY[part].short if part in BY_KEY else part.removeprefix("on_")
