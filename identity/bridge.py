"""Sections of mosquitto.conf by which one broker is the client of another one. Pure.

A bridge is Mosquitto's own client. It opens the connection, keeps it, and logs in at the other broker as a user of the
kinds MIRROR and WARD_BRIDGE of `identity.policy`. Nothing may be published on both sides of a bridge: without an origin
in the message it would go round for ever. So each topic has one direction.
"""

from dataclasses import dataclass

from identity.policy import mirrored_filters, ward_bridge_filters
from mqtt.endpoint import session_id
from vitals.errors import PermanentError
from vitals.topics import Topics

BRIDGE_FILE = "bridge.conf"
CA_FILE = "/mosquitto/identity/ca.crt"
"""Of the broker that opens the connection; `stack.servers` and the documentation replace its folder."""
KEEPALIVE_S = 10
RESTART_S = (1, 5)  # first and maximum pause between two attempts to connect


@dataclass(frozen=True, slots=True)
class BridgeLogin:
    """Where a bridge connects, and its user there."""

    name: str
    host: str
    port: int
    password: str

    def __post_init__(self) -> None:
        # A line of mosquitto.conf ends at the line end; a space would end a setting or begin a second address.
        for what, text in (("name", self.name), ("host", self.host), ("password", self.password)):
            if not text or not text.isprintable() or " " in text:
                raise PermanentError(
                    f"the {what} of a bridge is {text[:60]!a}; expected printable characters, no space"
                )


def mirror_section(login: BridgeLogin, topics: Topics) -> str:
    """Return the bridge of a pair: reads the retained state of the broker that has the clients.

    The broker that is behind opens it, so that the one in use needs no configuration and waits for nothing. Each
    connection begins with all retained messages, so no session is kept: what was queued would be older.
    """
    return _section(login, [f"topic {name} in 1" for name in mirrored_filters(topics)], clean=True)


def ward_section(login: BridgeLogin, ward: str, topics: Topics) -> str:
    """Return the bridge of a ward's broker: sends readings and alerts to the centre, receives receipts and commands.

    Both brokers keep its session, with what was not acknowledged, on disk. Commands are of QoS 0: none waits at the
    centre while the ward is unreachable, to silence an alert hours later.
    """
    up, down, commands = ward_bridge_filters(ward, login.name, topics)
    ways = [
        *((name, "out 1") for name in up),
        *((name, "in 1") for name in down),
        *((name, "in 0") for name in commands),
    ]
    return _section(login, [f"topic {_checked(name)} {way}" for name, way in ways], clean=False)


def _checked(topic: str) -> str:
    if " " in topic or not topic.isprintable():
        raise PermanentError(f"the topic {topic[:60]!a} has a space; Mosquitto's bridges take wards without one")
    return topic


def _section(login: BridgeLogin, topic_lines: list[str], *, clean: bool) -> str:
    lines = [
        f"connection {login.name}",
        f"address {login.host}:{login.port}",
        # MQTT 5 keeps the expiry of cleared alerts.
        "bridge_protocol_version mqttv50",
        f"bridge_cafile {CA_FILE}",
        f"remote_username {login.name}",
        f"remote_password {login.password}",
        f"remote_clientid {session_id(login.name, login.password.encode())}",
        f"cleansession {str(clean).lower()}",
        "start_type automatic",
        f"restart_timeout {RESTART_S[0]} {RESTART_S[1]}",
        f"keepalive_interval {KEEPALIVE_S}",
        # The state is below $SYS/broker/connection/ of this broker; at the other one the user may not write it.
        "notifications_local_only true",
        "bridge_attempt_unsubscribe false",
        *topic_lines,
    ]
    return "\n".join(["", "# --- bridge: contains a password; readable to the broker's user only", *lines, ""])
