"""The faults of `ha`: which processes of which host each one harms, and how. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from stack.cluster.conditions import COMMANDS, UNDO
from stack.cluster.observation import ClusterSeen
from stack.cluster.plan import FULL_HOSTS, WITNESS, process_name

HOLD_S = 30.0  # before a killed or frozen target is started or thawed
QUICK_S = 15.0  # of a process whose standby, or whose absence, makes no difference later
SHORT_S = 5.0  # after a switchover
CUT_S = 60.0

Finder = Callable[[ClusterSeen], str]
"""Returns the host that has a role now."""


def primary(seen: ClusterSeen) -> str:
    """Return the host of the primary."""
    return next(one.host for one in seen.databases if one.role == "primary")


def standby(seen: ClusterSeen) -> str:
    """Return the other full host."""
    return next(host for host in FULL_HOSTS if host != primary(seen))


def broker(seen: ClusterSeen) -> str:
    """Return the host of the broker that has the clients."""
    return next(one.host for one in seen.brokers if one.in_use)


def active(service: str) -> Finder:
    """Return how to find the host on which a service is active."""
    return lambda seen: next(one.host for one in seen.services if (one.name, one.state) == (service, "active"))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a cluster.

    strike      kill, freeze, switchover, cut (from all) or cut-from-hosts
    host        where
    kinds       the processes of that host; empty: all
    hold_s      until it is undone
    """

    name: str
    strike: str
    host: Finder
    kinds: tuple[str, ...] = ()
    hold_s: float = HOLD_S

    def targets(self, seen: ClusterSeen) -> list[str]:
        """Return the hosts or processes that are harmed."""
        host = self.host(seen)
        return [process_name(kind, host) for kind in self.kinds] if self.kinds else [host]

    @property
    def undo(self) -> str | None:
        """The command that undoes it; None: nothing to undo."""
        return None if self.strike == "switchover" else UNDO[COMMANDS[self.strike][1]]

    @property
    def needs_networks(self) -> bool:
        """Whether each host must have a network of its own."""
        return self.undo == "heal"

    @property
    def harms_broker(self) -> bool:
        """Whether it takes the broker in use away, with what only that broker had."""
        return not self.kinds or "broker" in self.kinds


_DATABASE, _MESSAGES = ("etcd", "patroni"), ("broker", "ingest", "alerts")
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("database-killed", "kill", primary, _DATABASE),
        Fault("database-frozen", "freeze", primary, _DATABASE),
        Fault("switchover", "switchover", primary, hold_s=SHORT_S, kinds=("patroni",)),
        Fault("standby-killed", "kill", standby, _DATABASE, QUICK_S),
        Fault("standby-frozen", "freeze", standby, _DATABASE),
        Fault("broker-host-killed", "kill", broker, _MESSAGES),
        Fault("broker-host-frozen", "freeze", broker, _MESSAGES),
        Fault("broker-killed", "kill", broker, ("broker",)),
        Fault("broker-frozen", "freeze", broker, ("broker",)),
        Fault("worker-killed", "kill", active("alerts"), ("alerts",), QUICK_S),
        Fault("worker-frozen", "freeze", active("alerts"), ("alerts",)),
        Fault("ingest-killed", "kill", active("ingest"), ("ingest",), QUICK_S),
        Fault("ingest-frozen", "freeze", active("ingest"), ("ingest",)),
        Fault("host-killed", "kill", primary),
        Fault("host-frozen", "freeze", primary),
        Fault("hosts-cut", "cut-from-hosts", primary, hold_s=CUT_S),
        Fault("host-cut-off", "cut", broker, hold_s=CUT_S),
        Fault("witness-killed", "kill", lambda _: WITNESS, hold_s=QUICK_S),
    )
}
