"""The list of `vitalflow alerts watch`: what it knows, what a key does to it, and how it is drawn. Pure.

`tui` passes messages and keys in and publishes the commands; this module has no socket, no terminal and no clock.
An alert is shown as current only while the worker sends heartbeats; otherwise it is grey, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mqtt.service_status import HEARTBEAT_S, decode_service_status
from vitals import alert_format
from vitals.alert import Alert, Change, State
from vitals.command import PAUSE_S, Action, Command, encode_command
from vitals.open_alerts import OpenAlerts
from vitals.topics import Topics

Key = Literal["up", "down", "quit"] | Action

KEYS: dict[bytes, Key] = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"k": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"j": "down",
    b"a": "acknowledge",
    b"p": "pause_audio",
    b"r": "resume_audio",
    b"q": "quit",
}
HELP = f"up/down select   a acknowledge   p pause audio {PAUSE_S:.0f} s   r resume audio   q quit"
BEATS = timedelta(seconds=2.5 * HEARTBEAT_S)  # without a heartbeat for so long, the worker is not there
ANSWERS = timedelta(seconds=3)  # in which a worker that is there has done or refused what was asked
CONNECTING = "connecting to the broker"
WAITING = "waiting for the alert worker's heartbeat"
WIDE = 100  # columns; with fewer, the table stands closer
_DOING: dict[Action, str] = {
    "acknowledge": "acknowledge",
    "pause_audio": "pause the audio of",
    "resume_audio": "resume the audio of",
}


def keys(typed: bytes) -> tuple[list[Key], bytes]:
    """The keys that were typed, and the beginning of one whose rest has not come yet. Others mean nothing."""
    found: list[Key] = []
    while typed:
        if any(code.startswith(typed) and code != typed for code in KEYS):
            return found, typed
        code = next((code for code in KEYS if typed.startswith(code)), typed[:1])
        if code in KEYS:
            found.append(KEYS[code])
        typed = typed[len(code) :]
    return found, b""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a key asked of the worker, to be published on `topic`."""

    topic: str
    payload: bytes
    what: str
    at: datetime


