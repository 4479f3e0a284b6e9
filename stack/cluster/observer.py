"""Ask every process of a cluster what it is: Patroni, PostgreSQL, etcd, HAProxy, the brokers and the services."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import psycopg

from identity.policy import mirrored_filters
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from mqtt.tls import read_server_expiry
from sql.deadline import deadline
from stack.binaries import ServerBinaries
from stack.cluster import conditions
from stack.cluster.observation import BrokerSeen, ClusterSeen, DatabaseSeen, ServiceSeen
from stack.cluster.plan import FULL_HOSTS, HOSTS, ClusterPorts, HostPorts, mirror_user
from stack.cluster.servers import proxy
from stack.metrics import counters
from stack.plan import addresses, broker_url
from stack.stack_dir import Secrets, StackDir
from vitals.errors import TransientError, VitalFlowError
from vitals.topics import Topics

TIMEOUT_S = 2.0
BETWEEN_S = 3.0
"""Between the two looks at the standby's lag and at the retained messages."""
RETAINED_TIMEOUT_S = 1.5


def observe(
    home: StackDir, binaries: ServerBinaries, ports: ClusterPorts, secrets: Secrets, topics: Topics
) -> ClusterSeen:
    """Return what a cluster is now; takes a few seconds; about 20 if a host is cut off."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        databases = pool.map(partial(_database, home, ports, secrets), FULL_HOSTS)
        in_use = pool.submit(_broker_in_use, home, binaries)
        brokers = pool.map(look := partial(_broker, home, ports, secrets, topics), FULL_HOSTS)
        etcd = dict(zip(HOSTS, pool.map(lambda host: _has_majority(ports.of(host).etcd), HOSTS), strict=True))
        names = [(host, name) for name in ("ingest", "alerts", "station") for host in FULL_HOSTS]
        services = pool.map(lambda one: _service(ports.of(one[0]), *one), names)
        found = list(databases)
        # A host that is cut off from the others repeats what it saw last, so the primary is asked first.
        order = sorted(FULL_HOSTS, key=[one.host for one in found if one.role == "primary"].count, reverse=True)
        lags = _lags(ports, order)
        time.sleep(BETWEEN_S)
        later, first_look = _lags(ports, order), list(brokers)
        return ClusterSeen(
            conditions.of_hosts(conditions.read(home.folder, conditions.PRESENT)),
            tuple(host for host, majority in etcd.items() if majority is not None),
            tuple(_with_member(one, later.get(one.host), lags.get(one.host)) for one in found),
            tuple(
                replace(one, in_use=one.host == in_use.result(), retained_before=before.retained)
                for before, one in zip(
                    first_look,
                    # One that did not answer is not waited for again.
                    pool.map(lambda one: look(one.host) if one.problem is None else one, first_look),
                    strict=True,
                )
            ),
            tuple(services),
            alone=tuple(host for host, majority in etcd.items() if majority is False),
        )


def _get(url: str) -> tuple[Any, float | None]:
    """Return the JSON of a page and how far its server's clock is ahead; raises OSError."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:
            body, date = page.read(), page.headers.get("Date")
    except urllib.error.HTTPError as error:  # Patroni's answer of a database that does not run
        body, date = error.read(), error.headers.get("Date")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    # The header has whole seconds: half of one is added.
    ahead = None if date is None else parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    try:
        return json.loads(body), ahead
    except ValueError:
        raise OSError("the answer is not JSON") from None


