"""When a standby takes over, and when a process takes itself for stopped."""

import logging

import pytest

from mqtt.endpoint import BrokerEndpoint
from mqtt.instance import Instance
from mqtt.service_status import ServiceStatus
from mqtt.standby import NO_STATUS_S, SILENCE_S, ActiveRole, ActiveWatch
from mqtt.standstill import MAX_STANDSTILL_S, Standstill
from vitals.errors import PermanentError
from vitals.topics import Topics

ONLINE, OFFLINE = ServiceStatus(state="online", boot=2), ServiceStatus(state="offline", boot=2)


def test_a_service_without_any_status_is_gone_after_a_pause() -> None:
    watch = ActiveWatch(100.0, 0.5)
    assert not watch.is_gone(100.0 + NO_STATUS_S)
    assert watch.is_gone(100.0 + NO_STATUS_S + 0.5)


def test_a_heartbeat_counts_until_two_are_missing() -> None:
    watch = ActiveWatch(100.0, 0.5)
    for second in (100.0, 102.0, 104.0):
        watch.take(ONLINE, second)
    assert not watch.is_gone(104.0 + SILENCE_S)
    assert watch.is_gone(104.0 + SILENCE_S + 0.5)


def test_offline_is_gone_after_the_settling_time_and_a_repeated_one_does_not_extend_it() -> None:
    watch = ActiveWatch(100.0, 0.5)
    watch.take(ONLINE, 100.0)
    watch.take(OFFLINE, 101.0)
    watch.take(OFFLINE, 101.4)
    assert not watch.is_gone(101.4)
    assert watch.is_gone(101.5)


def test_another_standby_that_was_first_is_the_active_one() -> None:
    watch = ActiveWatch(100.0, 0.5)
    watch.take(OFFLINE, 100.0)
    watch.take(ServiceStatus(state="online", boot=3), 100.3)
    assert not watch.is_gone(101.0)
    watch.take(OFFLINE, 102.0)  # the will of the former one, whose connection the broker ended
    assert not watch.is_gone(103.0)


def test_the_end_of_an_instance_that_was_replaced_before_is_no_news() -> None:
    watch = ActiveWatch(100.0, 0.5, boot=3)
    watch.take(OFFLINE, 100.0)
    assert not watch.is_gone(101.0)


@pytest.mark.parametrize(("pause_s", "stood_s"), [(0.5, 0.0), (MAX_STANDSTILL_S, 0.0), (30.0, 30.0)])
def test_a_standstill_is_a_pause_longer_than_the_limit(pause_s: float, stood_s: float) -> None:
    standstill = Standstill(100.0)
    assert standstill.passed(100.0 + pause_s) == stood_s
    assert standstill.passed(100.0 + pause_s + 0.5) == 0.0


def test_a_standby_at_a_list_of_brokers_is_refused() -> None:
    brokers = BrokerEndpoint.parse_list("mqtt://a,mqtt://b")
    with pytest.raises(PermanentError, match="one address in VITALFLOW_MQTT_URL"):
        ActiveRole(
            Instance(brokers, Topics(), "alerts", "alerts", "a worker", lambda: True, logging.getLogger()), standby=True
        )
