"""What a service needs of a broker besides MQTT 5, and what follows where it is missing. Pure.

Brokers grant what they do not do: a subscription with wildcards to retained messages, a shared one, one to `$SYS`. So
`mqtt.broker_check` tries each, and what was seen is judged here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

WINDOW = 100
"""Messages that the check sends to see how many are delivered before the first acknowledgement."""


class Feature(StrEnum):
    """A need, as it is called in the metric."""

    RETAINED_WILDCARD = "retained_wildcard"
    RETAINED_EXPIRY = "retained_expiry"
    WINDOW = "window"
    SESSION = "session"
    SYS = "sys"
    SHARED = "shared_subscription"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a broker did; None: not tried.

    window       messages delivered before the first acknowledgement, at most WINDOW
    accepts      Receive Maximum of its CONNACK: unacknowledged messages that it accepts from a client
    session_s    how long it keeps a session
    """

    retained_wildcard: bool | None = None
    retained_expiry: bool | None = None
    window: int | None = None
    accepts: int | None = None
    session_s: int | None = None
    sys: bool | None = None
    shared: bool | None = None


LACKS = {
    Feature.RETAINED_WILDCARD: "it sends no retained messages to a subscription with wildcards, so after a restart "
    "open alerts, limits and the status of devices are unknown",
    Feature.RETAINED_EXPIRY: "it keeps retained messages after their expiry, so alerts that were cleared long ago "
    "and standbys that are gone stay there",
    Feature.SYS: "it publishes nothing below $SYS, so messages that it drops and logins that it refuses are "
    "not noticed",
    Feature.SHARED: "it delivers nothing to a shared subscription, so an ingest with VITALFLOW_INGEST_SHARE_GROUP "
    "stores nothing",
}


def judge(seen: Seen, session_s: int) -> Iterator[tuple[Feature, str | None]]:
    """Yield each feature that was tried, and what is missing and follows from it in one sentence; None: it is there.

    session_s   how long the service needs its session after a lost connection; 0: it has none
    """
    for feature, works in (
        (Feature.RETAINED_WILDCARD, seen.retained_wildcard),
        (Feature.RETAINED_EXPIRY, seen.retained_expiry),
        (Feature.SYS, seen.sys),
        (Feature.SHARED, seen.shared),
    ):
        if works is not None:
            yield feature, None if works else LACKS[feature]
    if seen.window is not None:
        yield Feature.WINDOW, _judge_window(seen.window, seen.accepts)
    if seen.session_s is not None and session_s:
        yield Feature.SESSION, _judge_session(seen.session_s, session_s)


def _judge_window(window: int, accepts: int | None) -> str | None:
    if window < WINDOW:
        return (
            f"it delivers only {window} messages before an acknowledgement, so readings are stored slowly and its "
            "queue grows; raise its limit of unacknowledged messages to 4000"
        )
    if accepts is not None and accepts < WINDOW:
        return (
            f"it accepts only {accepts} unacknowledged messages, so it may end the connection of an alert worker that "
            "publishes many alerts; raise its Receive Maximum"
        )
    return None


def _judge_session(kept_s: int, needed_s: int) -> str | None:
    if kept_s >= needed_s:
        return None
    return (
        f"it keeps a session for {kept_s} s instead of {needed_s} s, so what it has queued for a service that is "
        "stopped for longer is lost"
    )
