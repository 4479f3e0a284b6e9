"""What is wrong with a cluster: one sentence for each fault, with what to do. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from stack.cluster.conditions import UNDO, Condition
from stack.cluster.observation import BrokerSeen, ClusterSeen, DatabaseSeen
from stack.cluster.plan import HOSTS

MAX_CLOCK_DIFFERENCE_S = 5.0
"""Patroni's header has whole seconds, and an answer takes up to one."""
MAX_LAG = 16 * 2**20
"""Bytes: a segment of WAL, which a standby that follows is never behind for long."""
EXPIRES_SOON = timedelta(days=7)
STOPPING = "stopping"  # Patroni's state of a primary that it stops
NAMED_TOPICS = 3  # of those that differ at the other broker


def judge(seen: ClusterSeen, now: datetime) -> list[str]:
    """Return a sentence for each fault, the worst first; none: two hosts can take over from each other."""
    return [
        *_hosts(seen),
        *_quorum(seen.etcd, seen.alone),
        *_primaries(seen.databases),
        *_standbys(seen.databases),
        *_clocks(seen.databases),
        *_brokers(seen.brokers, now),
        *_mirror(seen.brokers),
        *_services(seen),
    ]


def _hosts(seen: ClusterSeen) -> Iterator[str]:
    for host, condition in seen.conditions.items():
        if condition in UNDO:
            yield f"{host} is {condition}: `vitalflow cluster {UNDO[Condition(condition)]} {host}` undoes that"
        elif condition != Condition.RUNNING:
            yield f"of {host}: {condition}; `vitalflow cluster start` or `thaw` with a name resumes a process"


def _quorum(etcd: Sequence[str], alone: Sequence[str]) -> Iterator[str]:
    lost = [host for host in HOSTS if host not in etcd]
    if len(etcd) <= len(HOSTS) // 2:
        yield (
            f"{len(etcd)} of {len(HOSTS)} etcd answer, so no primary can be elected and the present one stops: start "
            f"{' and '.join(lost)}"
        )
    elif lost:
        yield f"the etcd of {lost[0]} does not answer; if another host fails too, the database stops: start {lost[0]}"
    elif alone:
        yield (
            f"the etcd of {' and '.join(alone)} answers but reaches no majority, so the host is cut off from the "
            "others: mend the network between them; promote nothing by hand"
        )


def _primaries(databases: Sequence[DatabaseSeen]) -> Iterator[str]:
    primaries = [one.host for one in databases if one.is_primary or (one.role == "primary" and one.state != STOPPING)]
    if len(primaries) > 1:
        yield (
            f"{' and '.join(primaries)} both accept writes as a primary: stop the one that Patroni does not call the "
            "leader at once, compare the rows of both before anything is deleted, then let Patroni copy it again"
        )
    elif not primaries:
        yield "no database is the primary, so nothing is stored: an election takes up to 20 s; then read Patroni's log"
    for one in databases:
        if one.role == "primary" and one.state == STOPPING:
            yield (
                f"the database of {one.host} is no longer the primary and stops: if that lasts for a minute, a session "
                "waits for a standby that is away; kill PostgreSQL there, and Patroni makes it a standby"
            )
        if one.is_primary and one.role is not None and one.role != "primary":
            yield (
                f"the database of {one.host} accepts writes although its Patroni calls it a {one.role}: another "
                "program started or promoted it; stop it and let Patroni start it"
            )


def _standbys(databases: Sequence[DatabaseSeen]) -> Iterator[str]:
    standbys = [one for one in databases if one.role not in (None, "primary")]
    if len(databases) < 2:
        yield "only one host has a database, so nothing takes over from it: add a second host"
        return
    if not any(one.is_primary or one.role == "primary" for one in databases):
        return  # each may be the last one with all readings: none is to be copied again
    if not standbys:
        lost = [one.host for one in databases if one.role is None]
        what = f"start Patroni of {' and '.join(lost)}" if lost else "see Patroni's logs"
        yield f"the database has no standby, so the readings are on one host: {what}"
    for one in standbys:
        if one.state != "streaming":
            yield (
                f"the standby {one.host} does not follow the primary (Patroni: {one.state or 'unknown'}); if that "
                f"lasts for a minute, copy it again: `vitalflow cluster reinit {one.host}`"
            )
        elif one.lag is not None and one.lag > MAX_LAG and one.lag_before is not None and one.lag >= one.lag_before:
            yield (
                f"the standby {one.host} is {one.lag / 2**20:.0f} MB behind and does not catch up: compare its disk "
                f"and network with the primary's, or copy it again: `vitalflow cluster reinit {one.host}`"
            )
    if standbys and all(one.role != "sync_standby" for one in standbys):
        yield (
            "no standby is synchronous, so a reading with a receipt is lost if the primary fails now; if that lasts "
            f"for a minute, copy it again: `vitalflow cluster reinit {standbys[0].host}`, and check that "
            "synchronous_mode is true: patronictl show-config"
        )


