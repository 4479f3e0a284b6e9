"""Apply a user's command to an alert: acknowledge it, pause or resume its audio. Pure.

`vitals.command` decodes the commands. The worker publishes the events, and a rejection on the topic of the service.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.engine.bed import NOTHING, Bed
from alerts.engine.transitions import changed, resumed
from vitals.alert import Alert, Change, Event, State
from vitals.command import Command
from vitals.limits import RequestRejected

ACKNOWLEDGED_GONE = "acknowledged after the condition was over"


def carry_out(bed: Bed, rule: str, command: Command, now: datetime) -> Sequence[Event]:
    """Apply the command to the bed's alert of that rule; raises RequestRejected."""
    match command.action:
        case "acknowledge":
            return acknowledge(bed, rule, command.by, now)
        case "pause_audio":
            return pause_audio(bed, rule, command.by, command.seconds, now)
        case "resume_audio":
            return resume_audio(bed, rule, command.by, now)


def acknowledge(bed: Bed, rule: str, by: str, now: datetime) -> Sequence[Event]:
    """Acknowledge an alert: it is silent until it escalates. A latched alert is cleared.

    A second acknowledgement by the same user changes nothing: a command may be redelivered.
    """
    alert = _open(bed, rule)
    if alert.state is State.ACKNOWLEDGED:
        if alert.acknowledged_by == by:
            return NOTHING
        raise RequestRejected(f"this alert is already acknowledged by {alert.acknowledged_by}")
    if alert.state is State.LATCHED:
        bed.alerts.pop(rule)
        ended = changed(
            alert,
            Change.CLEARED,
            now,
            state=State.CLEARED,
            latched=False,
            acknowledged_by=by,
            acknowledged_at=now,
            reason=ACKNOWLEDGED_GONE,
        )
        return [Event(ended)]
    return _kept(
        bed,
        changed(
            alert,
            Change.ACKNOWLEDGED,
            now,
            state=State.ACKNOWLEDGED,
            acknowledged_by=by,
            acknowledged_at=now,
            audio_paused_until=None,
        ),
    )


def pause_audio(bed: Bed, rule: str, by: str, seconds: float, now: datetime) -> Sequence[Event]:
    """Pause the audio of an alert for a time; a new alert of the bed, or a worse level of this one, sounds."""
    alert = _open(bed, rule)
    longest = bed.rules.longest_audio_pause.total_seconds()
    if not 0 < seconds <= longest:
        raise RequestRejected(
            f"audio cannot be paused for {seconds:g} s; allowed are more than 0 and at most {longest:g} s"
        )
    if alert.state is State.ACKNOWLEDGED:
        raise RequestRejected("this alert is acknowledged and already silent")
    if alert.state is State.LATCHED:
        raise RequestRejected("the condition of this alert has ended; acknowledge it to end it")
    until = now + timedelta(seconds=seconds)
    if alert.audio_paused_until is not None and until <= alert.audio_paused_until:
        return NOTHING
    return _kept(bed, changed(alert, Change.AUDIO_PAUSED, now, state=State.AUDIO_PAUSED, audio_paused_until=until))


def resume_audio(bed: Bed, rule: str, by: str, now: datetime) -> Sequence[Event]:
    """End an audio pause early; an active alert is not changed."""
    alert = _open(bed, rule)
    if alert.state is State.ACTIVE:
        return NOTHING
    if alert.state is not State.AUDIO_PAUSED:
        raise RequestRejected("the audio of this alert is not paused")
    return _kept(bed, resumed(alert, now))


def _open(bed: Bed, rule: str) -> Alert:
    alert = bed.alerts.get(rule)
    if alert is None:
        there = "; ".join(sorted(known.text for known in bed.alerts.values())) or "none"
        raise RequestRejected(f"this alert is not open; open at {bed.device}: {there}")
    return alert


def _kept(bed: Bed, alert: Alert) -> Sequence[Event]:
    bed.alerts[alert.rule] = alert
    return [Event(alert)]
