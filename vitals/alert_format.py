"""Texts, styles and order of alerts, the same on every screen. Pure; styles are names of the library `rich`.

High is red and `!!!`, medium yellow and `!!`, low cyan and `!`, always with the word, never by colour alone. A
technical alert has its mark in brackets and no background; an alert that was silenced has no background.
"""

from collections.abc import Iterable
from datetime import datetime

from vitals.alert import Alert, Kind, Priority, State

MARKS = {Priority.HIGH: "!!!", Priority.MEDIUM: "!!", Priority.LOW: "!"}
COLOURS = {Priority.HIGH: "red", Priority.MEDIUM: "yellow", Priority.LOW: "cyan"}
FILLED = {Priority.HIGH: "bold white on red", Priority.MEDIUM: "black on yellow", Priority.LOW: "black on cyan"}
STALE = "bright_black"  # possibly out of date
# UCUM code -> the form that clinicians use
DISPLAY_UNITS = {"Cel": "°C", "mm[Hg]": "mmHg"}


def badge(priority: Priority, kind: Kind = "physiological") -> str:
    """Return mark and word, such as `!!! high`, or `[!!] medium` for a technical alert."""
    mark = MARKS[priority]
    return f"[{mark}] {priority}" if kind == "technical" else f"{mark} {priority}"


def badge_style(alert: Alert, *, stale: bool = False) -> str:
    """Return the style of the badge."""
    if stale:
        return STALE
    sounds = alert.state is State.ACTIVE
    if alert.kind == "physiological" and sounds:
        return FILLED[alert.priority]
    return f"bold {COLOURS[alert.priority]}" if sounds else COLOURS[alert.priority]


def bed_name(ward: str, device: str) -> str:
    """Return the device name without the ward name in front."""
    return device.removeprefix(f"{ward}-")


def bed_label(alert: Alert, *, many: bool) -> str:
    """Return the bed name, with the ward in front if `many` wards are on the screen."""
    bed = bed_name(alert.ward, alert.device_id)
    return f"{alert.ward} {bed}" if many else bed


def message_text(alert: Alert) -> str:
    """Return the alert's text with units as clinicians write them."""
    unit = alert.unit or ""
    return sanitize(alert.text.replace(unit, DISPLAY_UNITS.get(unit, unit)) if unit else alert.text)


def sanitize(text: str) -> str:
    """Replace unprintable characters, which a terminal might execute: any client of the broker may write an alert."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def state_text(alert: Alert, now: datetime) -> str:
    """Return the state as text: who acknowledged it, how long its audio is paused, or whether it is latched."""
    match alert.state:
        case State.ACKNOWLEDGED:
            return f"ack by {sanitize(alert.acknowledged_by or '?')}"
        case State.AUDIO_PAUSED:
            left = 0.0 if alert.audio_paused_until is None else (alert.audio_paused_until - now).total_seconds()
            return f"audio paused {format_duration(left)}"
        case State.LATCHED:
            return "ended, not acknowledged"
        case _ if is_unanswered(alert) and alert.active_since is not None:
            return f"not answered for {format_duration((now - alert.active_since).total_seconds())}"
        case _:
            return str(alert.state)


def is_unanswered(alert: Alert) -> bool:
    """Return whether it sounds and has been unanswered for so long that its attention is `escalated`."""
    return alert.state is State.ACTIVE and alert.attention == "escalated"


def age(alert: Alert, now: datetime) -> str:
    """Return how long ago it was raised."""
    return format_duration((now - alert.raised_at).total_seconds())


def sort_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """Sort by priority (highest first), then time of raising (newest first), then ward, device and rule."""
    named = sorted(alerts, key=lambda alert: (alert.ward, alert.device_id, alert.rule))
    return sorted(named, key=lambda alert: (-alert.priority.rank, -alert.raised_at.timestamp()))


def count_by_priority(alerts: Iterable[Alert]) -> dict[Priority, int]:
    """Count alerts per priority, highest first; priorities without alerts are left out."""
    priorities = [alert.priority for alert in alerts]
    return {priority: priorities.count(priority) for priority in Priority if priority in priorities}


def format_duration(seconds: float) -> str:
    """Format a duration: 4 s, 3 min, 2.5 h, 4 d."""
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"
