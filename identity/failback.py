"""Give the clients of a pair back to the broker that returned: compare, publish what is newer, switch HAProxy.

The broker in use has the truth: the clients have worked with its state. The returning one may hold an older store, with
alerts that have ended and limits that were changed since. Before it gets a client its retained state is made equal.
"""

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from identity.dynsec import connect_dynsec
from identity.enrolment import enroll, revoke
from identity.haproxy import BROKERS
from identity.policy import Kind, User, mirrored_filters
from identity.retained import compare, read_retained
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from vitals.errors import PermanentError, TransientError
from vitals.topics import Topics

ANSWER_S = 5.0
SWITCH_S = 30.0  # until a client has connected to the other broker
POLL_S = 0.2
SERVER_RUNNING = "2"  # in `show servers state`
ROUNDS = 5
"""Comparisons with the clients disconnected: what was under way arrives, and the last one must find no difference."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HAProxy with the sections of `identity.haproxy`, by its runtime socket: a path, or HOST:PORT."""

    path: Path

    def ask(self, command: str) -> str:
        """Return the answer to a command; raises TransientError without one."""
        host, _, port = str(self.path).rpartition(":")
        is_port = port.isdecimal() and "/" not in host
        try:
            with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as sock:
                sock.settimeout(ANSWER_S)
                sock.connect((host, int(port)) if is_port else str(self.path))
                sock.sendall(f"{command}\n".encode())
                answer = b"".join(iter(lambda: sock.recv(65_536), b""))
        except OSError as error:
            raise TransientError(f"HAProxy does not answer at {self.path}: {error.strerror or error}") from None
        return answer.decode().strip()

    def execute(self, command: str) -> None:
        """Execute a command that answers nothing; raises PermanentError with what it answers."""
        if answer := self.ask(command):
            raise PermanentError(f"HAProxy at {self.path} refuses `{command}`: {answer}")

    def states(self) -> dict[str, bool]:
        """Return whether each broker is up, by name."""
        return {name: state == SERVER_RUNNING for _, name, state in self._servers()}

    def used(self) -> str | None:
        """Return the name of the broker that has the clients; None if no client has connected."""
        found = re.search(r"\bserver_id=(\d+)", self.ask(f"show table {BROKERS}"))
        return None if found is None else {number: name for number, name, _ in self._servers()}.get(found[1])

    def _servers(self) -> list[tuple[str, str, str]]:
        """Return number, name and state of each broker."""
        rows = [line.split() for line in self.ask(f"show servers state {BROKERS}").splitlines()]
        return [(row[2], row[3], row[5]) for row in rows if len(row) > 5 and row[1] == BROKERS]

    def listeners(self) -> list[str]:
        """Return the names of the sections for clients."""
        rows = [line.split(",") for line in self.ask("show stat -1 1 -1").splitlines()]
        return [row[0] for row in rows if len(row) > 1 and row[1] == "FRONTEND" and row[0].startswith(BROKERS)]


def copy_state(used: BrokerEndpoint, returning: BrokerEndpoint, topics: Topics) -> int:
    """Make the retained state of the returning broker that of the broker in use; return how many topics differed."""
    filters = mirrored_filters(topics)
    newer, older = read_retained(used, filters), read_retained(returning, filters)
    difference = compare(newer, older)
    if not difference.count:
        return 0
    with connect_once(returning, [(topics.rules("+"), 0)]) as client:
        for topic in (*difference.missing, *difference.different):
            client.publish(topic, newer[topic].payload, retain=True, expiry_s=newer[topic].expiry_s)
        for topic in difference.surplus:
            client.publish(topic, b"", retain=True)
        client.wait_for_publishes()
    return difference.count


def require_no_difference(used: BrokerEndpoint, returning: BrokerEndpoint, topics: Topics) -> None:
    """Copy until nothing differs; raises TransientError if it still does after ROUNDS."""
    for _ in range(ROUNDS):
        if copy_state(used, returning, topics) == 0:
            return
    raise TransientError(
        f"the retained state of {returning.host} still differs from that of {used.host}; does anything publish there?"
    )


