"""The faults of `ha`: which processes of which host each one harms, and how. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from stack.cluster.conditions import COMMANDS, UNDO
from stack.cluster.observation import ClusterSeen
from stack.cluster.plan import FULL_HOSTS, WITNESS, process_name

HOLD_S = 30.0  # before a killed or frozen target is started or thawed
QUICK_S = 15.0  # of a process whose standby, or whose absence, makes no difference later
SHORT_S = 5.0  # after a switchover, and until a ward's broker is restarted
BEHIND_S = 15.0  # of a standby
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


def edge(_seen: ClusterSeen) -> str:
    """Return the name of the ward with a broker of its own."""
    return "edge"


EDGE_STRIKES = {"leave-centre": "reach-centre", "kill-edge": "start-edge", "wipe-edge": "start-edge"}
OWN_UNDO = {"stall": "flow", "kill-second": "drain", **EDGE_STRIKES}
"""What `HaEnvironment` does itself, and what undoes it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a cluster.

    strike      a command of `vitalflow cluster`, switchover, or one of OWN_UNDO
    host        where
    kinds       the processes of that host; empty: all
    hold_s      until it is undone
    behind_s    how long the database of the other host stands still before, and until the strike
    """

    name: str
    strike: str
    host: Finder
    kinds: tuple[str, ...] = ()
    hold_s: float = HOLD_S
    behind_s: float = 0.0

    def targets(self, seen: ClusterSeen) -> list[str]:
        """Return the hosts or processes that are harmed."""
        host = self.host(seen)
        return [process_name(kind, host) for kind in self.kinds] if self.kinds else [host]

    @property
    def undo(self) -> str | None:
        """The command that undoes it; None: nothing to undo."""
        if self.strike in OWN_UNDO:
            return OWN_UNDO[self.strike]
        return None if self.strike == "switchover" else UNDO[COMMANDS[self.strike][1]]

    @property
    def at_edge(self) -> bool:
        """Whether it needs a ward with a broker of its own."""
        return self.strike in EDGE_STRIKES

    @property
    def needs_group(self) -> bool:
        """Whether two ingests must share the readings, in the whole run."""
        return self.strike == "kill-second"

    @property
    def stops_alerts(self) -> bool:
        """Whether an alert worker is without readings for a time."""
        return self.strike not in ("leave-centre", "kill-second")

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
        Fault("standby-behind", "kill", primary, _DATABASE, behind_s=BEHIND_S),
        Fault("broker-host-killed", "kill", broker, _MESSAGES),
        Fault("broker-host-frozen", "freeze", broker, _MESSAGES),
        Fault("broker-killed", "kill", broker, ("broker",)),
        Fault("broker-frozen", "freeze", broker, ("broker",)),
        Fault("worker-killed", "kill", active("alerts"), ("alerts",), QUICK_S),
        Fault("worker-frozen", "freeze", active("alerts"), ("alerts",)),
        Fault("worker-stalled", "stall", active("alerts"), ("alerts",)),
        Fault("ingest-killed", "kill", active("ingest"), ("ingest",), QUICK_S),
        Fault("ingest-frozen", "freeze", active("ingest"), ("ingest",)),
        Fault("host-killed", "kill", primary),
        Fault("host-frozen", "freeze", primary),
        Fault("hosts-cut", "cut-from-hosts", primary, hold_s=CUT_S),
        Fault("host-cut-off", "cut", broker, hold_s=CUT_S),
        Fault("ingest-gone", "kill-second", lambda _: "second", ("ingest",), QUICK_S),
        Fault("witness-killed", "kill", lambda _: WITNESS, hold_s=QUICK_S),
        Fault("centre-away", "leave-centre", edge, ("bridge",), CUT_S),
        Fault("edge-broker-killed", "kill-edge", edge, ("broker",), SHORT_S),
        Fault("edge-broker-lost", "wipe-edge", edge, ("broker",), SHORT_S),
    )
}
BY_DEFAULT = [name for name, fault in FAULTS.items() if not fault.needs_group]
