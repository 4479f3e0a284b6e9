"""The table and the JSON of `vitalflow cluster status`."""

from collections.abc import Sequence

import msgspec
from rich.table import Table

from stack.cluster.observation import BrokerSeen, ClusterSeen, DatabaseSeen, ServiceSeen
from stack.cluster.plan import HOSTS


def table(seen: ClusterSeen) -> Table:
    """Return a table with one line per host."""
    lines = Table(box=None, padding=(0, 2, 0, 0))
    services = list(dict.fromkeys(one.name for one in seen.services))
    for heading in ("host", "condition", "etcd", "database", "behind", "broker", *services):
        lines.add_column(heading)
    databases = {one.host: one for one in seen.databases}
    brokers = {one.host: one for one in seen.brokers}
    for host in HOSTS:
        database = databases.get(host)
        lines.add_row(
            host,
            seen.conditions[host],
            "ok" if host in seen.etcd else "down",
            _database(database),
            _behind(database),
            _broker(brokers.get(host)),
            *(
                next((_service(one) for one in seen.services if (one.host, one.name) == (host, name)), "-")
                for name in services
            ),
        )
    return lines


def as_json(seen: ClusterSeen, verdicts: Sequence[str]) -> str:
    """Return the same and the verdicts as a JSON object; of retained messages only their number."""
    found = msgspec.to_builtins(seen)
    for broker in found["brokers"]:
        broker["retained"] = len(broker["retained"])
        del broker["retained_before"]
    return msgspec.json.encode({**found, "verdicts": list(verdicts)}).decode()


def _database(seen: DatabaseSeen | None) -> str:
    if seen is None:
        return "-"
    if seen.role is None:
        return "down"
    role = seen.role.replace("_", " ")
    return role if seen.state in ("running", "streaming") else f"{role}, {seen.state}"


def _behind(seen: DatabaseSeen | None) -> str:
    if seen is None or seen.role is None or seen.role == "primary":
        return "-"
    return "unknown" if seen.lag is None else f"{seen.lag / 2**20:.1f} MB"


def _broker(seen: BrokerSeen | None) -> str:
    if seen is None:
        return "-"
    if seen.problem is not None:
        return "down"
    return "in use" if seen.in_use else "standby"


def _service(seen: ServiceSeen) -> str:
    return seen.state if seen.epoch is None else f"{seen.state}, {seen.epoch:%Y-%m-%d %H:%M:%S} UTC"
