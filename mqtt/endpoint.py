"""Address of the broker and credentials there, from `mqtt.settings`; every MQTT client connects with them.

`configure_client` applies them to a paho client, `mqtt.async_client` to an aiomqtt client.
"""

import base64
import hashlib
import hmac
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import unquote

from mqtt import tls
from vitals.urls import split_url

if TYPE_CHECKING:  # programs that only read settings need no paho
    import paho.mqtt.client as mqtt

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
EXPECTED_URL = (
    "expected mqtts://USER:PASSWORD@HOST:PORT, or mqtt:// without TLS; wss:// and ws:// with MQTT over WebSockets"
)
WEBSOCKETS_PATH = "/mqtt"  # what a client requests by convention; Mosquitto accepts every path
DIGEST_CHARS = 16  # of 5 bits each


@dataclass(frozen=True, slots=True)
class BrokerEndpoint:
    """A broker and a user there.

    tls                whether the connection is encrypted
    websockets         path for MQTT over WebSockets; None: plain MQTT
    ca                 certificate of the CA that signed the broker's; None: the CAs that the system trusts
    certificate, key   client certificate, for a login without a password
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

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL like mqtts://user:password@host:8883; raises ValueError that says what was expected."""
        parts = split_url(url)
        websockets = parts.scheme in ("ws", "wss")
        has_path = parts.path not in ("", "/") and not websockets
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or has_path:
            raise ValueError(EXPECTED_URL)
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

    def __str__(self) -> str:
        """Return the URL without the password."""
        user = f"{self.username}@" if self.username else ""
        scheme = "mqtt" if self.websockets is None else "ws"
        return f"{scheme}{'s' if self.tls else ''}://{user}{self.host}:{self.port}"

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


def configure_client(client: "mqtt.Client", broker: BrokerEndpoint) -> None:
    """Set login, TLS and path of a paho client made with `transport`; raises PermanentError that names a wrong file."""
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    context = broker.context()
    if context is not None:
        client.tls_set_context(context)
    if broker.websockets is not None:
        client.ws_set_options(broker.websockets)
