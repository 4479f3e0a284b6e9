"""Parse the lines of Mosquitto's log about logins and subscriptions, as it publishes them below `$SYS`. Pure.

The formats are those of Mosquitto 2.0.21. Names of users and clients come from clients and may hold any text, so a line
is matched from both ends: what a client id imitates stays a part of the client id.
"""

import re
from dataclasses import dataclass

LOG_TOPICS = ("$SYS/broker/log/N", "$SYS/broker/log/M/subscribe")
"""Topics of the lines that `parse_broker_log` knows: notices and granted subscriptions.

Nothing may subscribe to the errors, `$SYS/broker/log/E`: Mosquitto 2.0.21 logs a failed write to a TLS client as an
error, publishes that to the same client, which fails and is logged again, until its stack overflows. A subscriber that
was killed ended the broker so (SIGSEGV, 2,493 lines "Broken pipe").
"""

_TIME = re.compile(r"^\d+: ")
_CONNECTED = re.compile(r"New client connected from (\S+):\d+ as (.*) \(p(\d), c\d, k\d+, u'(.*)'\)\.")
_NEW = re.compile(r"New connection from (\S+):\d+ on port \d+\.")
_FAILED = re.compile(r"Client connection from (\S+) failed: error:[^:]*:[^:]*:[^:]*:(.*)\.")
_NO_LOGIN = re.compile(r"Client <unknown> disconnected: Protocol error\.")
NO_LOGIN = "protocol error before the login"
"""Reason of a connection that ended in the last step of TLS, or that sent no MQTT: the log does not say which."""
_REFUSED = re.compile(r"Client (.*) disconnected, not authorised\.")
_ENDED = re.compile(r"Client (.*?) (closed its connection|disconnected|has exceeded timeout|been disconnected)\b.*")
_SUBSCRIBED = re.compile(r"(.*) ([012]) (\S.*)")
PROTOCOLS = {3: "MQTT 3.1", 2: "MQTT 3.1.1", 4: "MQTT 3.1.1", 5: "MQTT 5"}  # Mosquitto writes 2 for 3.1.1


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted a login."""

    client_id: str
    user: str
    address: str
    protocol: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The broker refused a login. Its log names neither the user nor the reason nor the address."""

    client_id: str


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A client opened a TCP connection; over TLS 1.3 the broker may still refuse its certificate."""

    address: str


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """A connection failed before its login. `address` is empty where the broker's log does not name it."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection ended; `reason` is empty for a DISCONNECT."""

    client_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker granted a subscription. It logs no refused one."""

    client_id: str
    topic_filter: str


BrokerEvent = Connected | LoginRefused | NewConnection | ConnectionFailed | Ended | Subscribed


def parse_broker_log(topic: str, line: str) -> BrokerEvent | None:
    """Return the event that a line of the broker's log records; None for every other line."""
    text = _TIME.sub("", line)
    if topic.endswith("/subscribe"):
        found = _SUBSCRIBED.fullmatch(text)
        return Subscribed(found[1], found[3]) if found else None
    if found := _CONNECTED.fullmatch(text):
        return Connected(found[2], found[4], found[1], PROTOCOLS.get(int(found[3]), f"MQTT protocol {found[3]}"))
    if found := _NEW.fullmatch(text):
        return NewConnection(found[1])
    if found := _FAILED.fullmatch(text):
        return ConnectionFailed(found[1], found[2])
    if _NO_LOGIN.fullmatch(text):
        return ConnectionFailed("", NO_LOGIN)
    if found := _REFUSED.fullmatch(text):
        return LoginRefused(found[1])
    if found := _ENDED.fullmatch(text):
        reason = text.removeprefix(f"Client {found[1]} ").rstrip(".")
        return Ended(found[1], "" if reason == "disconnected" else reason)
    return None