def _lags(ports: ClusterPorts, hosts: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the members by name as the first Patroni that answers lists them."""
    for host in hosts:
        try:
            answer, _ = _get(f"http://127.0.0.1:{ports.of(host).patroni}/cluster")
        except OSError:
            continue
        return {member["name"]: member for member in answer.get("members", ())}
    return {}


def _with_member(
    seen: DatabaseSeen, member: Mapping[str, Any] | None, before: Mapping[str, Any] | None
) -> DatabaseSeen:
    if seen.role is None or member is None:
        return seen
    role = "primary" if member.get("role") == "leader" else str(member.get("role"))
    if seen.role == "primary":
        role = "primary"
    lag, lag_before = member.get("lag"), (before or {}).get("lag")
    return replace(
        seen,
        role=role,
        state=str(member.get("state", "")),
        lag=lag if isinstance(lag, int) else None,
        lag_before=lag_before if isinstance(lag_before, int) else None,
    )


def _database(home: StackDir, ports: ClusterPorts, secrets: Secrets, host: str) -> DatabaseSeen:
    own = ports.of(host)
    seen = DatabaseSeen(host, is_primary=_is_primary(home, own, secrets))
    try:
        answer, ahead = _get(f"http://127.0.0.1:{own.patroni}/patroni")
    except OSError:
        return seen
    return replace(
        seen,
        role=answer.get("role"),
        state=answer.get("state", ""),
        timeline=answer.get("timeline"),
        clock_ahead_s=ahead,
    )


def _is_primary(home: StackDir, own: HostPorts, secrets: Secrets) -> bool | None:
    url = addresses(own, secrets, home)["VITALFLOW_READER_URL"].replace(f":{own.database}/", f":{own.own_database}/")
    try:
        with psycopg.connect(url, connect_timeout=2, autocommit=True) as connection, deadline(connection, TIMEOUT_S):
            row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
    except psycopg.Error:
        return None
    return bool(row and row[0])


def _has_majority(port: int) -> bool | None:
    """Return whether an etcd belongs to a majority; None if it does not answer."""
    try:
        answer, _ = _get(f"http://127.0.0.1:{port}/health")
    except OSError:
        return None
    return bool(answer.get("health") == "true")


def _broker_in_use(home: StackDir, binaries: ServerBinaries) -> str | None:
    """Return the host whose broker has the clients; None if HAProxy does not answer, or reaches no broker."""
    try:
        haproxy = proxy(home, binaries)
        used = haproxy.used()
        return used if used is not None and haproxy.states().get(used) else None
    except VitalFlowError:
        return None


def broker_of(home: StackDir, ports: ClusterPorts, secrets: Secrets, host: str, user: str) -> BrokerEndpoint:
    """Return the broker of a host without HAProxy, as a user."""
    common = BrokerEndpoint.parse(broker_url(ports, secrets, user))
    return replace(common, port=ports.of(host).own_broker, ca=home.identity / "ca.crt")


def _broker(home: StackDir, ports: ClusterPorts, secrets: Secrets, topics: Topics, host: str) -> BrokerSeen:
    own = ports.of(host)
    ends = read_server_expiry("127.0.0.1", own.own_broker)
    endpoint = broker_of(home, ports, secrets, host, mirror_user(host))
    filters = [(name, 1) for name in mirrored_filters(topics)]
    retained: dict[str, bytes] = {}
    try:
        with connect_once(endpoint, filters) as client:
            if client.next(TIMEOUT_S) is None:
                return BrokerSeen(host, "it does not answer", ends)
            until = time.monotonic() + RETAINED_TIMEOUT_S
            while (message := client.next(max(0.0, until - time.monotonic()))) is not None:
                if message.retained:
                    retained[message.topic] = message.payload
    except TransientError as error:
        return BrokerSeen(host, str(error), ends)
    return BrokerSeen(host, None, ends, retained={topic: payload for topic, payload in retained.items() if payload})


def _service(own: HostPorts, host: str, name: str) -> ServiceSeen:
    port: int = getattr(own, name)
    try:
        values = counters(port)
    except (OSError, http.client.HTTPException):
        return ServiceSeen(host, name, "down")
    if values.get(f"vitalflow_{name}_standby", 0.0) > 0:
        return ServiceSeen(host, name, "standby")
    if values.get(f"vitalflow_{name}_mqtt_connected", 0.0) == 0:
        return ServiceSeen(host, name, "disconnected")
    epoch = values.get(f"vitalflow_{name}_epoch_timestamp_seconds")
    return ServiceSeen(host, name, "active", datetime.fromtimestamp(epoch, UTC) if epoch else None)
