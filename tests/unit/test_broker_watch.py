"""The broker's own number of dropped messages as an alarm."""

from datetime import UTC, datetime, timedelta

from alerts.engine.broker_drop_alert import CLEAR_AFTER, DROPPED, QUEUED, RULE, BrokerDropAlert
from alerts.engine.commands import acknowledge
from vitals.alert import State

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_rise_raises_an_alert_until_it_is_acknowledged() -> None:
    watch = BrokerDropAlert(NOW)
    assert not watch.take(DROPPED, b"500", NOW), "what it dropped before we came is not news"
    assert not watch.take(DROPPED, b"500", NOW)
    raised = watch.take(DROPPED, b"512", NOW)[0].alert
    assert (raised.state, raised.priority, raised.kind, raised.value) == ("active", "high", "technical", 12)
    assert not watch.take(DROPPED, b"600", NOW), "it sounds already"
    assert not watch.tick(NOW + CLEAR_AFTER - timedelta(seconds=1))
    assert watch.tick(NOW + CLEAR_AFTER)[0].alert.state is State.LATCHED
    ended = acknowledge(watch.bed, RULE.name, "Ada", NOW + CLEAR_AFTER)[0].alert
    assert (ended.state, ended.acknowledged_by, ended.alert_id) == ("cleared", "Ada", raised.alert_id)


def test_it_sounds_again_where_it_goes_on_after_it_was_seen() -> None:
    watch = BrokerDropAlert(NOW)
    watch.take(DROPPED, b"0", NOW)
    watch.take(DROPPED, b"1", NOW)
    acknowledge(watch.bed, RULE.name, "Ada", NOW)
    again = watch.take(DROPPED, b"2", NOW)[0].alert
    assert (again.state, again.acknowledged_by) == ("active", None)


def test_an_alert_that_sounds_again_is_unanswered_since_then() -> None:
    watch = BrokerDropAlert(NOW)
    watch.take(DROPPED, b"0", NOW)
    watch.take(DROPPED, b"1", NOW)
    acknowledge(watch.bed, RULE.name, "Ada", NOW)
    later = NOW + timedelta(minutes=10)
    again = watch.take(DROPPED, b"2", later)[0].alert
    assert (again.active_since, again.reminders, again.attention) == (later, 0, "normal")
    assert not watch.tick(later + timedelta(seconds=1)), "no reminder is due"


def test_a_counter_reset_of_the_broker_raises_no_alert() -> None:
    watch = BrokerDropAlert(NOW)
    watch.take(DROPPED, b"500", NOW)
    assert not watch.take(DROPPED, b"0", NOW)
    assert watch.take(DROPPED, b"3", NOW)


def test_invalid_values_raise_no_alert() -> None:
    watch = BrokerDropAlert(NOW)
    assert not watch.take(DROPPED, b"many", NOW)
    assert not watch.take(QUEUED, b"70000", NOW)
    assert watch.queued == 70000


def test_a_restart_goes_on_with_the_alert() -> None:
    watch = BrokerDropAlert(NOW)
    watch.take(DROPPED, b"0", NOW)
    raised = watch.take(DROPPED, b"1", NOW)[0].alert
    later = BrokerDropAlert(NOW)
    later.restore(raised, NOW)
    assert later.tick(NOW + CLEAR_AFTER)[0].alert.alert_id == raised.alert_id
