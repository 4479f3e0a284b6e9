"""Commands of `vitalflow identity` for several brokers: export-broker, enroll-bridge, failback."""

import fcntl
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from identity.authority import make_writable, write_secret
from identity.bridge import BRIDGE_FILE, BridgeLogin, mirror_section, ward_section
from identity.broker_bootstrap import USERS_FILE, broker_certificates, users_of_ward
from identity.deploy import install_files
from identity.enrolment import enroll_user
from identity.failback import Proxy, fail_back
from identity.policy import Kind, User, ward_worker
from identity.settings import IdentitySettings
from vitals.command_line import examples
from vitals.errors import PermanentError

RotatePassword = Annotated[
    bool, typer.Option("--rotate-password", help="Give a user that is enrolled already a new password.")
]


def add_commands(app: typer.Typer, emit: Callable[[str], None]) -> None:
    """Add the commands to `vitalflow identity`; `emit` prints a line of progress."""

    @app.command(
        "export-broker",
        epilog=examples(
            "vitalflow identity export-broker host2/ --host broker-b.example.org "
            "--users /var/lib/mosquitto/dynamic-security.json",
            heading="Example, for the second broker of a pair",
        ),
    )
    def export_broker(
        folder: Annotated[Path, typer.Argument(help="The folder to write; copy it to the other broker.")],
        host: Annotated[list[str], typer.Option(help="A host name or address of that broker; may be repeated.")],
        users: Annotated[Path, typer.Option(help="dynamic-security.json of a broker that is up to date.")],
        ward: Annotated[
            str | None, typer.Option(help="For the broker of a ward: only its devices and those who see it.")
        ] = None,
    ) -> None:
        """Write certificate, CA, revocation list and users of a further broker, signed and taken from the first.

        Safe to repeat: what is unchanged keeps its file, and what was enrolled or revoked since is brought over. A
        broker reads the users when it starts, and certificates and revocations at SIGHUP.
        """
        settings = IdentitySettings.read(os.environ)
        try:
            content = users.read_bytes()
        except OSError as error:
            raise PermanentError(f"the users in {users} cannot be read: {error.strerror}") from None
        files = {USERS_FILE: users_of_ward(content, ward)}
        authority, now = settings.authority, datetime.now(UTC)
        make_writable(authority.folder)
        with (authority.folder / "lock").open("w") as lock:  # `renew` may run
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = list(dict.fromkeys([*host, "localhost", "127.0.0.1"]))
            files |= broker_certificates(authority, names, now, emit, name=f"broker-{host[0]}")
        install_files(folder, files, write_secret, emit)
        emit(f"ready: {folder}")

    @app.command(
        "enroll-bridge",
        epilog=examples(
            "vitalflow identity enroll-bridge mirror-b --kind pair --address broker-a.example.org:8883 --folder host2/",
            "vitalflow identity enroll-bridge icu-1 --kind ward --ward icu-1 --address broker.example.org:8883 "
            "--folder icu-1/",
            heading="Examples, for the second broker of a pair and for the broker of a ward",
        ),
    )
    def enroll_bridge(
        name: Annotated[str, typer.Argument(help="The bridge's user name at the broker that it connects to.")],
        kind: Annotated[Literal["pair", "ward"], typer.Option(help="The mirror of a pair, or the broker of a ward.")],
        address: Annotated[str, typer.Option(help="HOST:PORT where the bridge connects, with TLS.")],
        folder: Annotated[Path, typer.Option(help=f"Where to write {BRIDGE_FILE}, with mode 0600.", file_okay=False)],
        ward: Annotated[str | None, typer.Option(help="The ward of `--kind ward`.")] = None,
        rotate_password: RotatePassword = False,
    ) -> None:
        """Enrol a bridge between two brokers, and write its section for the broker that opens it.

        Append the file to that broker's mosquitto.conf and restart it. `vitalflow user revoke NAME` ends the bridge.
        """
        if (kind == "ward") != (ward is not None):
            raise PermanentError("--ward goes with --kind ward; a pair mirrors every ward")
        host, port = host_and_port(address)
        settings = IdentitySettings.read(os.environ)
        login = BridgeLogin(name, host, port, secrets.token_urlsafe(24))
        if ward is None:
            user = User(name, Kind.MIRROR, password=login.password)
            section = mirror_section(login, settings.topics)
        else:
            user = User(name, Kind.WARD_BRIDGE, ward, login.password)
            section = ward_section(login, ward, settings.topics)
        make_writable(folder)  # first: a password that cannot be written would be lost
        enroll_user(settings, user, datetime.now(UTC), rotate_password=rotate_password)
        write_secret(folder / BRIDGE_FILE, section.encode())
        emit(f"{name} is enrolled; append {folder / BRIDGE_FILE} to the mosquitto.conf of the broker that opens it")
        if ward is not None:
            worker = ward_worker(name)
            emit(f"the ward's own alert worker: identity add-service {worker} --service alerts, at the ward's broker")
            emit(f"set VITALFLOW_ALERTS_WARDS={ward} there, and wards without {ward} at the centre's alert workers")

    @app.command(
        epilog=examples(
            "vitalflow identity failback a --broker a=10.0.0.1:8883 --broker b=10.0.0.2:8883 "
            "--haproxy /run/haproxy/admin.sock",
        ),
    )
    def failback(
        to: Annotated[str, typer.Argument(help="The broker that gets the clients, by its name in HAProxy.")],
        broker: Annotated[list[str], typer.Option(help="NAME=HOST:PORT of each broker, where it is without HAProxy.")],
        haproxy: Annotated[list[Path], typer.Option(help="The runtime socket of each HAProxy, or HOST:PORT.")],
    ) -> None:
        """Give the clients of a pair to a broker that returned, after its retained state was made equal.

        Clients are disconnected for about 3 s; none receives an older state afterwards. Needs VITALFLOW_ADMIN_URL.
        """
        settings = IdentitySettings.read(os.environ)
        admins = {}
        for text in broker:
            name, equals, address = text.partition("=")
            if not name or not equals:
                raise PermanentError(f"{text[:60]!r} is no broker; expected NAME=HOST:PORT")
            host, port = host_and_port(address)
            admins[name] = replace(settings.admin, host=host, port=port, others=())
        fail_back(
            [Proxy(path) for path in haproxy],
            admins,
            to,
            settings.topics,
            by=settings.administrator,
            now=datetime.now(UTC),
            emit=emit,
        )


def host_and_port(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; raises PermanentError."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdecimal():
        raise PermanentError(f"the address {address[:60]!r} has no port; expected HOST:PORT")
    return host, int(port)
