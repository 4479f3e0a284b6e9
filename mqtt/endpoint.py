"""Where the broker is and who we are there: what every MQTT client of this project begins with.

`vitals.settings` reads it, `mqtt.tls` makes the encryption of it, and `configure_client` puts both into a paho client; a
device hands the same things to aiomqtt. There is no second way to the broker.
"""

import base64
import hashlib
import hmac
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

from mqtt import tls
from vitals.urls import split_url

if TYPE_CHECKING:  # what only reads settings does not load it
    import paho.mqtt.client as mqtt

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
EXPECTED_URL = "expected mqtts://USER:PASSWORD@HOST:PORT, or mqtt:// for a broker without encryption"
DIGEST = 16  # characters behind a client id, 5 bits each


@dataclass(frozen=True, slots=True)
class BrokerEndpoint:
    """A broker and a user of it.

    tls                whether the connection is encrypted
    ca                 the certificate that signed the broker's; None: those that the system trusts
    certificate, key   our own, where the broker knows us by that and not by a password
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL like mqtts://user:password@host:8883 apart; raises ValueError that says what was expected."""
        parts = split_url(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(EXPECTED_URL)
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(
            parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], user, password, tls=parts.scheme == "mqtts"
        )

    def __str__(self) -> str:
        """For people and logs: no password."""
        user = f"{self.username}@" if self.username else ""
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{self.host}:{self.port}"

    def as_user(self, name: str, password: str) -> Self:
        """The same broker, for somebody else."""
        return replace(self, username=name, password=password)

    def client_id(self, name: str) -> str:
        """The MQTT client id of `name` here, which nobody else can know.

        MQTT gives a session to whoever asks for it by its client id, whatever user that is, and Mosquitto has no
        setting against it. So the id of a session that matters has a part that follows from our own secret. Where
        there is no secret there is nothing to guard either, and the id is the name.
        """
        return session_id(name, self._secret())

    def context(self) -> ssl.SSLContext | None:
        """How the connection is encrypted; None where it is not. Raises PermanentError that names the file that is wrong."""
        return tls.client_context(self.ca, self.certificate, self.key) if self.tls else None

    def _secret(self) -> bytes | None:
        if self.password:
            return self.password.encode()
        return None if self.key is None else tls.read_private_key(self.key)


def session_id(name: str, secret: bytes | None) -> str:
    """`name`, and 80 bits that only the holder of `secret` can know."""
    if secret is None:
        return name
    digest = hmac.digest(secret, b"client id of " + name.encode(), hashlib.sha256)
    return f"{name}.{base64.b32encode(digest).decode().lower()[:DIGEST]}"


def configure_client(client: "mqtt.Client", broker: BrokerEndpoint) -> None:
    """Give a paho client our login and our encryption; raises PermanentError that names the file that is wrong."""
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    context = broker.context()
    if context is not None:
        client.tls_set_context(context)
