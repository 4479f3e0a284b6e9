"""What one feature costs a drain: the drain of `drain` without it and with it alternate, so that the machine's other
work disturbs both alike. The features are receipts, and encryption with users and rights.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.drain import DrainResult, Endpoints, drain
from bench.environment import Environment
from bench.report import Log, Result
from identity.authority import CertificateAuthority
from identity.broker_bootstrap import BUILTIN_USERS, builtin_users
from identity.policy import Kind, User
from identity.settings import LOCAL
from mqtt.endpoint import BrokerEndpoint
from stack.broker_access import BrokerAccess, Listeners
from stack.servers import BrokerServer, free_port
from vitals.topics import Topics

PASSWORD = "a-word-of-a-broker-that-lives-for-a-minute"


@dataclass(frozen=True)
class AbResult(Result):
    """The figures of one run; rates in messages a second, medians of the rounds. `ratio`: with over without; `ratios`
    are all of them.
    """

    what: str
    without_per_s: int
    with_per_s: int
    ratio: float
    ratios: list[float]
    without_cpu_us_per_message: float
    with_cpu_us_per_message: float
    with_beside_mosquitto_sub: float
    machine: dict[str, str]

    def text(self) -> str:
        """Format the figures for a terminal."""
        return "\n".join(
            [
                f"without  {self.without_per_s:>8} messages/s  {self.without_cpu_us_per_message} us of processor each",
                f"with     {self.with_per_s:>8} messages/s  {self.with_cpu_us_per_message} us  ({self.what})",
                f"ratio    {self.ratio:>8.2f}             each {', '.join(f'{ratio:.2f}' for ratio in self.ratios)}",
                f"beside mosquitto_sub, with: {self.with_beside_mosquitto_sub:.2f}",
                ", ".join(self.machine.values()),
            ]
        )


def alternate(
    what: str, without: Callable[[], DrainResult], with_it: Callable[[], DrainResult], rounds: int, log: Log
) -> AbResult:
    """Drain both ways, `rounds` times; who begins changes, for the second finds a table that has grown."""
    pairs: list[tuple[DrainResult, DrainResult]] = []
    for number in range(rounds):
        log(f"{number + 1} of {rounds}, without and with {what}")
        if number % 2:
            after = with_it()
            pairs.append((without(), after))
        else:
            before = without()
            pairs.append((before, with_it()))
    ratios = [ours.ingest_per_s / plain.ingest_per_s for plain, ours in pairs]
    return AbResult(
        what=what,
        without_per_s=round(median(plain.ingest_per_s for plain, _ in pairs)),
        with_per_s=round(median(ours.ingest_per_s for _, ours in pairs)),
        ratio=round(median(ratios), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        without_cpu_us_per_message=median(plain.ingest_cpu_us_per_message for plain, _ in pairs),
        with_cpu_us_per_message=median(ours.ingest_cpu_us_per_message for _, ours in pairs),
        with_beside_mosquitto_sub=median(ours.ratio for _, ours in pairs),
        machine=pairs[0][0].machine,
    )


def compare_receipts(environment: Environment, messages: int, rounds: int, log: Log) -> AbResult:
    """What it costs to tell the devices what is stored, `rounds` times in turn."""
    endpoints = Endpoints.anonymous(environment)
    return alternate(
        "receipts",
        lambda: drain(environment, messages, 1, log, endpoints.without_receipts()),
        lambda: drain(environment, messages, 1, log, endpoints),
        rounds,
        log,
    )


def compare_tls(environment: Environment, messages: int, rounds: int, log: Log) -> AbResult:
    """What TLS, users and rights cost, `rounds` times in turn."""
    with secured_broker(environment) as (behind, endpoints):
        return alternate(
            "TLS, users and rights",
            lambda: drain(environment, messages, 1, log),
            lambda: drain(behind, messages, 1, log, endpoints),
            rounds,
            log,
        )


@contextmanager
def secured_broker(environment: Environment) -> Iterator[tuple[Environment, Endpoints]]:
    """The same environment with a broker as in production, and how to come in there."""
    binaries, folder = environment.binaries, Path(environment.folder)
    listeners = Listeners(free_port(), None, free_port())
    assert listeners.passwords is not None
    assert listeners.plain is not None
    users = [*builtin_users(dict.fromkeys(BUILTIN_USERS, PASSWORD)), User("filler", Kind.FLEET, "bench", PASSWORD)]
    access = BrokerAccess(listeners, CertificateAuthority(folder / "identity"), LOCAL, users, Topics())
    name = f"{environment.broker.folder.parent.name}-secured"
    server = BrokerServer(binaries, name, listeners.passwords, folder / "secured.log", access)
    try:
        server.start()
        certificate = access.authority.ca_certificate
        unmeasured = BrokerEndpoint("127.0.0.1", listeners.plain)  # filling is not what is measured, and quicker so
        inside = binaries.path_inside(server.folder / "ca.crt")
        endpoints = Endpoints(
            filler=unmeasured.as_user("filler", PASSWORD),
            ingest={
                "VITALFLOW_MQTT_URL": f"mqtts://ingest:{PASSWORD}@127.0.0.1:{server.port}",
                "VITALFLOW_MQTT_CA": str(certificate),
            },
            reader=["-p", str(server.port), "-u", "station", "-P", PASSWORD, "--cafile", inside],
            counter=unmeasured.as_user("alerts", PASSWORD),
        )
        yield replace(environment, broker=server), endpoints
    finally:
        server.stop()
        binaries.remove(server.folder.parent)
