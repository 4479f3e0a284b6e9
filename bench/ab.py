"""What one feature costs a drain: the drain of `drain` without it and with it alternate, so that the machine's other
work disturbs both alike. The features are receipts, and encryption with users and rights.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.drain import Endpoints, drain
from bench.environment import Environment
from bench.report import Figures, Log
from identity.authority import CertificateAuthority
from identity.broker_bootstrap import BUILTIN_USERS, builtin_users
from identity.policy import Kind, User
from identity.settings import LOCAL
from mqtt.endpoint import BrokerEndpoint
from stack.broker_access import BrokerAccess, Listeners
from stack.servers import BrokerServer, free_port
from vitals.topics import Topics

PASSWORD = "a-word-of-a-broker-that-lives-for-a-minute"


def alternate(
    what: str, without: Callable[[], Figures], with_it: Callable[[], Figures], rounds: int, log: Log
) -> Figures:
    """Drain both ways, `rounds` times; the order alternates, because the second drain writes to a larger table."""
    before, after = list[Figures](), list[Figures]()
    for number in range(rounds):
        log(f"{number + 1} of {rounds}, without and with {what}")
        both = [(before, without), (after, with_it)]
        for results, measure in reversed(both) if number % 2 else both:
            results.append(measure())
    ratios = [ours["ingest_per_s"] / plain["ingest_per_s"] for plain, ours in zip(before, after, strict=True)]
    figures = [
        {
            name: median(result[name] for result in results)
            for name in ("ingest_per_s", "ingest_cpu_us_per_message", "ratio")
        }
        for results in (before, after)
    ]
    return {
        "feature": what,
        "medians": [{"feature": kind, **medians} for kind, medians in zip(("without", "with"), figures, strict=True)],
        "with_over_without": round(median(ratios), 3),
        "each": [round(ratio, 3) for ratio in ratios],
        "machine": before[0]["machine"],
    }


def compare_receipts(environment: Environment, messages: int, rounds: int, log: Log) -> Figures:
    """Measure the cost of the receipts to devices, `rounds` times in turn."""
    endpoints = Endpoints.anonymous(environment)
    return alternate(
        "receipts",
        lambda: drain(environment, messages, 1, log, endpoints.without_receipts()),
        lambda: drain(environment, messages, 1, log, endpoints),
        rounds,
        log,
    )


def compare_tls(environment: Environment, messages: int, rounds: int, log: Log) -> Figures:
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
