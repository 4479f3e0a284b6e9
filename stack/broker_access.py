"""Configuration, certificates and users of a local broker, installed in its folder.

`identity` decides their content. The folder may belong to another user and lie inside a private Debian.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from identity.authority import CertificateAuthority, Emit
from identity.broker_bootstrap import USERS_FILE, broker_certificates, update_users_file
from identity.policy import OFFLINE_SESSIONS_TOPIC, User
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from stack.binaries import CHECKOUT, ServerBinaries
from stack.lan import ANY, LOOPBACK
from vitals.errors import PermanentError, TransientError
from vitals.topics import Topics

MOSQUITTO = "mosquitto"  # the system user
SYS_TIMEOUT_S = 3.0  # for a message of the broker below $SYS
ACCESS_MARK = "# --- access"  # where this part of mosquitto.conf begins


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports of a broker on 127.0.0.1; None: no such listener.

    passwords, certificates   TLS, for clients with a password or with a certificate
    plain                     plaintext
    websockets                MQTT over WebSockets with TLS, for clients with a password
    anonymous                 the plaintext listener accepts every client, without access control
    address                   where those with TLS listen too, for other machines; 0.0.0.0: everywhere

    Raises PermanentError for an address of other machines and no TLS or no access control.
    """

    passwords: int | None
    certificates: int | None = None
    plain: int | None = None
    anonymous: bool = False
    websockets: int | None = None
    address: str = LOOPBACK

    def __post_init__(self) -> None:
        if self.address != LOOPBACK and (self.anonymous or self.passwords is None):
            raise PermanentError(
                f"the broker does not listen at {self.address} without TLS and passwords; only at {LOOPBACK}"
            )

    @property
    def encrypted_at(self) -> tuple[str, ...]:
        """The addresses of the listeners with TLS. The services of this machine always use 127.0.0.1."""
        return (ANY,) if self.address == ANY else tuple(dict.fromkeys((LOOPBACK, self.address)))

    @classmethod
    def open_to_all(cls, port: int) -> "Listeners":
        """Return one anonymous plaintext listener, for tests and measurements."""
        return cls(None, None, port, anonymous=True)


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Listeners, certificates and users of a broker.

    names   the broker's host names and addresses, for its certificate
    users   the built-in users and simulated devices; enrolled users are in the plugin's file already
    """

    listeners: Listeners
    authority: CertificateAuthority
    names: Sequence[str]
    users: Sequence[User]
    topics: Topics
    emit: Emit = lambda _: None

    def install(self, binaries: ServerBinaries, folder: Path, now: datetime) -> None:
        """Install certificates and users in the folder of a broker that is not running."""
        self.install_certificates(binaries, folder, now)
        wanted = update_users_file(binaries.read(folder / USERS_FILE, MOSQUITTO), self.users, self.topics)
        if wanted is not None:
            binaries.write(folder / USERS_FILE, wanted.decode(), MOSQUITTO)

    def install_certificates(self, binaries: ServerBinaries, folder: Path, now: datetime) -> bool:
        """Install certificates that are missing or were renewed; return whether there were any."""
        changed = False
        for name, content in broker_certificates(self.authority, self.names, now, self.emit).items():
            if binaries.read(folder / name, MOSQUITTO) != content:
                binaries.write(folder / name, content.decode(), MOSQUITTO)
                changed = True
        return changed

    def has_offline_sessions(self) -> bool:
        """Return whether the running broker keeps sessions of clients that are offline; True if it does not answer.

        Connects as the alert worker, which may read `$SYS`.
        """
        worker = next(user for user in self.users if user.service == "alerts")
        assert self.listeners.passwords is not None
        assert worker.password is not None
        broker = BrokerEndpoint("127.0.0.1", self.listeners.passwords, tls=True, ca=self.authority.ca_certificate)
        try:
            with connect_once(broker.as_user(worker.name, worker.password), [(OFFLINE_SESSIONS_TOPIC, 0)]) as client:
                while (message := client.next(SYS_TIMEOUT_S)) is not None:
                    if message.topic:
                        return message.payload != b"0"
        except TransientError:
            pass
        return True


def configuration(listeners: Listeners, folder: str, plugin: str, **other: str) -> str:
    """Return mosquitto/mosquitto.conf for a broker that sees its folder as `folder`; `other`: settings to change."""
    text = (CHECKOUT / "mosquitto/mosquitto.conf").read_text()
    if listeners.websockets is not None:
        text += "\n" + (CHECKOUT / "mosquitto/websockets.conf").read_text()
    head, mark, tail = text.partition(ACCESS_MARK)
    if not mark:
        raise PermanentError(f"mosquitto/mosquitto.conf has no line {ACCESS_MARK!r}")
    for key, value in {"persistence_location": f"{folder}/", **other}.items():
        head, found = re.subn(rf"^{key} .*$", f"{key} {value}", head, flags=re.MULTILINE)
        if found != 1:
            raise PermanentError(f"mosquitto/mosquitto.conf has {found} lines that begin with {key!r}; expected one")
    if listeners.anonymous:
        return f"{head}allow_anonymous true\nlistener {listeners.plain} {LOOPBACK}\n"
    tail = tail.replace("/usr/lib/mosquitto_dynamic_security.so", plugin)
    tail = tail.replace("/mosquitto/data/", f"{folder}/").replace("/mosquitto/identity/", f"{folder}/")
    for container, port in (
        (8883, listeners.passwords),
        (8884, listeners.certificates),
        (8885, listeners.websockets),
    ):
        addresses = () if port is None else listeners.encrypted_at
        block = re.compile(rf"^listener {container}$((?:\n(?!listener|$).*)*)", re.MULTILINE)
        tail = block.sub("\n\n".join(rf"listener {port} {address}\1" for address in addresses), tail)
    if listeners.plain is not None:
        tail += f"\n# Plaintext: VITALFLOW_MQTT_PLAINTEXT_PORT is set.\nlistener {listeners.plain} {LOOPBACK}\n"
    return head + mark + tail
