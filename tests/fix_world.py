"""A running stack as `make up` makes it, with devices and people of its own: what the attack test tries to overstep."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange

import pytest

from identity import ca
from identity.authority import Authority, write_public, write_secret
from identity.ca import Pair
from identity.control import control
from identity.enrolment import enroll
from identity.policy import Kind, User
from mqtt.endpoint import BrokerEndpoint
from stack.home import Home, Secrets
from stack.plan import Ports
from stack.programs import CHECKOUT
from stack.servers import taken
from tests.fix_servers import eventually
from tests.guest import connects
from vitals.topics import Topics

WORD = "a-word-that-is-long-enough"
PEOPLE = [
    User("bed-1", Kind.DEVICE, "icu-1", WORD),
    User("bed-2", Kind.DEVICE, "icu-1", WORD),
    User("bed-9", Kind.DEVICE, "icu-2", WORD),
    User("gone", Kind.DEVICE, "icu-1", WORD),
    User("card-1", Kind.DEVICE, "icu-1"),
    User("card-2", Kind.DEVICE, "icu-1"),
    User("ada", Kind.PERSON, "icu-1", WORD),
    User("grace", Kind.PERSON, None, WORD),
    User("eve", Kind.READER, "icu-1", WORD),
]


@dataclass
class World:
    """The stack, how to come in as anybody, and certificates good and bad."""

    home: Home
    ports: Ports
    secrets: Secrets
    folder: Path

    @property
    def ca(self) -> Path:
        return self.home.identity / "ca.crt"

    @property
    def nobody(self) -> BrokerEndpoint:
        """The broker, without a name."""
        return BrokerEndpoint("127.0.0.1", self.ports.broker, tls=True, ca=self.ca)

    def user(self, name: str) -> BrokerEndpoint:
        """The broker as one of its users."""
        return self.nobody.as_user(name, self.secrets.broker.get(name, WORD))

    def id_of(self, name: str) -> str:
        """The client id of a device's own session; a random one for anybody else."""
        return self.user(name).client_id(name) if any(one.name == name for one in PEOPLE[:4]) else ""

    def card(self, name: str) -> BrokerEndpoint:
        """The broker as who has the certificate called `name`."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        return replace(self.nobody, port=self.ports.certificates, certificate=certificate, key=key)

    def keep(self, name: str, pair: Pair) -> None:
        """Write a certificate for `card`."""
        write_public(self.folder / f"{name}.crt", pair.certificate)
        write_secret(self.folder / f"{name}.key", pair.key)

    def stack(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`vitalflow dev` in this world."""
        line = [sys.executable, "-m", "stack", "--home", str(self.home.folder), *arguments]
        return subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start it, let everybody in, revoke whom the tests need revoked, and end it."""
    folder = tmp_path_factory.mktemp("world")
    base = next(base for base in iter(lambda: randrange(20_000, 32_000), 0) if not any(map(taken, Ports(base).all)))
    home = Home.at(folder / "stack")
    home.folder.mkdir()
    made = World(home, Ports(base), home.make_secrets(), folder)
    begun = made.stack("up", "--detach", "--devices", "2", "--port-base", str(base))
    assert begun.returncode == 0, begun.stderr
    try:
        populate(made)
        yield made
    finally:
        made.stack("down", "--wipe")


def populate(world: World) -> None:
    now, authority = datetime.now(UTC), Authority(world.home.identity)
    with control(world.user("admin")) as gate:
        enroll(gate, PEOPLE, Topics(), by="a test", now=now)
    for name in ("card-1", "card-2", "stranger"):
        world.keep(name, authority.client(name, now))
    own = authority.open(now)
    world.keep("expired", ca.sign_client(own, "card-1", now - timedelta(days=10), days=1))
    world.keep("early", ca.sign_client(own, "card-1", now + timedelta(days=10)))
    world.keep("server-of-yesterday", ca.sign_server(own, ["127.0.0.1"], now - timedelta(days=2), days=1))
    another = ca.new_ca("VitalFlow local CA", now)
    world.keep("server-of-another", ca.sign_server(another, ["127.0.0.1"], now))
    write_public(world.folder / "another-ca.crt", another.certificate)
    world.keep("foreign", ca.sign_client(another, "card-1", now))
    world.keep("server", ca.sign_server(own, ["card-1"], now))
    for name in ("card-2", "gone"):
        told = devices(world, "revoke", name)
        assert told.returncode == 0, told.stderr
    eventually(lambda: connects(world.card("card-2")) != "Success", 15, "the broker knows whom we revoked")


def devices(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`vitalflow devices` as the one who enrols."""
    told = world.stack("env").stdout
    environ = dict(os.environ)
    for line in told.splitlines():
        if line.startswith("export VITALFLOW_"):
            name, _, value = line.removeprefix("export ").partition("=")
            environ[name] = value.strip("'")
    return subprocess.run(
        [sys.executable, "-m", "devices", *arguments],
        cwd=CHECKOUT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