@contextmanager
def temporary_user(brokers: Sequence[BrokerEndpoint], topics: Topics, by: str, now: datetime) -> Iterator[User]:
    """Enrol a user at both brokers who may read and write what is mirrored, and revoke it at the end."""
    user = User(f"failback-{secrets.token_hex(4)}", Kind.FAILBACK, password=secrets.token_urlsafe(24))
    enrolled: list[BrokerEndpoint] = []
    try:
        for admin in brokers:
            with connect_dynsec(admin) as dynsec:
                enroll(dynsec, [user], topics, by=by, now=now)
            enrolled.append(admin)
        yield user
    finally:
        for admin in enrolled:
            with suppress(TransientError), connect_dynsec(admin) as dynsec:
                revoke(dynsec, user.name, topics, by=by, now=now)


def fail_back(
    proxies: Sequence[Proxy],
    admins: dict[str, BrokerEndpoint],
    to: str,
    topics: Topics,
    *,
    by: str,
    now: datetime,
    emit: Callable[[str], None],
) -> None:
    """Give the clients to the broker `to`.

    1. Make its retained state that of the broker in use, while the clients go on.
    2. Disconnect the clients; HAProxy accepts none. Compare again, now that nothing changes.
    3. Take the broker in use out of service, accept clients, and wait until one is connected to `to`.
    4. Put the other one back into service, as the standby.

    admins   the brokers as their admin, by their names in HAProxy, at their own addresses
    """
    used = _broker_in_use(proxies, admins, to)
    with temporary_user(list(admins.values()), topics, by, now) as user:
        source, target = (admins[name].as_user(user.name, user.password or "") for name in (used, to))
        emit(f"{copy_state(source, target, topics)} topics differed on {to}, with the clients on {used}")
        began = time.monotonic()
        with _without_clients(proxies, used):
            require_no_difference(source, target, topics)
            for proxy in proxies:
                proxy.execute(f"set server {BROKERS}/{used} state maint")
    emit(f"no client was connected for {time.monotonic() - began:.1f} s")
    try:
        _wait_until_used(proxies, to)
    finally:
        for proxy in proxies:
            proxy.execute(f"set server {BROKERS}/{used} state ready")
    emit(f"{to} has the clients, {used} is the standby")


def _broker_in_use(proxies: Sequence[Proxy], admins: dict[str, BrokerEndpoint], to: str) -> str:
    for proxy in proxies:
        states, used = proxy.states(), proxy.used()
        if states.keys() != admins.keys():
            raise PermanentError(f"HAProxy has the brokers {', '.join(states)}; give the address of each, and no other")
        if to not in states:
            raise PermanentError(f"HAProxy has no broker {to[:60]!r}; it has {', '.join(states)}")
        if used == to:
            raise PermanentError(f"{to} has the clients already; there is nothing to do")
        if used is None:
            raise TransientError("no client has connected to HAProxy since its start, so no broker is in use")
        if not states[to]:
            raise TransientError(f"HAProxy does not reach {to}; start it, and wait until its check succeeds")
    if len(found := {proxy.used() for proxy in proxies}) != 1:
        raise PermanentError(f"the HAProxies differ in the broker in use: {found}; see `peers` in docs/broker-pair.md")
    return str(found.pop())


@contextmanager
def _without_clients(proxies: Sequence[Proxy], used: str) -> Iterator[None]:
    listeners = {proxy: proxy.listeners() for proxy in proxies}
    try:
        for proxy, names in listeners.items():
            for name in names:
                proxy.execute(f"disable frontend {name}")
            for name in names:
                proxy.ask(f"shutdown sessions server {name}/{used}")
        yield
    finally:
        for proxy, names in listeners.items():
            for name in names:
                with suppress(TransientError):
                    proxy.ask(f"enable frontend {name}")


def _wait_until_used(proxies: Sequence[Proxy], to: str) -> None:
    deadline = time.monotonic() + SWITCH_S
    while any(proxy.used() != to for proxy in proxies):
        if time.monotonic() > deadline:
            raise TransientError(f"no client has connected to {to} within {SWITCH_S:g} s; does its check succeed?")
        time.sleep(POLL_S)
