"""`vitalflow alerts watch` without terminal and broker: its state, its keys and its screen."""

import json
from datetime import datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from alerts.tui_table import ANSWERS, BEATS, CONNECTING, WAITING, AlertTable, keys, line
from mqtt.service_status import ServiceStatus, encode_service_status
from tests.support.factories import NOW, make_alert
from vitals.alert import Alert, Change, Priority, State, encode_alert
from vitals.topics import Topics

TOPICS = Topics()
PRESENCE = "vitalflow/services/alerts"
REFUSALS = "vitalflow/services/alerts/rejections"
LOW = make_alert(device="icu-1-bed-03", rule="sensor-off", priority=Priority.LOW, kind="technical", text="Sensor off")
HIGH = make_alert(device="icu-1-bed-01")


def presence(state: str, boot: int = 5) -> bytes:
    return encode_service_status(ServiceStatus(state=state, boot=boot))  # type: ignore[arg-type]


def receive(seen: AlertTable, *alerts: Alert, now: datetime = NOW) -> None:
    for alert in alerts:
        seen.take(TOPICS.alert(alert.ward, alert.device_id, alert.rule), encode_alert(alert), False, now)
    seen.tick(now)


def watchlist(*alerts: Alert) -> AlertTable:
    """With a broker and a worker."""
    seen = AlertTable(TOPICS, "alerts", "nurse Ada", None, NOW)
    seen.connected(NOW)
    seen.take(PRESENCE, presence("online"), False, NOW)
    receive(seen, *alerts)
    return seen


def drawn(seen: AlertTable, now: datetime = NOW, width: int = 100, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, color_system=None, file=StringIO())
    console.print(seen.render(now, width, height))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().rstrip("\n").splitlines()


@pytest.mark.parametrize(
    ("typed", "found", "rest"),
    [
        (b"jka", ["down", "up", "acknowledge"], b""),
        (b"\x1b[A\x1b[Bp", ["up", "down", "pause_audio"], b""),
        (b"\x1bOA\x1bOB", ["up", "down"], b""),
        (b"r\x1b[", ["resume_audio"], b"\x1b["),
        (b"\x1b[Cq", ["quit"], b""),
        (b"\xff\x00Xz", [], b""),
    ],
)
def test_keys_are_distinguished_even_if_one_arrives_in_pieces(typed: bytes, found: list[str], rest: bytes) -> None:
    assert keys(typed) == (found, rest)


def test_the_highest_comes_first_and_is_selected_at_the_start() -> None:
    seen = watchlist(LOW, HIGH)
    lines = drawn(seen)
    assert lines[0].startswith("alerts  all wards  !!! 1 high  ! 1 low")
    assert lines[1].split()[:3] == [">", "!!!", "high"]
    assert lines[2].split()[:4] == ["[!]", "low", "bed-03", "12"]
    assert seen.selected == HIGH


def test_a_key_publishes_its_command() -> None:
    seen = watchlist(LOW, HIGH)
    assert seen.press("down", NOW) is None
    for key in ("acknowledge", "pause_audio"):
        asked = seen.press(key, NOW)
        assert asked is not None
        assert asked.topic == "vitalflow/alert-commands/icu-1/icu-1-bed-03/sensor-off"
        assert json.loads(asked.payload) == {
            "by": "nurse Ada",
            "action": key,
            "seconds": 120,
            "time": "2026-11-22T10:00:00Z",
        }
    assert "asked to pause the audio of bed-03 sensor-off" in drawn(seen)[-2]


def test_the_answer_is_shown_when_the_alert_has_changed() -> None:
    seen = watchlist(HIGH)
    seen.press("acknowledge", NOW)
    receive(seen, make_alert(device="icu-1-bed-01", revision=2, state=State.ACKNOWLEDGED, acknowledged_by="nurse Ada"))
    assert seen.said == "bed-01 spo2-low: ack by nurse Ada"
    assert seen.press("acknowledge", NOW) is None, "said twice by the same person it would get no answer"
    assert seen.said == "bed-01 spo2-low is acknowledged by you"


def test_a_rejection_of_our_command_is_shown_and_of_others_is_not() -> None:
    seen = watchlist(HIGH)
    asked = seen.press("acknowledge", NOW)
    assert asked is not None
    other = json.dumps({"topic": "vitalflow/alert-commands/icu-1/other/rule", "reason": "not yours"}).encode()
    ours = json.dumps({"topic": asked.topic, "reason": "acknowledged by Dr Grace"}).encode()
    for payload in (other, b"rubbish", b"[]", ours):
        seen.take(REFUSALS, payload, False, NOW)
    assert (seen.said, seen.refused) == ("refused: acknowledged by Dr Grace", True)


def test_a_missing_answer_is_shown() -> None:
    seen = watchlist(HIGH)
    seen.press("acknowledge", NOW)
    seen.tick(NOW + ANSWERS + timedelta(seconds=1))
    assert seen.said == "no answer from the worker: acknowledge bed-01 spo2-low"


