"""The verdicts of `vitalflow cluster status`: one sentence for each fault, and none for a healthy cluster."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stack.cluster.conditions import Condition
from stack.cluster.observation import BrokerSeen, ClusterSeen, DatabaseSeen, ServiceSeen
from stack.cluster.plan import HOSTS
from stack.cluster.verdicts import judge

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=80)
OPEN_ALERT = {"vitalflow/alerts/icu-1/bed-1/spo2-low": b"{}"}
OLD = dict.fromkeys(OPEN_ALERT, b"old")
PRIMARY = DatabaseSeen("h1", "primary", "running", True, 3, clock_ahead_s=0.2)
STANDBY = DatabaseSeen("h2", "sync_standby", "streaming", False, 3, lag=0, lag_before=0, clock_ahead_s=-0.3)
USED = BrokerSeen("h1", None, LATER, in_use=True, retained=OPEN_ALERT, retained_before=OPEN_ALERT)
SPARE = BrokerSeen("h2", None, LATER, retained=OPEN_ALERT, retained_before=OPEN_ALERT)
HEALTHY = ClusterSeen(
    dict.fromkeys(HOSTS, "running"),
    HOSTS,
    (PRIMARY, STANDBY),
    (USED, SPARE),
    (ServiceSeen("h1", "ingest", "active"), ServiceSeen("h2", "ingest", "standby")),
)


def test_a_healthy_cluster_has_no_verdict() -> None:
    assert judge(HEALTHY, NOW) == []


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"databases": (PRIMARY, replace(STANDBY, role="primary", is_primary=True))},
        "h1 and h2 both accept writes",
        "stop",
    ),
    (
        {"databases": (PRIMARY, replace(STANDBY, is_primary=True))},
        "although its Patroni calls it a sync_standby",
        "stop",
    ),
    (
        {"databases": (replace(PRIMARY, state="stopping", is_primary=None), replace(STANDBY, role="primary"))},
        "the database of h1 is no longer the primary and stops",
        "kill PostgreSQL",
    ),
    ({"databases": (replace(PRIMARY, role="replica", is_primary=False), STANDBY)}, "no database is the primary", "log"),
    ({"databases": (PRIMARY, replace(STANDBY, state="starting"))}, "h2 does not follow the primary", "reinit"),
    ({"databases": (PRIMARY, replace(STANDBY, lag=2**26, lag_before=2**25))}, "64 MB behind and does not", "reinit"),
    ({"databases": (PRIMARY, replace(STANDBY, role="replica"))}, "no standby is synchronous", "synchronous_mode"),
    ({"databases": (PRIMARY, DatabaseSeen("h2"))}, "the database has no standby", "start Patroni of h2"),
    ({"databases": (PRIMARY,)}, "only one host has a database", "add a second host"),
    (
        {"databases": (PRIMARY, replace(STANDBY, clock_ahead_s=60.2))},
        "clock of h2 is 60 s ahead of that of h1",
        "chrony",
    ),
    ({"brokers": (USED, replace(SPARE, certificate_ends=NOW))}, "certificate of the broker of h2 ended", "renew"),
    ({"brokers": (USED, replace(SPARE, certificate_ends=NOW + timedelta(days=2)))}, "ends on 2026-07-03", "renew"),
    ({"brokers": (USED, replace(SPARE, problem="refused"))}, "broker of h2 accepts no client (refused)", "start"),
    ({"brokers": (USED, replace(SPARE, retained={}, retained_before={}))}, "h2 lacks the state of 1 of 1", "bridge"),
    ({"brokers": (USED, replace(SPARE, retained=OLD, retained_before=OLD))}, "h2 lacks the state of 1 of 1", "bridge"),
    (
        {
            "brokers": (
                replace(USED, retained={}, retained_before={}),
                replace(SPARE, retained=OLD, retained_before=OLD),
            )
        },
        "h2 still retains 1 topics that were deleted at h1",
        "delete its mosquitto.db",
    ),
    ({"brokers": (USED,)}, "only one broker", "add a second host"),
    ({"brokers": (replace(USED, in_use=False), SPARE)}, "HAProxy sends clients to no broker", "start"),
    ({"etcd": ("h1", "h2")}, "the etcd of h3 does not answer", "start h3"),
    ({"alone": ("h1",)}, "the etcd of h1 answers but reaches no majority", "mend the network"),
    ({"etcd": ("h3",)}, "1 of 3 etcd answer", "start h1 and h2"),
    ({"services": (ServiceSeen("h1", "ingest", "down"), ServiceSeen("h2", "ingest", "standby"))}, "no ingest", "log"),
    (
        {"services": (ServiceSeen("h1", "alerts", "active"), ServiceSeen("h2", "alerts", "active"))},
        "alerts is active on h1 and h2",
        "stop one",
    ),
    ({"services": (ServiceSeen("h1", "alerts", "active"), ServiceSeen("h2", "alerts", "down"))}, "only h1", "start"),
    ({"conditions": {**HEALTHY.conditions, "h2": Condition.FROZEN}}, "h2 is frozen", "thaw h2"),
    ({"conditions": {**HEALTHY.conditions, "h2": "broker-h2 killed"}}, "of h2: broker-h2 killed", "start"),
]


@pytest.mark.parametrize(("change", "what", "advice"), FAULTS, ids=[what for _, what, _ in FAULTS])
def test_each_fault_is_one_sentence_with_what_to_do(change: dict[str, Any], what: str, advice: str) -> None:
    verdicts = judge(replace(HEALTHY, **change), NOW)
    assert any(what in one and advice in one.replace(what, "") for one in verdicts), verdicts


def test_a_retained_message_that_is_at_the_other_broker_some_seconds_later_is_no_fault() -> None:
    for late in (replace(SPARE, retained={}), replace(SPARE, retained_before={})):
        assert judge(replace(HEALTHY, brokers=(USED, late)), NOW) == []


def test_a_standby_that_catches_up_and_clocks_within_a_second_are_no_fault() -> None:
    catching_up = replace(STANDBY, lag=2**25, lag_before=2**26, clock_ahead_s=1.1)
    assert judge(replace(HEALTHY, databases=(PRIMARY, catching_up)), NOW) == []


def test_without_a_primary_no_database_is_to_be_deleted() -> None:
    for role, state in (("replica", "running"), ("sync_standby", "streaming")):
        left = replace(STANDBY, role=role, state=state)
        verdicts = judge(replace(HEALTHY, databases=(DatabaseSeen("h1"), left)), NOW)
        assert any("no database is the primary" in one for one in verdicts)
        assert not any("reinit" in one for one in verdicts), verdicts