def _clocks(databases: Sequence[DatabaseSeen]) -> Iterator[str]:
    known = [(one.clock_ahead_s, one.host) for one in databases if one.clock_ahead_s is not None]
    if len(known) < 2:
        return
    (least, slow), (most, fast) = min(known), max(known)
    if most - least > MAX_CLOCK_DIFFERENCE_S:
        yield (
            f"the clock of {fast} is {most - least:.0f} s ahead of that of {slow}: run `chronyc tracking` on both and "
            "correct the one that is wrong, else times of alerts change with a failover"
        )


def _brokers(brokers: Sequence[BrokerSeen], now: datetime) -> Iterator[str]:
    for one in brokers:
        expired = one.certificate_ends is not None and one.certificate_ends <= now
        if expired:
            yield (
                f"the certificate of the broker of {one.host} ended on {one.certificate_ends:%Y-%m-%d}, so no client "
                "trusts it: `vitalflow identity renew`, and install the certificate on both brokers"
            )
        elif one.problem is not None:
            yield f"the broker of {one.host} accepts no client ({one.problem}): start it, or see its log"
        elif one.certificate_ends is not None and one.certificate_ends - now < EXPIRES_SOON:
            yield f"the certificate of the broker of {one.host} ends on {one.certificate_ends:%Y-%m-%d}: renew it"
    if not any(one.in_use for one in brokers):
        yield "HAProxy sends clients to no broker: start a broker, or HAProxy"
    if len(brokers) < 2:
        yield "there is only one broker, so nothing takes over from it: add a second host"


def _mirror(brokers: Sequence[BrokerSeen]) -> Iterator[str]:
    used = next((one for one in brokers if one.in_use and one.problem is None), None)
    for other in brokers:
        if used is None or other.host == used.host or other.problem is not None:
            continue
        # A change is at the other broker some milliseconds later, so a difference must be there in both looks.
        differing = sorted(
            _differing(used.retained, other.retained) & _differing(used.retained_before, other.retained_before)
        )
        if differing:
            yield (
                f"the broker of {other.host} lacks the state of {len(differing)} of {len(used.retained)} retained "
                f"topics of {used.host} ({_shown(differing)}), so a failover would lose it: the bridge is not "
                "connected, or its user may not read them; see both brokers' logs, and write the bridge and its user "
                "again"
            )
        surplus = sorted(
            (other.retained.keys() & other.retained_before.keys()) - used.retained.keys() - used.retained_before.keys()
        )
        if surplus:
            yield (
                f"the broker of {other.host} still retains {len(surplus)} topics that were deleted at {used.host} "
                f"({_shown(surplus)}), so a failover would bring them back: it missed the deletion while it was down; "
                "stop it, delete its mosquitto.db and start it again, so that its mirror begins empty"
            )


def _shown(topics: Sequence[str]) -> str:
    return ", ".join(topics[:NAMED_TOPICS]) + (", ..." if len(topics) > NAMED_TOPICS else "")


def _differing(used: Mapping[str, bytes], other: Mapping[str, bytes]) -> set[str]:
    return {topic for topic, payload in used.items() if other.get(topic) != payload}


def _services(seen: ClusterSeen) -> Iterator[str]:
    for name in dict.fromkeys(one.name for one in seen.services):
        states = {one.host: one.state for one in seen.services if one.name == name}
        active = [host for host, state in states.items() if state == "active"]
        if not active:
            yield f"no {name} is active: see its log on {' and '.join(states)}"
        elif len(active) > 1 and name != "station":
            yield f"{name} is active on {' and '.join(active)}: stop one of them; a standby runs with --standby"
        for host, state in states.items():
            if state not in ("active", "standby") and active:
                yield f"{name} of {host} is {state}, so only {' and '.join(active)} has one: start it, or see its log"
