"""What `status` has seen of a cluster. Data only."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """PostgreSQL and Patroni of a host.

    role          of Patroni: primary, replica, sync_standby; None if it does not answer
    state         of Patroni: running, streaming, starting, ...
    is_primary    what PostgreSQL itself says; None if it does not answer
    lag           bytes of WAL that the standby has not got; None if unknown
    lag_before    the same some seconds earlier
    clock_ahead_s how far the host's clock is ahead of this one
    """

    host: str
    role: str | None = None
    state: str = ""
    is_primary: bool | None = None
    timeline: int | None = None
    lag: int | None = None
    lag_before: int | None = None
    clock_ahead_s: float | None = None


@dataclass(frozen=True, slots=True)
class BrokerSeen:
    """A broker.

    problem           why a client cannot connect, in one clause; None if it can
    certificate_ends  of the certificate that it shows
    in_use            whether HAProxy sends clients to it
    retained          the retained messages that both brokers of a pair have, by topic
    retained_before   the same some seconds earlier
    """

    host: str
    problem: str | None = None
    certificate_ends: datetime | None = None
    in_use: bool = False
    retained: dict[str, bytes] = field(default_factory=dict)
    retained_before: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A service of a host.

    state   active, standby, disconnected (from the broker) or down
    epoch   of an active ingest or alert worker as a writer: higher with each one that takes over
    """

    host: str
    name: str
    state: str
    epoch: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """All of a cluster.

    conditions   of each host: `running`, or what the commands did to it or to some of its processes
    etcd         the hosts whose etcd answers
    alone        those of them whose etcd belongs to no majority
    """

    conditions: dict[str, str]
    etcd: tuple[str, ...]
    databases: tuple[DatabaseSeen, ...]
    brokers: tuple[BrokerSeen, ...]
    services: tuple[ServiceSeen, ...]
    alone: tuple[str, ...] = ()