def test_the_selection_ends_with_its_alert() -> None:
    seen = watchlist(HIGH, LOW)
    receive(seen, make_alert(device="icu-1-bed-01", revision=2, state=State.CLEARED))
    assert seen.selected is None
    assert seen.press("acknowledge", NOW) is None
    assert "select an alert first" in seen.said
    seen.press("down", NOW)
    assert seen.selected == LOW


def test_a_newer_alert_above_does_not_move_the_selection() -> None:
    seen = watchlist(LOW)
    receive(seen, HIGH)
    assert seen.selected == LOW


def test_nothing_is_published_while_the_broker_is_disconnected() -> None:
    seen = watchlist(HIGH)
    seen.disconnected("connection refused")
    assert seen.press("acknowledge", NOW) is None
    assert seen.said == "nothing was sent: the broker is unreachable"
    assert "THE BROKER IS UNREACHABLE: CONNECTION REFUSED" in drawn(seen)[0]


def test_the_worker_is_running_while_its_heartbeat_arrives() -> None:
    seen = AlertTable(TOPICS, "alerts", "nurse Ada", None, NOW)
    assert seen.problem(NOW) == CONNECTING
    seen.connected(NOW)
    seen.take(PRESENCE, presence("online"), True, NOW)
    assert seen.problem(NOW) == WAITING, "a retained word may be older than the worker's death"
    seen.take(PRESENCE, presence("online"), False, NOW)
    assert seen.problem(NOW + BEATS) == ""
    late = NOW + BEATS + timedelta(seconds=1)
    assert seen.problem(late) == "no heartbeat of the alert worker: its beds may not be monitored"
    seen.take(PRESENCE, presence("online", boot=6), False, late)
    seen.take(PRESENCE, presence("offline", boot=5), False, late)
    assert seen.problem(late) == "", "the will of the one before says nothing of this one"
    seen.take(PRESENCE, presence("offline", boot=6), False, late)
    assert seen.problem(late) != ""


def test_an_empty_list_says_all_clear_only_with_a_worker() -> None:
    seen = watchlist()
    assert drawn(seen)[1] == "no alert is open"
    seen.take(PRESENCE, presence("offline"), False, NOW)
    assert drawn(seen)[1] == "the open alerts are not known"


def test_what_may_be_out_of_date_is_grey() -> None:
    seen = watchlist(HIGH)

    def colours() -> str:
        console = Console(width=100, color_system="standard", force_terminal=True, file=StringIO())
        console.print(seen.render(NOW, 100, 24))
        assert isinstance(console.file, StringIO)
        return next(shown for shown in console.file.getvalue().splitlines() if "!!! high " in shown)

    assert "41m" in colours(), "white on red"
    seen.disconnected("connection refused")
    assert "41m" not in colours()
    assert "90m" in colours()


def test_a_narrow_terminal_cuts_the_words_in_the_list_and_shows_them_below() -> None:
    seen = watchlist(make_alert(text="Oxygen saturation low and many more words: 82 %, limit below 90"))
    lines = drawn(seen, width=60)
    assert lines[1].endswith("…")
    assert "icu-1 icu-1-bed-01, p-0001: spo2-low, since" in lines[3]
    assert lines[4] == "Oxygen saturation low and many more words: 82 %, limit below"[:59] + "…"


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("size", [(80, 24), (100, 40), (140, 50), (40, 9)])
def test_the_list_is_never_higher_or_wider_than_the_terminal(count: int, size: tuple[int, int]) -> None:
    width, height = size
    seen = watchlist(*(make_alert(device=f"icu-{number % 2}-bed-{number}") for number in range(count)))
    for _ in range(30):
        seen.press("down", NOW)
    lines = drawn(seen, width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert count == 0 or any(shown.startswith(">") for shown in lines), "the selected one is always among those shown"


def test_what_looks_like_markup_is_shown_as_it_stands() -> None:
    name = "[/red]Ada"
    seen = watchlist(make_alert(state=State.ACKNOWLEDGED, acknowledged_by=name, text="[/x]", patient_id="[/p]"))
    lines = drawn(seen)
    assert f"ack by {name} [/x]" in " ".join(lines[1].split())
    assert "[/p]: spo2-low" in lines[3]


def test_a_change_is_one_line_where_there_is_no_terminal() -> None:
    acknowledged = make_alert(state=State.ACKNOWLEDGED, change=Change.ACKNOWLEDGED, acknowledged_by="nurse Ada")
    assert line(acknowledged).endswith(
        "  !!! high     icu-1 icu-1-bed-01  spo2-low acknowledged by nurse Ada: "
        "Oxygen saturation low: 82 %, limit below 90"
    )
    cleared = make_alert(state=State.CLEARED, change=Change.CLEARED, reason="the condition is over")
    assert "spo2-low cleared (the condition is over): " in line(cleared)
    until = NOW + timedelta(seconds=120)
    paused = make_alert(state=State.AUDIO_PAUSED, change=Change.AUDIO_PAUSED, audio_paused_until=until)
    assert f"audio_paused until {until.astimezone():%H:%M:%S}: " in line(paused)
