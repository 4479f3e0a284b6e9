"""The sections of haproxy.cfg for a pair of brokers. Pure.

HAProxy passes the encrypted bytes on, to one broker at a time, and remembers which in a stick table. A broker that
returns does not get the clients back by itself: its state is old until it has been compared
(`vitalflow identity failback`). The mirror of each broker (`identity.bridge.mirror_section`) passes through HAProxy
too, which accepts it only while the broker that it reads is the one with the clients. So an old broker that returns, or
that stood still, cannot overwrite newer state, and two mirrors never form a loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mqtt.packets import string_field

CHECK_INTERVAL_S, CHECK_FAILURES = 1, 3
"""A frozen broker is left after about 4 s. It still accepts TCP connections, so the check speaks MQTT."""
IDLE_S = 200  # a client may be silent for max_keepalive of mosquitto.conf (120 s), 1.5 times
KEY = "int(1)"  # the only key of the table
BROKERS = "brokers"


@dataclass(frozen=True, slots=True)
class Listener:
    """A port for clients. `servers`: HOST:PORT of each broker by its name, the preferred one first."""

    name: str
    bind: str
    servers: Mapping[str, str]


def broker_sections(
    listeners: Sequence[Listener],
    mirrors: Mapping[str, str],
    *,
    ca_file: str,
    host_name: str,
    login: tuple[str, str],
    peers: str | None = None,
) -> str:
    """Return the sections of a pair of brokers.

    listeners   the first one is checked, over TLS; the others follow its servers
    mirrors     where the mirror connects that reads this broker, by the broker's name
    ca_file     the CA of the brokers' certificates, which are for `host_name`
    login       user and password of the check: a broker that has lost its users is not in use
    peers       the section by which several HAProxies agree on the broker; without one the table is lost at a restart
    """
    checked, *others = listeners
    # Each connection that is being made takes an entry for a moment, and in a full table the one that counts stays.
    table = f"stick-table type integer size 10k nopurge{f' peers {peers}' if peers else ''}"
    tls = f"check check-ssl verify required ca-file {ca_file} verifyhost {host_name}"
    lines = [
        *_begin(BROKERS, checked.bind),
        table,
        f"stick on {KEY}",
        "option tcp-check",
        "tcp-check connect ssl",
        f"tcp-check send-binary {connect_packet(login).hex()}",
        "tcp-check expect rbinary ^20020000",
        "tcp-check send-binary e000",
        f"default-server inter {CHECK_INTERVAL_S}s fall {CHECK_FAILURES} rise 2 on-marked-down shutdown-sessions {tls}",
        *_servers(checked.servers, ""),
    ]
    for listener in others:
        lines += _begin(f"{BROKERS}-{listener.name}", listener.bind)
        lines.append(f"stick on {KEY} table {BROKERS}")
        lines += _servers(listener.servers, f" track {BROKERS}/{{name}} on-marked-down shutdown-sessions")
    for number, name in enumerate(checked.servers, 1):
        lines += _begin(mirror_name(name), mirrors[name])
        lines.append(f"tcp-request connection reject unless {{ {KEY},table_server_id({BROKERS}) eq {number} }}")
        follow = f"track {BROKERS}/{name} on-marked-down shutdown-sessions"
        lines.append(f"server {name} {checked.servers[name]} id {number} {follow}")
    return "\n".join(line if line.startswith(("listen", "\n")) else f"    {line}" for line in lines) + "\n"


def mirror_name(broker: str) -> str:
    """Return the name of the section for the mirror that reads this broker."""
    return f"mirror-of-{broker}"


def connect_packet(login: tuple[str, str]) -> bytes:
    """Return a CONNECT of MQTT 3.1.1 with a clean session, for the check; the broker chooses the client id."""
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c"
    body += b"".join(map(string_field, (b"", *map(str.encode, login))))
    if len(body) > 127:
        raise ValueError(f"the check's CONNECT has {len(body)} bytes; at most 127 are sent")
    return b"\x10" + bytes([len(body)]) + body


def _begin(name: str, bind: str) -> list[str]:
    return [
        f"\nlisten {name}",
        f"bind {bind}",
        "mode tcp",
        "timeout connect 3s",
        "retries 1",
        "timeout check 3s",
        f"timeout client {IDLE_S}s",
        f"timeout server {IDLE_S}s",
    ]


def _servers(servers: Mapping[str, str], options: str) -> list[str]:
    return [
        f"server {name} {address} id {number}{options.format(name=name)}{' backup' if number > 1 else ''}"
        for number, (name, address) in enumerate(servers.items(), 1)
    ]
