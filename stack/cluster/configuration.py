"""Configuration of Patroni, etcd and HAProxy: text out. Reads and starts nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from identity.haproxy import Listener, broker_sections
from stack.cluster.plan import FULL_HOSTS, ClusterPorts
from stack.servers import OWNER, SETTINGS

SCOPE = "vitalflow"
REPLICATOR = "replicator"
PATRONI_USER = "patroni"
"""The user that may switch over and restart by Patroni's REST API."""

TTL_S, LOOP_WAIT_S, RETRY_TIMEOUT_S = 20, 2, 5
"""A dead primary is replaced after TTL_S at most: 19 s with a host killed. Patroni's defaults, 30/10/10, took 28 s."""
# The smallest that Patroni allows is TTL_S >= LOOP_WAIT_S + 2 * RETRY_TIMEOUT_S.
STANDBY_TIMEOUT_S = 5
"""The primary leaves a standby that does not answer for that time, and Patroni lets it commit alone at its next look.

With PostgreSQL's 60 s, commits wait for a frozen standby until Patroni's key of it ends: 22 s.
"""
PRIMARY_STOP_S = 8
"""A primary that is cut off from etcd and still runs then is killed, before the standby is promoted at TTL_S.

PostgreSQL may not stop by itself: a session that ends drops its temporary tables, and the commit of that waits for the
standby without a limit.
"""

FOR_ALL_HOSTS = ("max_connections", "max_worker_processes", "max_locks_per_transaction")
"""Settings that must be equal on all hosts; Patroni takes them from etcd only."""
ADMIN_SOCKET = "admin.sock"
CHECK_INTERVAL_S, CHECK_FAILURES = 1, 3
"""HAProxy leaves a server after three failed checks, about 4 s after it froze."""


@dataclass(frozen=True, slots=True)
class DatabaseHost:
    """One PostgreSQL under Patroni.

    folder   as the programs see it; holds the data, server.crt, server.key and ca.crt
    """

    name: str
    folder: str
    database_port: int
    patroni_port: int


@dataclass(frozen=True, slots=True)
class Passwords:
    """Of the owner of the database, of replication, and of Patroni's REST API."""

    owner: str
    replication: str
    patroni: str


def patroni(host: DatabaseHost, etcd_ports: Sequence[int], binaries: str, passwords: Passwords) -> str:
    """Return the configuration of Patroni on a host, as JSON, which YAML includes.

    binaries   the folder of initdb and postgres

    A commit waits for the standby (synchronous_mode), and only a standby that has all commits becomes the primary. If
    no standby is left, the primary goes on alone, which ingest logs.
    """
    folder = host.folder
    tls = {"sslmode": "verify-full", "sslrootcert": f"{folder}/ca.crt"}
    own = SETTINGS | {"ssl": "on", "ssl_cert_file": f"{folder}/server.crt", "ssl_key_file": f"{folder}/server.key"}
    configuration: dict[str, Any] = {
        "scope": SCOPE,
        "name": host.name,
        "restapi": {
            "listen": f"127.0.0.1:{host.patroni_port}",
            "connect_address": f"127.0.0.1:{host.patroni_port}",
            "authentication": {"username": PATRONI_USER, "password": passwords.patroni},
        },
        "etcd3": {"hosts": [f"127.0.0.1:{port}" for port in etcd_ports]},
        "bootstrap": {
            "dcs": {
                "ttl": TTL_S,
                "loop_wait": LOOP_WAIT_S,
                "retry_timeout": RETRY_TIMEOUT_S,
                "maximum_lag_on_failover": 1_048_576,
                "synchronous_mode": True,
                "primary_stop_timeout": PRIMARY_STOP_S,
                "postgresql": {
                    "use_pg_rewind": True,
                    "use_slots": True,
                    "parameters": {name: own[name] for name in FOR_ALL_HOSTS},
                },
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{host.database_port}",
            "connect_address": f"127.0.0.1:{host.database_port}",
            "data_dir": f"{folder}/cluster",
            "bin_dir": binaries,
            "pgpass": f"{folder}/pgpass",
            "basebackup": [{"checkpoint": "fast"}],  # a copy begins at once, not with the next checkpoint
            "authentication": {
                "superuser": {"username": OWNER, "password": passwords.owner, **tls},
                "replication": {"username": REPLICATOR, "password": passwords.replication, **tls},
            },
            "parameters": {
                **{name: value for name, value in own.items() if name not in FOR_ALL_HOSTS},
                "wal_sender_timeout": f"{STANDBY_TIMEOUT_S}s",
            },
            # A client without encryption matches no line, so it is rejected before it can send a password.
            "pg_hba": [
                # samenet: 127.0.0.1, and the links of `networks`.
                "hostssl all all samenet scram-sha-256",
                f"hostssl replication {REPLICATOR} samenet scram-sha-256",
            ],
        },
    }
    return json.dumps(configuration, indent=2) + "\n"


def etcd(name: str, folder: str, port: int, peer_port: int, peers: Mapping[str, int]) -> list[str]:
    """Return the arguments of etcd on a host; `peers` are the ports for peers of all hosts, by name.

    A leader is elected after 2 s without a heartbeat instead of 1 s: on a laptop all hosts share one disk.
    """
    cluster = ",".join(f"{peer}=http://127.0.0.1:{peer_port}" for peer, peer_port in peers.items())
    client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    options = {
        "name": name,
        "data-dir": folder,
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": cluster,
        "initial-cluster-token": SCOPE,
        "initial-cluster-state": "new",
        "heartbeat-interval": "200",
        "election-timeout": "2000",
    }
    return [f"--{option}={value}" for option, value in options.items()]


def haproxy(ports: ClusterPorts, hosts: Sequence[DatabaseHost], folder: str, check_login: tuple[str, str]) -> str:
    """Return the configuration of HAProxy: the address of the broker in use, and that of the primary.

    folder        as HAProxy sees it, with ca.crt
    check_login   user and password of the check of the brokers

    Both pass TLS through. The primary is the server whose Patroni says so; its clients are cut off once it is not.
    """
    brokers = [
        Listener("passwords", f"127.0.0.1:{ports.broker}", {h: _local(ports.of(h).own_broker) for h in FULL_HOSTS}),
        Listener(
            "certificates",
            f"127.0.0.1:{ports.certificates}",
            {h: _local(ports.of(h).own_certificates) for h in FULL_HOSTS},
        ),
    ]
    mirrors = {host: _local(ports.mirrored(host)) for host in FULL_HOSTS}
    lines = [
        "global",
        "    maxconn 8000",
        f"    stats socket {folder}/{ADMIN_SOCKET} mode 600 level admin",
        "listen database",
        f"    bind 127.0.0.1:{ports.database}",
        "    mode tcp",
        "    timeout connect 3s",
        "    timeout check 2s",
        "    timeout client 1h",
        "    timeout server 1h",
        # The session of a client that is cut off would keep its locks.
        *("    option clitcpka", "    clitcpka-idle 5s", "    clitcpka-intvl 3s", "    clitcpka-cnt 3"),
        "    option httpchk OPTIONS /primary",
        "    http-check expect status 200",
        f"    default-server inter {CHECK_INTERVAL_S}s fall {CHECK_FAILURES} rise 1 on-marked-down shutdown-sessions",
        *(f"    server {h.name} 127.0.0.1:{h.database_port} check port {h.patroni_port}" for h in hosts),
        "",
    ]
    pair = broker_sections(brokers, mirrors, ca_file=f"{folder}/ca.crt", host_name="localhost", login=check_login)
    return "\n".join(lines) + pair


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
