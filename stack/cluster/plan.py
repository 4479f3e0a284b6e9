"""Hosts, ports and services of a cluster on 127.0.0.1. Starts nothing.

Two hosts have all servers and services; the witness has etcd alone, so that two of three remain when a host dies.
"""

from dataclasses import dataclass, replace

from stack.plan import Port, Ports, ServiceSpec, services

WITNESS = "h3"
FULL_HOSTS = ("h1", "h2")
HOSTS = (*FULL_HOSTS, WITNESS)
PORT_BASE = 23883
PORTS_OF_HOST = 20  # between the first ports of two hosts


class OwnPort(Port):
    """A port that each host has for itself."""

    def __get__(self, ports: Ports, owner: type) -> int:
        assert isinstance(ports, HostPorts)
        return ports.base + PORTS_OF_HOST * ports.number + self.offset


@dataclass(frozen=True, slots=True)
class HostPorts(Ports):
    """The ports as the services of one host see them: broker and database by the common address.

    number   of the host, from 1
    """

    number: int = 1

    ingest = OwnPort(0)  # /metrics of ingest
    alerts = OwnPort(1)  # /metrics of alerts
    station = OwnPort(2)  # HTTP of the station
    own_broker = OwnPort(3)  # MQTT of the host's own broker
    own_certificates = OwnPort(4)  # MQTT of the host's own broker, for devices with a certificate
    own_database = OwnPort(5)  # PostgreSQL of the host
    patroni = OwnPort(6)  # The REST API of Patroni
    etcd = OwnPort(7)  # etcd, for clients
    etcd_peer = OwnPort(8)  # etcd, for its peers

    @property
    def all_of_host(self) -> dict[str, int]:
        """Every port of the host, by the process that listens there."""
        return {
            "ingest": self.ingest,
            "alerts": self.alerts,
            "station": self.station,
            "broker": self.own_broker,
            "broker certificates": self.own_certificates,
            "database": self.own_database,
            "patroni": self.patroni,
            "etcd": self.etcd,
            "etcd peer": self.etcd_peer,
        }


@dataclass(frozen=True, slots=True)
class ClusterPorts(Ports):
    """The ports of the common address (HAProxy), and of each host."""

    statistics = Port(2)  # The statistics of HAProxy, over HTTP

    def mirrored(self, host: str) -> int:
        """Where the other host's broker reads the retained state of this host's."""
        return self.base + 9 + HOSTS.index(host)

    def of(self, host: str) -> HostPorts:
        """Return the ports of a host."""
        return HostPorts(self.base, number=HOSTS.index(host) + 1)

    @property
    def every(self) -> tuple[int, ...]:
        """Every port that the cluster binds."""
        own = [self.broker, self.database, self.statistics, self.certificates, *map(self.mirrored, FULL_HOSTS)]
        return (*own, *(port for host in HOSTS for port in self.of(host).all_of_host.values()))


def other_host(host: str) -> str:
    """Return the full host that takes over from this one."""
    return next(one for one in FULL_HOSTS if one != host)


def mirror_user(host: str) -> str:
    """Return the broker's user by which the broker of a host reads the other one."""
    return f"mirror-{host}"


def process_name(kind: str, host: str) -> str:
    """Return the name of a process of a host."""
    return f"{kind}-{host}"


PROCESSES = {
    host: tuple(
        process_name(kind, host)
        for kind in (("etcd",) if host == WITNESS else ("etcd", "broker", "patroni", "alerts", "ingest", "station"))
    )
    for host in HOSTS
}
"""The processes of each host, in the order in which they start."""


def host_services(ports: HostPorts, host: str) -> list[ServiceSpec]:
    """Return ingest, alerts and station of a host, each under the name of its process.

    Of ingest and of the alert worker one works, and the other host's is its standby.
    """
    more = {"alerts": ("--standby",), "ingest": ("--standby",), "station": ()}
    return [
        replace(spec, name=process_name(spec.name, host), arguments=(*spec.arguments, *more[spec.name]))
        for spec in services(ports, 0)
        if spec.name in more
    ]


def bedside(ports: ClusterPorts, devices: int) -> list[ServiceSpec]:
    """Return the simulated devices."""
    return [spec for spec in services(ports, devices) if spec.name == "devices"]