class AlertTable:
    """One person's list. `ward` None is all wards; `worker` names the worker whose heartbeat is checked."""

    def __init__(
        self, topics: Topics, worker: str, by: str, ward: str | None, now: datetime, *, user: bool = False
    ) -> None:
        self.said = ""  # the answer to the last key
        self.refused = False  # whether that was a refusal
        self._topics = topics
        self._worker = worker
        self._presence = topics.service(worker)
        self._by = by
        self._person = by if user else None
        self._ward = ward
        self._board = OpenAlerts(topics, now)
        self._alerts: list[Alert] = []
        self._selected: UUID | None = None
        self._ever_selected = False
        self._asked: Asked | None = None
        self._connected_at: datetime | None = None
        self._disconnect_reason = ""
        self._beat: datetime | None = None
        self._boot = 0
        self._worker_left = False

    # --- what comes in ---

    def connected(self, now: datetime) -> None:
        """The broker is there."""
        self._connected_at = now
        self._beat, self._worker_left = None, False
        self._board.connected(now)

    def disconnected(self, why: str) -> None:
        """Record that the connection to the broker is lost."""
        self._connected_at = None
        self._disconnect_reason = why

    def take(self, topic: str, payload: bytes, retained: bool, now: datetime) -> Alert | None:
        """Take a message of any kind; the alert where one has changed."""
        if topic == self._presence:
            self._take_presence(payload, retained, now)
        elif topic in (self._topics.rejections(self._worker), self._topics.rejections(self._worker, self._person)):
            self._take_refusal(payload)
        else:
            alert = self._board.update(topic, payload, now)
            if self._asked is not None and alert is not None and topic == self._alert_topic(self._asked.topic):
                self._say(f"{_name(alert)}: {alert_format.state_text(alert, now)}")
                self._asked = None
            return alert
        return None

    def tick(self, now: datetime) -> None:
        """Sort again, and report commands without an answer. Called as time passes."""
        self._alerts = alert_format.sort_alerts(self._board.alerts(now, worker_online=self.worker_there(now)))
        if self._selected is not None and self._place() is None:
            # And none in its place: the next key must not act on an alert that was not selected.
            self._selected = None
            if not self.said:
                self._say("the alert that was selected is over; none is selected")
        if not self._ever_selected and self._alerts:
            self._selected, self._ever_selected = self._alerts[0].alert_id, True
        if self._asked is not None and now - self._asked.at > ANSWERS:
            self._say(f"no answer from the worker: {self._asked.what}", refused=True)
            self._asked = None

    def press(self, key: Key, now: datetime) -> Asked | None:
        """What a key does: move the selection, or ask something of the worker."""
        self._say("")
        match key:
            case "up" | "down":
                self._move(1 if key == "down" else -1)
            case "acknowledge" | "pause_audio" | "resume_audio":
                return self._ask(key, now)
        return None

    def _move(self, by: int) -> None:
        if self._alerts:
            place = self._place()
            moved = 0 if place is None else place + by
            self._selected = self._alerts[min(max(moved, 0), len(self._alerts) - 1)].alert_id

    def _ask(self, action: Action, now: datetime) -> Asked | None:
        alert = self.selected
        if alert is None:
            self._say("select an alert first: up, down", refused=True)
            return None
        if self._connected_at is None:
            # Kept and sent later, it would silence an alert that no person has looked at since.
            self._say("nothing was sent: the broker is unreachable", refused=True)
            return None
        # What changes nothing, the worker does not answer.
        if action == "acknowledge" and alert.state is State.ACKNOWLEDGED and alert.acknowledged_by == self._by:
            self._say(f"{_name(alert)} is acknowledged by you")
            return None
        if action == "resume_audio" and alert.state is State.ACTIVE:
            self._say(f"the audio of {_name(alert)} is not paused")
            return None
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule, self._person)
        payload = encode_command(Command(by=self._by, action=action, seconds=PAUSE_S, time=now))
        self._asked = Asked(topic, payload, f"{_DOING[action]} {_name(alert)}", now)
        self._say(f"asked to {self._asked.what} ...")
        return self._asked

    # --- what it knows ---

    @property
    def selected(self) -> Alert | None:
        """The alert that the next key is about."""
        place = self._place()
        return None if place is None else self._alerts[place]

    def worker_there(self, now: datetime) -> bool:
        """Return whether a heartbeat of the worker is recent. A retained status may precede a crash."""
        return self._connected_at is not None and self._beat is not None and now - self._beat <= BEATS

    def problem(self, now: datetime) -> str:
        """Return what is not working, as a sentence; empty if all works."""
        if self._connected_at is None:
            return f"the broker is unreachable: {self._disconnect_reason}" if self._disconnect_reason else CONNECTING
        if self.worker_there(now):
            return ""
        if self._worker_left or now - self._connected_at > BEATS:
            return "no heartbeat of the alert worker: its beds may not be monitored"
        return WAITING

    def _take_presence(self, payload: bytes, retained: bool, now: datetime) -> None:
        presence = decode_service_status(payload)
        if presence is None or (presence.state == "offline" and presence.boot < self._boot):
            return  # the will of an instance that another one has followed
        self._boot = presence.boot
        self._worker_left = presence.state == "offline"
        if self._worker_left:
            self._beat = None
        elif not retained:
            self._beat = now

    def _take_refusal(self, payload: bytes) -> None:
        try:
            answer = msgspec.json.decode(payload, type=dict[str, str])
            topic, reason = answer["topic"], answer["reason"]
        except (msgspec.MsgspecError, UnicodeDecodeError, LookupError):
            return
        if self._asked is not None and topic == self._asked.topic[:300]:
            self._say(alert_format.sanitize(f"refused: {reason}"), refused=True)
            self._asked = None

    def _alert_topic(self, ack_topic: str) -> str:
        bed, rule, _ = self._topics.parse_alert_command(ack_topic)
        return self._topics.alert(bed.ward, bed.device, rule)

    def _place(self) -> int | None:
        return next((at for at, alert in enumerate(self._alerts) if alert.alert_id == self._selected), None)

    def _say(self, sentence: str, *, refused: bool = False) -> None:
        self.said, self.refused = sentence, refused

    # --- how it looks ---

    def render(self, now: datetime, width: int, height: int) -> RenderableType:
        """The whole screen, not higher than `height`: title, list, the selected alert in full, answer, keys."""
        problem = self.problem(now)
        visible_rows = max(height - 7, 1)
        return Group(
            self._title(problem),
            *self._list(now, problem, visible_rows, width),
            Text(),
            *self._detail(now),
            Text(self.said, "bold red" if self.refused else "bold", no_wrap=True, overflow="ellipsis"),
            Text(HELP, "dim", no_wrap=True, overflow="ellipsis"),
        )

    def _title(self, problem: str) -> Text:
        title = Text("alerts", "bold", no_wrap=True, overflow="ellipsis")
        title.append(f"  {self._ward or 'all wards'}", "")
        for priority, number in alert_format.count_by_priority(self._alerts).items():
            style = alert_format.STALE if problem else f"bold {alert_format.COLOURS[priority]}"
            title.append("  ").append(f"{alert_format.MARKS[priority]} {number} {priority}", style)
        if problem:
            title.append("  ").append(problem.upper(), "bold yellow")
        return title

    def _list(self, now: datetime, problem: str, visible_rows: int, width: int) -> list[RenderableType]:
        if not self._alerts:
            return [
                Text("the open alerts are not known" if problem else "no alert is open", "" if problem else "green")
            ]
        first = self._first_shown(visible_rows)
        doubted = self._board.stale()
        many = self._ward is None and len({alert.ward for alert in self._alerts}) > 1
        shown = self._alerts[first : first + visible_rows]
        rows = []
        for alert in shown:
            stale = bool(problem) or alert.alert_id in doubted
            rows.append(
                (
                    ">" if alert.alert_id == self._selected else "",
                    Text(alert_format.badge(alert.priority, alert.kind), alert_format.badge_style(alert, stale=stale)),
                    Text(alert_format.bed_label(alert, many=many)),
                    Text(alert_format.age(alert, now)),
                    Text(alert_format.state_text(alert, now)),
                    Text(alert_format.message_text(alert)),
                )
            )
        gap = 1 if width < WIDE else 2
        table = Table(box=None, show_header=False, padding=(0, gap, 0, 0), pad_edge=False)
        # Where the terminal is narrow, the words are cut and nothing else: they stand in full below the list.
        widths = [1, 11, _widest(rows, 2, 20), _widest(rows, 3, 6), _widest(rows, 4, 20)]
        widths.append(max(width - sum(widths) - gap * len(widths), 1))
        for column, wide in enumerate(widths):
            justify: Literal["left", "right"] = "right" if column == 3 else "left"
            table.add_column(width=wide, no_wrap=True, overflow="ellipsis", justify=justify)
        for alert, row in zip(shown, rows, strict=True):
            stale = bool(problem) or alert.alert_id in doubted
            chosen = "bold" if alert.alert_id == self._selected else ""
            table.add_row(*row, style=alert_format.STALE if stale else chosen)
        return [table]

    def _first_shown(self, visible_rows: int) -> int:
        """So that the selected one is among those shown, as near to the top of the list as may be."""
        place = self._place() or 0
        return max(0, min(place - visible_rows // 2, len(self._alerts) - visible_rows))

    def _detail(self, now: datetime) -> list[Text]:
        """The selected alert in two lines."""
        alert = self.selected
        if alert is None:
            return [Text(), Text()]
        where = f"{alert.ward} {alert.device_id}, {alert_format.sanitize(alert.patient_id or 'patient unknown')}"
        when = f"since {_clock(alert.since)}, raised {_clock(alert.raised_at)}"
        sentences = (
            f"{where}: {alert.rule}, {when}",
            f"{alert_format.message_text(alert)}; {alert_format.state_text(alert, now)}",
        )
        return [Text(sentence, no_wrap=True, overflow="ellipsis") for sentence in sentences]


def line(alert: Alert) -> str:
    """A change in one line, for where there is no terminal."""
    change = str(alert.change)
    if alert.change is Change.ACKNOWLEDGED:
        change += f" by {alert_format.sanitize(alert.acknowledged_by or '?')}"
    elif alert.change is Change.AUDIO_PAUSED and alert.audio_paused_until is not None:
        change += f" until {_clock(alert.audio_paused_until)}"
    elif alert.change is Change.CLEARED:
        change += f" ({alert_format.sanitize(alert.reason)})" if alert.reason else ""
    badge = f"{alert_format.badge(alert.priority, alert.kind):<11}"
    place = f"{alert.ward} {alert.device_id}  {alert.rule}"
    return f"{_clock(alert.changed_at)}  {badge}  {place} {change}: {alert_format.message_text(alert)}"


def _name(alert: Alert) -> str:
    return f"{alert_format.bed_name(alert.ward, alert.device_id)} {alert.rule}"


def _widest(rows: Sequence[tuple[str | Text, ...]], column: int, most: int) -> int:
    return min(max(len(row[column]) for row in rows), most)


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
