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

from identity.authority import Authority, Say
from identity.furnishing import USERS_FILE, certificates, users_file
from identity.policy import SESSIONS_AWAY, User
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from stack.programs import CHECKOUT, Programs
from vitals.errors import PermanentError, TransientError
from vitals.topics import Topics

MOSQUITTO = "mosquitto"  # the system user
ANSWER = 3.0  # seconds for the broker to say one of its numbers
WHO_MAY_COME_IN = "# --- access"


@dataclass(frozen=True, slots=True)
class Ways:
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
    def open_to_all(cls, port: int) -> "Ways":
        """For tests and measurements."""
        return cls(None, None, port, anonymous=True)


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in, and by which way.

    names   the broker's host names and addresses, for its certificate
    users   those that belong to the installation; the enrolled ones are in the plugin's file already
    """

    ways: Ways
    authority: Authority
    names: Sequence[str]
    users: Sequence[User]
    topics: Topics
    say: Say = lambda _: None

    def furnish(self, programs: Programs, folder: Path, now: datetime) -> None:
        """Put certificates and users into the folder of a broker that does not run."""
        self.renew(programs, folder, now)
        wanted = users_file(_read(programs, folder / USERS_FILE), self.users, self.topics)
        if wanted is not None:
            programs.write(folder / USERS_FILE, wanted.decode(), MOSQUITTO)

    def renew(self, programs: Programs, folder: Path, now: datetime) -> bool:
        """Put the certificates of now in their place; whether any of them is new there."""
        changed = False
        for name, content in certificates(self.authority, self.names, now, self.say).items():
            if _read(programs, folder / name) != content:
                programs.write(folder / name, content.decode(), MOSQUITTO)
                changed = True
        return changed

    def somebody_is_away(self) -> bool:
        """Whether the running broker keeps a session for somebody who is not connected; yes, where it does not say.

        Asked as the alert worker, who may read the broker's own numbers.
        """
        worker = next(user for user in self.users if user.does == "alerts")
        assert self.ways.passwords is not None
        assert worker.password is not None
        broker = BrokerEndpoint("127.0.0.1", self.ways.passwords, tls=True, ca=self.authority.certificate)
        try:
            with connect_once(broker.as_user(worker.name, worker.password), [(SESSIONS_AWAY, 0)]) as there:
                while (heard := there.next(ANSWER)) is not None:
                    if heard.topic:
                        return heard.payload != b"0"
        except TransientError:
            pass
        return True


def configuration(ways: Ways, folder: str, plugin: str, **other: str) -> str:
    """mosquitto/mosquitto.conf for a broker whose folder is `folder`, as it sees it; `other`: settings to change."""
    text = (CHECKOUT / "mosquitto/mosquitto.conf").read_text()
    head, mark, tail = text.partition(WHO_MAY_COME_IN)
    if not mark:
        raise PermanentError(f"mosquitto/mosquitto.conf has no part {WHO_MAY_COME_IN!r}")
    for key, value in {"persistence_location": f"{folder}/", **other}.items():
        head, found = re.subn(rf"^{key} .*$", f"{key} {value}", head, flags=re.MULTILINE)
        if found != 1:
            raise PermanentError(f"mosquitto/mosquitto.conf has {found} lines that begin with {key!r}; expected one")
    if ways.anonymous:
        return f"{head}allow_anonymous true\nlistener {ways.plain} 127.0.0.1\n"
    tail = tail.replace("/usr/lib/mosquitto_dynamic_security.so", plugin)
    tail = tail.replace("/mosquitto/data/", f"{folder}/").replace("/mosquitto/identity/", f"{folder}/")
    for container, port in ((8883, ways.passwords), (8884, ways.certificates)):
        if port is None:
            tail = re.sub(rf"^listener {container}$(?:\n(?!listener|$).*)*", "", tail, flags=re.MULTILINE)
        tail = re.sub(rf"^listener {container}$", f"listener {port} 127.0.0.1", tail, flags=re.MULTILINE)
    if ways.plain is not None:
        tail += f"\n# Not encrypted, by a setting.\nlistener {ways.plain} 127.0.0.1\n"
    return head + mark + tail


def _read(programs: Programs, path: Path) -> bytes:
    """A file of the broker's; empty where it is not there."""
    # Through the broker's own eyes: an ordinary user may not look into its folder.
    line = programs.command(MOSQUITTO, "sh", "-c", '[ ! -e "$0" ] || cat "$0"', programs.seen_from_inside(path))
    return subprocess.run(line, capture_output=True, check=True).stdout
