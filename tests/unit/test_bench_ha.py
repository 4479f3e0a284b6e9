"""What `bench ha` counts, and which processes its faults harm."""

from dataclasses import replace as replace_data

import pytest
from msgspec.structs import replace

from bench.ha_counts import changes_at, longest_gap, older_revisions, per_fault, places_with_two_open, two_act
from bench.ha_faults import FAULTS
from stack.cluster.observation import BrokerSeen, ClusterSeen, DatabaseSeen, ServiceSeen
from stack.cluster.plan import HOSTS, PROCESSES
from tests.support.factories import make_alert

SEEN = ClusterSeen(
    dict.fromkeys(HOSTS, "running"),
    HOSTS,
    (DatabaseSeen("h1", "sync_standby"), DatabaseSeen("h2", "primary")),
    (BrokerSeen("h1", in_use=True), BrokerSeen("h2")),
    (
        ServiceSeen("h1", "alerts", "standby"),
        ServiceSeen("h2", "alerts", "active"),
        ServiceSeen("h1", "ingest", "active"),
    ),
)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("database-killed", ["etcd-h2", "patroni-h2"]),
        ("standby-killed", ["etcd-h1", "patroni-h1"]),
        ("broker-host-frozen", ["broker-h1", "ingest-h1", "alerts-h1"]),
        ("worker-killed", ["alerts-h2"]),
        ("worker-stalled", ["alerts-h2"]),
        ("ingest-frozen", ["ingest-h1"]),
        ("host-killed", ["h2"]),
        ("witness-killed", ["h3"]),
        ("hosts-cut", ["h2"]),
        ("host-cut-off", ["h1"]),
    ],
)
def test_a_fault_harms_the_host_that_has_the_role_now(name: str, targets: list[str]) -> None:
    assert FAULTS[name].targets(SEEN) == targets


def test_every_fault_harms_known_processes() -> None:
    known = {*HOSTS, *(process for names in PROCESSES.values() for process in names)}
    known |= {"bridge-edge", "broker-edge", "ingest-second"}
    assert all(set(fault.targets(SEEN)) <= known for fault in FAULTS.values())


def test_every_fault_but_a_switchover_is_undone() -> None:
    assert [name for name, fault in FAULTS.items() if fault.undo is None] == ["switchover"]


def test_two_that_act_are_counted() -> None:
    second = replace_data(SEEN, services=(*SEEN.services, ServiceSeen("h1", "alerts", "active")))
    primaries = tuple(replace_data(one, is_primary=True) for one in SEEN.databases)
    assert [two_act(seen) for seen in (SEEN, second, replace_data(SEEN, databases=primaries))] == [False, True, True]


def test_the_rows_of_a_fault_become_one_with_the_longest_times_and_the_sums() -> None:
    rows = [{"fault": "cut", "harmed": host, "whole_s": whole, "lost": 1} for host, whole in (("h1", 9.0), ("h2", 4.0))]
    assert per_fault(rows) == [{"fault": "cut", "runs": 2, "whole_s": 9.0, "lost": 2}]


def test_the_longest_gap_counts_both_ends_of_the_span() -> None:
    assert longest_gap([1.0, 12.0, 13.0, 30.0], (10.0, 20.0)) == 7.0
    assert longest_gap([], (10.0, 20.0)) == 10.0


def test_a_repeated_alert_is_no_change_and_an_older_revision_is_counted() -> None:
    first = make_alert(revision=1)
    later = replace(first, revision=2)
    alerts, came_at = [first, later, first, later], [1.0, 2.0, 11.0, 12.0]
    assert changes_at(alerts, came_at) == [1.0, 2.0]
    assert older_revisions(list(zip(alerts, came_at, strict=True)), (10.0, 20.0)) == 1
    assert changes_at([*alerts, replace(first, revision=3)], [*came_at, 13.0]) == [1.0, 2.0, 13.0]


def test_a_place_has_two_open_alerts() -> None:
    latest = [("bed-1", "spo2-low", "active", "3", "3"), ("bed-1", "spo2-low", "latched", "1", "2")]
    found = "bed-1/spo2-low: raised at 3, active since 3; raised at 1, latched since 2"
    assert places_with_two_open([*latest, ("bed-2", "spo2-low", "cleared", "4", "4")]) == [found]
