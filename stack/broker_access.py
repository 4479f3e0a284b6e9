"""The way into a broker of ours: its configuration, certificates and users, put where it reads them.

`identity` decides what they are; here they get into the broker's own folder, which may belong to another user and lie
inside a private Debian.
"""

import re
import subprocess
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
from vitals.errors import PermanentError, TransientError
from vitals.topics import Topics

MOSQUITTO = "mosquitto"  # the system user
SYS_TIMEOUT_S = 3.0  # seconds for the broker to say one of its numbers
ACCESS_MARK = "# --- access"


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports that a broker listens on, all on 127.0.0.1; None: not at all.

    passwords, certificates   encrypted, for who has the one or the other
    plain                     not encrypted; passwords and vitals can be read by who can listen
    anonymous                 the plain one takes anybody, and there are no rights
    """

    passwords: int | None
    certificates: int | None = None
    plain: int | None = None
    anonymous: bool = False

    @classmethod
    def open_to_all(cls, port: int) -> "Listeners":
        """For tests and measurements."""
        return cls(None, None, port, anonymous=True)


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Who may come in, and by which way.

    names   the broker's host names and addresses, for its certificate
    users   those that belong to the installation; the enrolled ones are in the plugin's file already
    """

    listeners: Listeners
    authority: CertificateAuthority
    names: Sequence[str]
    users: Sequence[User]
    topics: Topics
    emit: Emit = lambda _: None

    def install(self, binaries: ServerBinaries, folder: Path, now: datetime) -> None:
        """Put certificates and users into the folder of a broker that does not run."""
        self.install_certificates(binaries, folder, now)
        wanted = update_users_file(_read(binaries, folder / USERS_FILE), self.users, self.topics)
        if wanted is not None:
            binaries.write(folder / USERS_FILE, wanted.decode(), MOSQUITTO)

    def install_certificates(self, binaries: ServerBinaries, folder: Path, now: datetime) -> bool:
        """Put the certificates of now in their place; whether any of them is new there."""
        changed = False
        for name, content in broker_certificates(self.authority, self.names, now, self.emit).items():
            if _read(binaries, folder / name) != content:
                binaries.write(folder / name, content.decode(), MOSQUITTO)
                changed = True
        return changed

    def has_offline_sessions(self) -> bool:
        """Whether the running broker keeps a session for somebody who is not connected; yes, where it does not say.

        Asked as the alert worker, who may read the broker's own numbers.
        """
        worker = next(user for user in self.users if user.service == "alerts")
        assert self.listeners.passwords is not None
        assert worker.password is not None
        broker = BrokerEndpoint("127.0.0.1", self.listeners.passwords, tls=True, ca=self.authority.ca_certificate)
        try:
            with connect_once(broker.as_user(worker.name, worker.password), [(OFFLINE_SESSIONS_TOPIC, 0)]) as there:
                while (heard := there.next(SYS_TIMEOUT_S)) is not None:
                    if heard.topic:
                        return heard.payload != b"0"
        except TransientError:
            pass
        return True


def configuration(listeners: Listeners, folder: str, plugin: str, **other: str) -> str:
    """mosquitto/mosquitto.conf for a broker whose folder is `folder`, as it sees it; `other`: settings to change."""
    text = (CHECKOUT / "mosquitto/mosquitto.conf").read_text()
    head, mark, tail = text.partition(ACCESS_MARK)
    if not mark:
        raise PermanentError(f"mosquitto/mosquitto.conf has no part {ACCESS_MARK!r}")
    for key, value in {"persistence_location": f"{folder}/", **other}.items():
        head, found = re.subn(rf"^{key} .*$", f"{key} {value}", head, flags=re.MULTILINE)
        if found != 1:
            raise PermanentError(f"mosquitto/mosquitto.conf has {found} lines that begin with {key!r}; expected one")
    if listeners.anonymous:
        return f"{head}allow_anonymous true\nlistener {listeners.plain} 127.0.0.1\n"
    tail = tail.replace("/usr/lib/mosquitto_dynamic_security.so", plugin)
    tail = tail.replace("/mosquitto/data/", f"{folder}/").replace("/mosquitto/identity/", f"{folder}/")
    for container, port in ((8883, listeners.passwords), (8884, listeners.certificates)):
        if port is None:
            tail = re.sub(rf"^listener {container}$(?:\n(?!listener|$).*)*", "", tail, flags=re.MULTILINE)
        tail = re.sub(rf"^listener {container}$", f"listener {port} 127.0.0.1", tail, flags=re.MULTILINE)
    if listeners.plain is not None:
        tail += f"\n# Not encrypted, by a setting.\nlistener {listeners.plain} 127.0.0.1\n"
    return head + mark + tail


def _read(binaries: ServerBinaries, path: Path) -> bytes:
    """A file of the broker's; empty where it is not there."""
    # Through the broker's own eyes: an ordinary user may not look into its folder.
    line = binaries.command(MOSQUITTO, "sh", "-c", '[ ! -e "$0" ] || cat "$0"', binaries.path_inside(path))
    return subprocess.run(line, capture_output=True, check=True).stdout
