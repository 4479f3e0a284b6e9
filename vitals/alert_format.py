"""How an alert looks and in which order alerts stand: the same on every screen. Pure; styles are words that rich knows.

High is red and `!!!`, medium yellow and `!!`, low cyan and `!`, always with the word: nothing is told by colour alone.
An alert about the equipment has its mark in brackets and no filled ground; what a person has silenced is not filled.
"""

from collections.abc import Iterable
from datetime import datetime

from vitals.alert import Alert, Kind, Priority, State

MARKS = {Priority.HIGH: "!!!", Priority.MEDIUM: "!!", Priority.LOW: "!"}
COLOURS = {Priority.HIGH: "red", Priority.MEDIUM: "yellow", Priority.LOW: "cyan"}
FILLED = {Priority.HIGH: "bold white on red", Priority.MEDIUM: "black on yellow", Priority.LOW: "black on cyan"}
STALE = "bright_black"  # what may not be true any more
# UCUM is for machines; a ward says it like this.
DISPLAY_UNITS = {"Cel": "°C", "mm[Hg]": "mmHg"}


def badge(priority: Priority, kind: Kind = "physiological") -> str:
    """Mark and word, as `!!! high` or, for the equipment, `[!!] medium`."""
    mark = MARKS[priority]
    return f"[{mark}] {priority}" if kind == "technical" else f"{mark} {priority}"


def badge_style(alert: Alert, *, stale: bool = False) -> str:
    """The colours of its badge."""
    if stale:
        return STALE
    sounds = alert.state is State.ACTIVE
    if alert.kind == "physiological" and sounds:
        return FILLED[alert.priority]
    return f"bold {COLOURS[alert.priority]}" if sounds else COLOURS[alert.priority]


def bed_name(ward: str, device: str) -> str:
    """The device without its ward, where its name begins with that."""
    return device.removeprefix(f"{ward}-")


def bed_label(alert: Alert, *, many: bool) -> str:
    """Where it is: the bed, and with `many` wards on the screen its ward too."""
    bed = bed_name(alert.ward, alert.device_id)
    return f"{alert.ward} {bed}" if many else bed


def message_text(alert: Alert) -> str:
    """What it is about, with value and limit, in a line."""
    unit = alert.unit or ""
    return sanitize(alert.text.replace(unit, DISPLAY_UNITS.get(unit, unit)) if unit else alert.text)


def sanitize(text: str) -> str:
    """Without what a terminal would carry out: anybody at the broker can write an alert."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def state_text(alert: Alert, now: datetime) -> str:
    """Whether it sounds, or who silenced it and for how long, or that it only waits to be acknowledged."""
    match alert.state:
        case State.ACKNOWLEDGED:
            return f"ack by {sanitize(alert.acknowledged_by or '?')}"
        case State.AUDIO_PAUSED:
            left = 0.0 if alert.audio_paused_until is None else (alert.audio_paused_until - now).total_seconds()
            return f"audio paused {format_duration(left)}"
        case State.LATCHED:
            return "over, not seen"
        case _:
            return str(alert.state)


def age(alert: Alert, now: datetime) -> str:
    """How long ago it was raised."""
    return format_duration((now - alert.raised_at).total_seconds())


def sort_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """The highest priority first; of one priority the newest, and of one moment by bed and rule."""
    named = sorted(alerts, key=lambda alert: (alert.ward, alert.device_id, alert.rule))
    return sorted(named, key=lambda alert: (-alert.priority.rank, -alert.raised_at.timestamp()))


def count_by_priority(alerts: Iterable[Alert]) -> dict[Priority, int]:
    """How many there are of each priority, the highest first; priorities of none are left out."""
    found = [alert.priority for alert in alerts]
    return {priority: found.count(priority) for priority in Priority if priority in found}


def counts_text(alerts: Iterable[Alert]) -> str:
    """The same in words: `!!! 2 high  ! 1 low`."""
    parts = [f"{MARKS[priority]} {number} {priority}" for priority, number in count_by_priority(alerts).items()]
    return "  ".join(parts) or "none"


def format_duration(seconds: float) -> str:
    """A duration for people: 4 s, 3 min, 2.5 h, 4 d."""
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"
