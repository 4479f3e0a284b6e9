"""A broker as in production, for tests: encrypted, nobody without a name, with users of every kind."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from identity.authority import Authority
from identity.control import control
from identity.enrolment import enroll
from identity.furnishing import members
from identity.policy import Kind, User
from identity.settings import LOCAL
from mqtt.endpoint import BrokerEndpoint
from stack.doors import Doors, Ways
from stack.programs import Programs
from stack.servers import BrokerServer, free_port
from vitals.topics import Topics

WORDS = {name: f"word-of-{name}" for name in ("admin", "ingest", "alerts", "station", "operator")}
OTHERS = [
    User("bed-1", Kind.DEVICE, "icu-1", "word-of-bed-1"),
    User("bed-2", Kind.DEVICE, "icu-1", "word-of-bed-2"),
    User("bed-9", Kind.DEVICE, "icu-2", "word-of-bed-9"),
    User("ada", Kind.PERSON, "icu-1", "word-of-ada"),
    User("grace", Kind.PERSON, None, "word-of-grace"),
    User("eve", Kind.READER, "icu-1", "word-of-eve"),
]


@dataclass
class Secured:
    """The broker, and how to come in as each of its users."""

    server: BrokerServer
    doors: Doors

    @property
    def url(self) -> str:
        """As nobody."""
        return self.server.url

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.doors.authority.certificate

    def broker(self, user: str | None = None, password: str | None = None) -> BrokerEndpoint:
        """The broker as one of its users; with another password, if one is given."""
        found = replace(BrokerEndpoint.parse(self.url), ca=self.ca)
        return found if user is None else found.as_user(user, password or f"word-of-{user}")

    def url_of(self, user: str) -> str:
        """The broker's address as one of its users."""
        return self.url.replace("//", f"//{user}:word-of-{user}@")

    def let_in(self, device: str, ward: str, password: str) -> None:
        """Enrol one more device."""
        with control(self.broker("admin")) as gate:
            user = User(device, Kind.DEVICE, ward, password)
            enroll(gate, [user], self.doors.topics, by="a test", now=datetime.now(UTC))

    def settings(self, user: str) -> dict[str, str]:
        """The environment of a program that is this user."""
        return {
            "VITALFLOW_MQTT_URL": self.url_of(user),
            "VITALFLOW_MQTT_CA": str(self.ca),
            "VITALFLOW_ADMIN_URL": self.url_of("admin"),
            "VITALFLOW_CA_DIR": str(self.doors.authority.folder),
            "VITALFLOW_MQTT_CERTIFICATE_PORT": str(self.doors.ways.certificates),
        }


def secured(programs: Programs, name: str, folder: Path) -> Secured:
    """One that is not started yet."""
    ways = Ways(free_port(), free_port(), free_port())
    assert ways.passwords is not None
    doors = Doors(ways, Authority(folder / "identity"), LOCAL, [*members(WORDS), *OTHERS], Topics())
    return Secured(BrokerServer(programs, name, ways.passwords, folder / "broker.log", doors), doors)


@pytest.fixture(scope="session")
def shared_secured(programs: Programs, run_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One for all tests that do not harm it."""
    made = secured(programs, f"{run_name}-secured", tmp_path_factory.mktemp("secured"))
    made.server.start()
    yield made
    made.server.stop()
    programs.remove(made.server.folder.parent)


@pytest.fixture
def own_secured(programs: Programs, run_name: str, tmp_path: Path) -> Iterator[Secured]:
    """One for one test to harm."""
    made = secured(programs, f"{run_name}-own-secured", tmp_path)
    made.server.start()
    yield made
    made.server.stop()
    programs.remove(made.server.folder.parent)
