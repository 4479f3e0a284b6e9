"""The list of open alerts, and how an alert is shown. Needs no broker and no clock."""

from datetime import timedelta

import pytest

from tests.support.factories import NOW, make_alert
from vitals import alert_format
from vitals.alert import Alert, Priority, State, encode_alert
from vitals.open_alerts import REPLAY_GRACE, OpenAlerts
from vitals.topics import Topics

TOPICS = Topics()


def topic(alert: Alert) -> str:
    return TOPICS.alert(alert.ward, alert.device_id, alert.rule)


def board(*alerts: Alert) -> OpenAlerts:
    made = OpenAlerts(TOPICS, NOW - timedelta(seconds=60))
    made.connected(NOW)
    for alert in alerts:
        assert made.update(topic(alert), encode_alert(alert), NOW) == alert
    return made


def test_an_alert_is_open_until_it_is_cleared_and_counts_once() -> None:
    alert = make_alert()
    known = board(alert)
    assert known.update(topic(alert), encode_alert(alert), NOW) is None, "a repeated message is no change"
    assert known.alerts(NOW, worker_online=True) == [alert]
    cleared = make_alert(state=State.CLEARED, revision=2)
    assert known.update(topic(alert), encode_alert(cleared), NOW) == cleared
    assert known.alerts(NOW, worker_online=True) == []
    assert known.raised == 1


def test_an_alert_cleared_before_the_start_is_no_event_unless_it_was_raised_since() -> None:
    known = board()
    early, late = make_alert(ago=61, state=State.CLEARED), make_alert(ago=59, state=State.CLEARED)
    assert known.update(topic(early), encode_alert(early), NOW) is None
    assert known.update(topic(late), encode_alert(late), NOW) is None
    assert known.raised == 1


def test_an_emptied_topic_takes_the_alert_away() -> None:
    alert = make_alert()
    known = board(alert)
    known.update(topic(alert), b"", NOW)
    assert known.alerts(NOW, worker_online=True) == []


@pytest.mark.parametrize("payload", [b"rubbish", b"{}", b"\xff"])
def test_an_invalid_alert_changes_nothing(payload: bytes) -> None:
    alert = make_alert()
    known = board(alert)
    assert known.update(topic(alert), payload, NOW) is None
    assert known.update("vitalflow/alerts/too/short", encode_alert(alert), NOW) is None
    assert known.update("vitalflow/alerts/icu-1/icu-1-bed-02/spo2-low", encode_alert(alert), NOW) is None, (
        "another's place"
    )
    assert known.alerts(NOW, worker_online=True) == [alert]


def test_after_a_new_connection_an_alert_is_stale_until_it_is_received() -> None:
    first, second = make_alert(), make_alert(rule="news2")
    known = board(first, second)
    known.connected(NOW)
    assert known.stale() == {first.alert_id, second.alert_id}
    known.update(topic(first), encode_alert(first), NOW)
    assert known.stale() == {second.alert_id}
    assert known.alerts(NOW, worker_online=True) == [first, second]
    later = NOW + REPLAY_GRACE
    assert known.alerts(later, worker_online=False) == [first, second], "a worker that is away clears nothing"
    assert known.alerts(later, worker_online=True) == [first]


def test_the_highest_priority_comes_first_and_then_the_newest() -> None:
    alerts = [
        make_alert(rule="a", priority=Priority.LOW, ago=1),
        make_alert(rule="b", priority=Priority.HIGH, ago=50),
        make_alert(rule="c", priority=Priority.MEDIUM, ago=2),
        make_alert(rule="d", priority=Priority.HIGH, ago=40),
    ]
    assert [alert.rule for alert in alert_format.sort_alerts(alerts)] == ["d", "b", "c", "a"]


def test_each_priority_has_its_mark_its_word_and_its_colour_and_the_equipment_brackets() -> None:
    assert [alert_format.badge(p) for p in Priority] == ["!!! high", "!! medium", "! low"]
    assert alert_format.badge(Priority.MEDIUM, "technical") == "[!!] medium"
    styles = {
        alert_format.badge_style(make_alert(priority=priority, kind=kind, state=state))
        for priority in Priority
        for kind in ("physiological", "technical")
        for state in (State.ACTIVE, State.ACKNOWLEDGED)
    }
    assert len(styles) == 9, "the kind of a silenced alert shows in its mark alone"
    for priority, colour in alert_format.COLOURS.items():
        assert colour in alert_format.badge_style(make_alert(priority=priority))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": State.ACTIVE}, "active"),
        (
            {"state": State.ACTIVE, "attention": "escalated", "active_since": NOW - timedelta(minutes=3)},
            "not answered for 3 min",
        ),
        ({"state": State.ACKNOWLEDGED, "acknowledged_by": "nurse Ada"}, "ack by nurse Ada"),
        ({"state": State.AUDIO_PAUSED, "audio_paused_until": NOW + timedelta(seconds=95)}, "audio paused 95 s"),
        ({"state": State.AUDIO_PAUSED, "audio_paused_until": NOW - timedelta(seconds=1)}, "audio paused 0 s"),
        ({"state": State.LATCHED, "latched": True}, "ended, not acknowledged"),
    ],
)
def test_the_state_names_the_user_and_the_rest_of_a_pause(fields: dict[str, object], said: str) -> None:
    assert alert_format.state_text(make_alert(**fields), NOW) == said  # type: ignore[arg-type]


def test_control_characters_are_removed() -> None:
    alert = make_alert(text="\x1b[2Jgone", state=State.ACKNOWLEDGED, acknowledged_by="\x07Ada\n")
    assert (alert_format.message_text(alert), alert_format.state_text(alert, NOW)) == ("?[2Jgone", "ack by ?Ada?")


def test_units_are_written_out() -> None:
    alert = make_alert(text="Blood pressure low: 88 mm[Hg], limit below 91", unit="mm[Hg]")
    assert alert_format.message_text(alert) == "Blood pressure low: 88 mmHg, limit below 91"
