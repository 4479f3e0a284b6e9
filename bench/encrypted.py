"""What encryption and rights cost: the drain of `drain` at an open broker and at one as in production, turn by turn.

Both brokers run the whole time and share the database, so that the machine's other work meets both alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from bench.drain import Drained, Say, Way, drain
from bench.ground import Ground
from identity.authority import Authority
from identity.furnishing import MEMBERS, members
from identity.policy import Kind, User
from identity.settings import LOCAL
from stack.doors import Doors, Ways
from stack.servers import Broker as Server
from stack.servers import free_port
from vitals.broker import Broker
from vitals.topics import Topics

WORD = "a-word-of-a-broker-that-lives-for-a-minute"


@dataclass(frozen=True)
class Encrypted:
    """The figures of one run; rates in messages a second, medians of the rounds. `ratio`: encrypted over open."""

    open_per_s: int
    encrypted_per_s: int
    ratio: float
    ratios: list[float]
    open_cpu_us_per_message: float
    encrypted_cpu_us_per_message: float
    beside_mosquitto_sub: float
    machine: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def encrypted(ground: Ground, messages: int, rounds: int, say: Say) -> Encrypted:
    """Measure both, `rounds` times in turn."""
    pairs: list[tuple[Drained, Drained]] = []
    with secured(ground) as (behind, way):
        for number in range(1, rounds + 1):
            say(f"{number} of {rounds}, open to all")
            plain = drain(ground, messages, 1, say)
            say(f"{number} of {rounds}, encrypted, with rights")
            pairs.append((plain, drain(behind, messages, 1, say, way)))
    ratios = [ours.ingest_per_s / plain.ingest_per_s for plain, ours in pairs]
    return Encrypted(
        open_per_s=round(median(plain.ingest_per_s for plain, _ in pairs)),
        encrypted_per_s=round(median(ours.ingest_per_s for _, ours in pairs)),
        ratio=round(median(ratios), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        open_cpu_us_per_message=median(plain.ingest_cpu_us_per_message for plain, _ in pairs),
        encrypted_cpu_us_per_message=median(ours.ingest_cpu_us_per_message for _, ours in pairs),
        beside_mosquitto_sub=median(ours.ratio for _, ours in pairs),
        machine=ground.machine,
    )


@contextmanager
def secured(ground: Ground) -> Iterator[tuple[Ground, Way]]:
    """The same ground with a broker as in production, and how to come in there."""
    programs, folder = ground.programs, Path(ground.folder)
    ways = Ways(free_port(), None, free_port())
    assert ways.passwords is not None
    assert ways.plain is not None
    users = [*members(dict.fromkeys(MEMBERS, WORD)), User("filler", Kind.FLEET, "bench", WORD)]
    doors = Doors(ways, Authority(folder / "identity"), LOCAL, users, Topics())
    name = f"{ground.broker.folder.parent.name}-secured"
    server = Server(programs, name, ways.passwords, folder / "secured.log", doors)
    try:
        server.start()
        certificate = doors.authority.certificate
        unmeasured = Broker("127.0.0.1", ways.plain)  # filling is not what is measured, and quicker so
        inside = programs.seen_from_inside(server.folder / "ca.crt")
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
        programs.remove(server.folder.parent)
