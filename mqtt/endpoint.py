"""Addresses of the broker and credentials there, from `mqtt.settings`; every MQTT client connects with them.

Several brokers stand in for each other: a client is connected to one of them, which `mqtt.failover` chooses.
`configure_client` applies them to a paho client, `mqtt.async_client` to an aiomqtt client.
"""

import base64
import hashlib
import hmac
import re
import socket
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import unquote

from mqtt import tls
from vitals.errors import TransientError
from vitals.urls import split_url

if TYPE_CHECKING:  # programs that only read settings need no paho
    import paho.mqtt.client as mqtt

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
EXPECTED_URL = (
    "expected mqtts://USER:PASSWORD@HOST:PORT, or mqtt:// without TLS; wss:// and ws:// with MQTT over WebSockets"
)
WEBSOCKETS_PATH = "/mqtt"  # what a client requests by convention; Mosquitto accepts every path
DIGEST_CHARS = 16  # of 5 bits each
MAX_BROKERS = 8
_SEPARATOR = re.compile(r",(?=\s*(?:$|,|[A-Za-z]+://))")  # a password may contain a comma


class Address(NamedTuple):
    """Where a broker listens; `websockets` as in `BrokerEndpoint`."""

    host: str
    port: int
    websockets: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerEndpoint:
    """A broker, or several that stand in for each other, and a user there.

    tls                whether the connection is encrypted
    websockets         path for MQTT over WebSockets; None: plain MQTT
    ca                 certificate of the CA that signed the broker's; None: the CAs that the system trusts
    certificate, key   client certificate, for a login without a password
    others             further brokers, with the same user, in the order in which they are tried
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    websockets: str | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    others: tuple[Address, ...] = ()

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL like mqtts://user:password@host:8883; raises ValueError that says what was expected."""
        if "," in url and len(_SEPARATOR.split(url)) > 1:
            raise ValueError("only one broker is possible here")
        parts = split_url(url)
        websockets = parts.scheme in ("ws", "wss")
        has_path = parts.path not in ("", "/") and not websockets
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or has_path:
            raise ValueError(EXPECTED_URL)
        if "," in parts.hostname:
            raise ValueError("each broker of a list needs a URL of its own: mqtts://HOST1:PORT,mqtts://HOST2:PORT")
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(
            parts.hostname,
            parts.port or DEFAULT_PORTS[parts.scheme],
            user,
            password,
            tls=parts.scheme in ("mqtts", "wss"),
            websockets=(parts.path.rstrip("/") or WEBSOCKETS_PATH) if websockets else None,
        )

    @classmethod
    def parse_list(cls, urls: str) -> Self:
        """Parse URLs with commas between them; user and password of the first one are those of all.

        Raises ValueError that says what was expected.
        """
        items = [url.strip() for url in _SEPARATOR.split(urls)]
        if "" in items:
            raise ValueError("the list of brokers has an empty item; remove a comma")
        if len(items) > MAX_BROKERS:
            raise ValueError(f"the list has {len(items)} brokers; at most {MAX_BROKERS} are possible")
        first, *others = [cls.parse(url) for url in items]
        if any(other.tls != first.tls or other.transport != first.transport for other in others):
            raise ValueError("the brokers of a list need the same scheme; write mqtts:// for all of them")
        if any((other.username or other.password) and other.login != first.login for other in others):
            raise ValueError("the brokers of a list have one login; write user and password in the first URL only")
        addresses = [(item.host, item.port) for item in (first, *others)]
        if len(set(addresses)) < len(addresses):
            raise ValueError("the list names a broker twice; name each once")
        return replace(first, others=tuple(Address(item.host, item.port, item.websockets) for item in others))

    def __str__(self) -> str:
        """Return the URL without the password; of several brokers the URLs with commas between them."""
        if self.others:
            return ",".join(map(str, self.candidates))
        user = f"{self.username}@" if self.username else ""
        scheme = "mqtt" if self.websockets is None else "ws"
        return f"{scheme}{'s' if self.tls else ''}://{user}{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """Host and port of the first broker."""
        return f"{self.host}:{self.port}"

    @property
    def login(self) -> tuple[str | None, str | None]:
        """User and password."""
        return self.username, self.password

    @property
    def candidates(self) -> "tuple[Self, ...]":
        """Each broker alone, in the order in which they are tried."""
        if not self.others:
            return (self,)
        return (
            replace(self, others=()),
            *(replace(self, host=host, port=port, websockets=path, others=()) for host, port, path in self.others),
        )

    @property
    def transport(self) -> Literal["tcp", "websockets"]:
        """The transport in the words of paho and aiomqtt."""
        return "tcp" if self.websockets is None else "websockets"

    def as_user(self, name: str, password: str) -> Self:
        """Return the same endpoint for another user."""
        return replace(self, username=name, password=password)

    def client_id(self, name: str) -> str:
        """Return the MQTT client id for `name`: the name and a digest of the password or key, if there is one.

        MQTT gives a session to any user who connects with its client id, and Mosquitto has no setting against that. So
        the client id must be secret.
        """
        return session_id(name, self._secret())

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, None without TLS; raises PermanentError that names a wrong file."""
        return tls.client_context(self.ca, self.certificate, self.key) if self.tls else None

    def _secret(self) -> bytes | None:
        if self.password:
            return self.password.encode()
        return None if self.key is None else tls.read_private_key(self.key)


def session_id(name: str, secret: bytes | None) -> str:
    """Return `name` and 80 bits derived from `secret`."""
    if secret is None:
        return name
    digest = hmac.digest(secret, b"client id of " + name.encode(), hashlib.sha256)
    return f"{name}.{base64.b32encode(digest).decode().lower()[:DIGEST_CHARS]}"


def send_at_once(sock: Any) -> None:
    """Let a connection, also one within TLS or WebSockets, send each packet at once.

    Otherwise a reading or an alert waits for the TCP acknowledgement of the packet before it (RFC 896), and a broker
    that has nothing to answer delays that by 40 ms (RFC 1122, 4.2.3.2).
    """
    with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def configure_client(client: "mqtt.Client", broker: BrokerEndpoint) -> None:
    """Set login, TLS and path of a paho client made with `transport`; raises PermanentError that names a wrong file."""
    client.on_socket_open = lambda _client, _userdata, sock: send_at_once(sock)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    context = broker.context()
    if context is not None:
        client.tls_set_context(context)
    if broker.websockets is not None:
        client.ws_set_options(broker.websockets)


def paho_client(broker: BrokerEndpoint, **options: Any) -> "mqtt.Client":
    """Return a paho client with transport, login and TLS of a broker; `options`: of its class."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, transport=broker.transport, **options)
    configure_client(client, broker)
    return client


def connect_client(client: "mqtt.Client", broker: BrokerEndpoint, **options: Any) -> None:
    """Open the connection of a paho client; `options`: of its `connect`. Raises TransientError that says why not."""
    try:
        client.connect(broker.host, broker.port, **options)
    except (OSError, ValueError) as error:
        raise TransientError(tls.describe_tls_error(error, broker.host, broker.port, broker.ca)) from None
