"""What encryption and rights cost: the drain of `drain` at an open broker and at one as in production, turn by turn.

Both brokers run the whole time and share the database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.drain import Say, Way, drain
from bench.ground import Ground
from bench.turns import Turns, in_turn
from identity.authority import CertificateAuthority
from identity.broker_bootstrap import BUILTIN_USERS, builtin_users
from identity.policy import Kind, User
from identity.settings import LOCAL
from mqtt.endpoint import BrokerEndpoint
from stack.broker_access import BrokerAccess, Listeners
from stack.servers import BrokerServer, free_port
from vitals.topics import Topics

WORD = "a-word-of-a-broker-that-lives-for-a-minute"


def encrypted(ground: Ground, messages: int, rounds: int, say: Say) -> Turns:
    """What TLS, users and rights cost, `rounds` times in turn."""
    with secured(ground) as (behind, way):
        return in_turn(
            "TLS, users and rights",
            lambda: drain(ground, messages, 1, say),
            lambda: drain(behind, messages, 1, say, way),
            rounds,
            say,
        )


@contextmanager
def secured(ground: Ground) -> Iterator[tuple[Ground, Way]]:
    """The same ground with a broker as in production, and how to come in there."""
    binaries, folder = ground.binaries, Path(ground.folder)
    listeners = Listeners(free_port(), None, free_port())
    assert listeners.passwords is not None
    assert listeners.plain is not None
    users = [*builtin_users(dict.fromkeys(BUILTIN_USERS, WORD)), User("filler", Kind.FLEET, "bench", WORD)]
    access = BrokerAccess(listeners, CertificateAuthority(folder / "identity"), LOCAL, users, Topics())
    name = f"{ground.broker.folder.parent.name}-secured"
    server = BrokerServer(binaries, name, listeners.passwords, folder / "secured.log", access)
    try:
        server.start()
        certificate = access.authority.ca_certificate
        unmeasured = BrokerEndpoint("127.0.0.1", listeners.plain)  # filling is not what is measured, and quicker so
        inside = binaries.path_inside(server.folder / "ca.crt")
        way = Way(
            filler=unmeasured.as_user("filler", WORD),
            ingest={
                "VITALFLOW_MQTT_URL": f"mqtts://ingest:{WORD}@127.0.0.1:{server.port}",
                "VITALFLOW_MQTT_CA": str(certificate),
            },
            reader=["-p", str(server.port), "-u", "station", "-P", WORD, "--cafile", inside],
            counter=unmeasured.as_user("alerts", WORD),
        )
        yield replace(ground, broker=server), way
    finally:
        server.stop()
        binaries.remove(server.folder.parent)
