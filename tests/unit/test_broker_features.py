"""What is missing of a broker, and what follows, in one sentence each."""

import logging
import re

import pytest
from prometheus_client import CollectorRegistry

from mqtt.broker_check import BrokerCheck
from mqtt.broker_features import WINDOW, Feature, Seen, judge
from mqtt.broker_metrics import BrokerMetrics
from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from vitals.backoff import Backoff
from vitals.errors import TransientError

DAYS_14 = 14 * 86_400
WHOLE = Seen(True, True, WINDOW, 4000, DAYS_14, True, True)


def lacks(seen: Seen, session_s: int = DAYS_14) -> dict[Feature, str]:
    return {feature: sentence for feature, sentence in judge(seen, session_s) if sentence is not None}


def test_a_broker_that_does_everything_lacks_nothing_and_every_feature_is_judged() -> None:
    assert lacks(WHOLE) == {}
    assert {feature for feature, _ in judge(WHOLE, DAYS_14)} == set(Feature)


def test_what_was_not_tried_is_not_judged() -> None:
    assert list(judge(Seen(), DAYS_14)) == []
    assert Feature.SESSION not in dict(judge(WHOLE, 0)), "the service has no session"


@pytest.mark.parametrize(
    ("seen", "feature", "words"),
    [
        (Seen(retained_wildcard=False), Feature.RETAINED_WILDCARD, "open alerts, limits"),
        (Seen(retained_expiry=False), Feature.RETAINED_EXPIRY, "after their expiry"),
        (Seen(window=10), Feature.WINDOW, "only 10 messages before an acknowledgement"),
        (Seen(window=WINDOW, accepts=20), Feature.WINDOW, "accepts only 20"),
        (Seen(session_s=86_400), Feature.SESSION, "86400 s instead of 1209600 s"),
        (Seen(sys=False), Feature.SYS, "nothing below [$]SYS"),
        (Seen(shared=False), Feature.SHARED, "VITALFLOW_INGEST_SHARE_GROUP"),
    ],
)
def test_each_missing_feature_is_named_with_what_follows(seen: Seen, feature: Feature, words: str) -> None:
    found = lacks(seen)
    assert list(found) == [feature]
    assert re.search(words, found[feature])
    assert ", so " in found[feature]


def test_each_broker_is_checked_once_and_again_after_an_answer_that_did_not_come() -> None:
    order = BrokerOrder(BrokerEndpoint.parse_list("mqtt://b1,mqtt://b2"), Backoff(1.0, 1.0))
    asked: list[str] = []
    answers: list[Exception | list[tuple[Feature, str | None]]] = [
        TransientError("it does not answer"),
        [(Feature.SYS, "it is silent"), (Feature.SHARED, None)],
        [(Feature.SYS, None), (Feature.SHARED, None)],
    ]

    def check(broker: BrokerEndpoint) -> list[tuple[Feature, str | None]]:
        asked.append(broker.address)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry, connected = CollectorRegistry(), [False]
    checks = BrokerCheck(registry, "x_", lambda: order, lambda: connected[0], check, logging.getLogger("x"))

    def value(feature: Feature) -> float | None:
        return registry.get_sample_value("x_mqtt_broker_feature", {"feature": feature})

    assert checks.work()
    assert asked == [], "there is no connection yet"
    connected[0] = True
    assert not checks.work()
    assert checks.work()
    assert checks.work()
    assert asked == ["b1:1883", "b1:1883"]
    assert checks.missing == ["it is silent"]
    assert (value(Feature.SYS), value(Feature.SHARED)) == (0, 1)
    order.ended(0.0)
    assert checks.work()
    assert asked[2:] == ["b2:1883"]
    assert checks.missing == []
    assert value(Feature.SYS) == 1


def test_the_broker_in_use_and_its_switches_are_metrics() -> None:
    order = BrokerOrder(BrokerEndpoint.parse_list("mqtt://b1,mqtt://b2"), Backoff(1.0, 1.0))
    registry = CollectorRegistry()
    BrokerMetrics(registry, "x_", lambda: order, lambda: True)

    def values() -> list[float | None]:
        brokers = [registry.get_sample_value("x_mqtt_broker", {"broker": f"b{number}:1883"}) for number in (1, 2)]
        return [*brokers, registry.get_sample_value("x_mqtt_broker_switches_total")]

    order.connected()
    assert values() == [1, 0, 0]
    order.ended(0.0)
    order.connected()
    assert values() == [0, 1, 1]
