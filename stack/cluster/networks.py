"""A network for each host of a cluster on one machine, so that hosts can be cut off from each other.

Each host is a network namespace of its own, linked to each other one and to the machine by virtual interfaces.
Every program still binds and calls 127.0.0.1: a routing rule takes a connection to a port of another host over the link
to it. A cut gives both ends of a link a wrong hardware address, so that packets vanish without an answer, as with a
pulled cable. Needs root and iproute2; nothing but connections to ports of the cluster is routed differently.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil

from stack.cluster.plan import HOSTS, PORTS_OF_HOST, ClusterPorts
from vitals.errors import PermanentError

NAMESPACES = Path("/run/netns")
MACHINE = "lo"
"""The machine itself, with HAProxy, the devices and the clients."""
NODES = (MACHINE, *HOSTS)
LINKS = tuple(combinations(NODES, 2))
FIRST = IPv4Address("198.18.0.0")  # RFC 2544 reserves 198.18.0.0/15 for measurements
LINKS_OF_CLUSTER, ADDRESSES_OF_LINK = 8, 4  # a /30 for each link
NOWHERE = "02:00:00:00:00:ff"
RULE, LOCAL = 77, 78
"""Priorities of the rules that route by port, and of the rule for local addresses, which Linux has at 0."""
SYSCTLS = ("route_localnet", "accept_local")


class Networks:
    """The networks of the cluster that a process runs; `owner` is its process id."""

    def __init__(self, ports: ClusterPorts, owner: int) -> None:
        self._base = ports.base
        self._owner = owner

    def create(self) -> None:
        """Make a namespace for each host, and the links; raises PermanentError if this machine does not allow it."""
        if os.geteuid() != 0:
            raise PermanentError("a network for each host needs root: run the command as root, or without --networks")
        remove_dead()
        for host in HOSTS:
            _run("ip", "netns", "add", self.name(host))
            self._ip(host, "link", "set", "lo", "up")
            self._sh(host, "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")
        for node in NODES:
            _local_rule_after_ours(self._option(node))
        for first, second in LINKS:
            ends = (self._device(first, second), self._device(second, first))
            _run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for node, device in zip((first, second), ends, strict=True):
                if node != MACHINE:
                    _run("ip", "link", "set", device, "netns", self.name(node))
            self._route(first, second)
            self._route(second, first)

    def enter(self, host: str) -> list[str]:
        """Return what a command line needs before it to run in the network of a host."""
        return ["nsenter", f"--net={NAMESPACES / self.name(host)}", "--"]

    def name(self, host: str) -> str:
        """Return the name of the namespace of a host."""
        return f"vitalflow-{self._owner}-{host}"

    @property
    def exist(self) -> bool:
        """Whether the hosts have networks of their own."""
        return (NAMESPACES / self.name(HOSTS[0])).exists()

    def cut(self, off: Collection[str], from_hosts: Collection[str]) -> None:
        """Cut the links of hosts, and join all others.

        off          hosts without any link
        from_hosts   hosts that the machine still reaches, but no other host
        """
        for first, second in LINKS:
            ends = {first, second}
            is_cut = bool(ends & {*off}) or (MACHINE not in ends and bool(ends & {*from_hosts}))
            for node, other in ((first, second), (second, first)):
                to = str(self._address(other, node))
                where = ("dev", self._device(node, other))
                if is_cut:
                    self._ip(node, "neigh", "replace", to, "lladdr", NOWHERE, *where, "nud", "permanent")
                elif NOWHERE in _run("ip", *self._option(node), "neigh", "show", "to", to, *where):
                    self._ip(node, "neigh", "del", to, *where)

    def remove(self) -> None:
        """Remove the namespaces with their links, and the rules."""
        _remove(lambda owner: owner == self._owner)

    def _route(self, node: str, to: str) -> None:
        """Route connections to the ports of another node over the link to it."""
        device, own, table = self._device(node, to), self._address(node, to), str(self._base + NODES.index(to))
        self._ip(node, "addr", "add", f"{own}/30", "dev", device)
        self._ip(node, "link", "set", device, "up")
        self._sh(node, *(f"echo 1 > /proc/sys/net/ipv4/conf/{device}/{name}" for name in SYSCTLS))
        via = ("via", str(self._address(to, node)), "dev", device, "src", str(own))
        self._ip(node, "route", "add", "127.0.0.1/32", *via, "table", table)
        first = self._base + PORTS_OF_HOST * NODES.index(to)
        ports = f"{first}-{first + PORTS_OF_HOST - 1}"
        rule = ("priority", str(RULE), "to", "127.0.0.1", "ipproto", "tcp", "dport", ports, "lookup", table)
        self._ip(node, "rule", "add", *rule)

    def _address(self, node: str, to: str) -> IPv4Address:
        """Return the address of a node on the link to another one."""
        link = next(link for link in LINKS if {*link} == {node, to})
        # The ports of two clusters differ, and so do these numbers.
        number = self._base // (PORTS_OF_HOST * len(NODES)) * LINKS_OF_CLUSTER + LINKS.index(link)
        return FIRST + number * ADDRESSES_OF_LINK + 1 + link.index(node)

    def _device(self, node: str, to: str) -> str:
        return f"vf{self._owner}{node}{to}"

    def _option(self, node: str) -> list[str]:
        return [] if node == MACHINE else ["-n", self.name(node)]

    def _ip(self, node: str, *arguments: str) -> None:
        _run("ip", *self._option(node), *arguments)

    def _sh(self, node: str, *lines: str) -> None:
        # ip netns exec mounts a /sys of the namespace; nsenter does not.
        enter = [] if node == MACHINE else self.enter(node)
        _run(*enter, "sh", "-euc", "\n".join(lines))


def why_not() -> str | None:
    """Return why this machine does not let a cluster have networks; None if it does."""
    probe = f"vitalflow-{os.getpid()}-probe"
    try:
        _run("ip", "netns", "add", probe)
        _run("ip", "netns", "del", probe)
    except PermanentError as error:
        return str(error)
    return None


def remove_dead() -> None:
    """Remove what clusters left behind whose process was killed."""
    _remove(lambda owner: not psutil.pid_exists(owner))


def _remove(owned_by: Callable[[int], bool]) -> None:
    """Remove links and namespaces of the clusters of some processes, and the rules."""
    namespaces = {path.name: int(path.name.split("-")[1]) for path in NAMESPACES.glob("vitalflow-*-h*")}
    # The links first: the kernel removes a namespace, with the links in it, some time after the command.
    for kind, owners in (("link", _devices()), ("netns", namespaces)):
        for name, owner in owners.items():
            if owned_by(owner):
                with suppress(PermanentError):  # another cluster has just removed it
                    _run("ip", kind, "del", name)
    _remove_rules()


def _devices() -> dict[str, int]:
    """Return the ends of links that the machine has, with the process whose cluster each belongs to."""
    names = [str(one["ifname"]) for one in _json("link", "show", "type", "veth")]
    return {name: int(found[1]) for name in names if (found := re.match(r"vf(\d+)(lo|h\d)", name))}


def _local_rule_after_ours(option: list[str]) -> None:
    """Give local addresses a lower priority than the rules of a cluster; a packet never finds no rule meanwhile."""
    rules = {rule["priority"] for rule in _json(*option, "rule", "show")}
    if LOCAL not in rules:
        _run("ip", *option, "rule", "add", "priority", str(LOCAL), "lookup", "local")
    if 0 in rules:
        _run("ip", *option, "rule", "del", "priority", "0")


def _remove_rules() -> None:
    """Remove the machine's rules whose link is gone; after the last one local addresses are first again."""
    rules = _json("rule", "show")
    ours = [str(rule["table"]) for rule in rules if rule["priority"] == RULE]
    live = {table for table in ours if _routes(table)}
    for table in ours:
        if table not in live:
            _run("ip", "rule", "del", "priority", str(RULE), "lookup", table)
    priorities = {rule["priority"] for rule in rules}
    if not live and LOCAL in priorities:
        if 0 not in priorities:
            _run("ip", "rule", "add", "priority", "0", "lookup", "local")
        _run("ip", "rule", "del", "priority", str(LOCAL))


def _routes(table: str) -> bool:
    try:
        return bool(_run("ip", "route", "show", "table", table).strip())
    except PermanentError:  # a table without routes does not exist
        return False


def _json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_run("ip", "-j", *arguments) or "[]")
    return [one for one in found if one]


def _run(*line: str) -> str:
    try:
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise PermanentError(f"{line[0]} is missing: install iproute2 and util-linux") from None
    except subprocess.CalledProcessError as error:
        raise PermanentError(f"`{' '.join(line)}` failed: {error.stderr.strip()}") from None
