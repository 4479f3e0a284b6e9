"""What is missing of a broker, and what follows, in one sentence each."""

import re

import pytest

from mqtt.broker_features import WINDOW, Feature, Seen, judge

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
