"""How fast ingest empties a queue, from the first message to the last COMMIT, beside mosquitto_sub.

mosquitto_sub, in C, receives and acknowledges the same messages at the same broker and does nothing with them. No
MQTT client can be expected to be faster, so the ratio is the cost of decoding, checking and storing. The result is the
median of several rounds, because one drain of two seconds also measures the machine's other work.
"""

import subprocess
import time
from dataclasses import dataclass, replace
from statistics import median

from bench.environment import Environment
from bench.queue_filler import fill_queues
from bench.report import Figures, Log
from bench.resource_usage import cpu_seconds
from bench.services import counter, service
from mqtt.endpoint import BrokerEndpoint
from stack.servers import Service
from vitals.errors import PermanentError
from vitals.topics import Topics

COUNT = "SELECT count(*) FROM patient_vitals"
TIMEOUT_S = 120.0  # seconds without which something is broken
ASK_EVERY_S = 0.5  # each answer costs ingest about a millisecond; the end of a drain is that of its last COMMIT


@dataclass(frozen=True)
class Endpoints:
    """How the programs of a drain connect to the broker.

    filler    the login that publishes; `counter` the login that reads the broker's count of dropped messages
    ingest    the environment of ingest
    reader    options of mosquitto_sub
    """

    filler: BrokerEndpoint
    counter: BrokerEndpoint
    ingest: dict[str, str]
    reader: list[str]

    @classmethod
    def anonymous(cls, environment: Environment) -> "Endpoints":
        """At a broker that accepts clients without a name."""
        broker = BrokerEndpoint.parse(environment.broker.url)
        return cls(broker, broker, {}, ["-p", str(environment.broker.port)])

    def without_receipts(self) -> "Endpoints":
        """The same, with receipts switched off."""
        return replace(self, ingest={**self.ingest, "VITALFLOW_INGEST_RECEIPT_EVERY_S": "0"})


def drain(
    environment: Environment, messages: int, rounds: int, log: Log, endpoints: Endpoints | None = None
) -> Figures:
    """Measure both in one run, `rounds` times.

    1. Open both persistent sessions, then leave.
    2. Fill: the broker queues every message for both.
    3. Let mosquitto_sub drain its queue, then ingest its own.
    4. Count the rows: a figure for a run that lost something is no figure.

    Rates are in messages a second, each the median of the rounds; `ratios` are those of each round.
    """
    topics = Topics()
    endpoints = Endpoints.anonymous(environment) if endpoints is None else endpoints
    (before,) = environment.ask(COUNT)
    ingest = service(environment, "ingest", settings=endpoints.ingest)
    connecting = _mosquitto_sub(environment, endpoints, topics, "-E")
    starting = _open_session(ingest)
    done: list[tuple[float, float, float]] = []
    for number in range(1, rounds + 1):
        log(f"round {number} of {rounds}: filling two queues with {messages} readings")
        fill_queues(endpoints.filler, topics, messages, endpoints.counter)
        log("  draining with mosquitto_sub")
        reference = _mosquitto_sub(environment, endpoints, topics, "-C", str(messages)) - connecting
        log("  draining with ingest")
        done.append((reference, *_drain(environment, ingest, messages, starting)))
        log(f"  {messages / done[-1][0]:.0f} and {messages / done[-1][1]:.0f} messages/s")
    stored = environment.ask(COUNT)[0] - before
    if stored != messages * rounds:
        raise PermanentError(f"{messages * rounds} messages were drained and {stored} rows are there")
    ratios = [reference / ours for reference, ours, _ in done]
    return {
        "messages": messages,
        "stored": stored,
        "mosquitto_sub_per_s": round(messages / median(reference for reference, _, _ in done)),
        "ingest_per_s": round(messages / median(ours for _, ours, _ in done)),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ingest_cpu_us_per_message": round(median(cpu for _, _, cpu in done) / messages * 1e6, 1),
        "machine": environment.machine,
    }


def _mosquitto_sub(environment: Environment, endpoints: Endpoints, topics: Topics, *options: str) -> float:
    """Run it on its persistent session; the seconds it took."""
    arguments = [*endpoints.reader, "-i", "reference", "-c", "-q", "1", "-t", topics.all_vitals, "-F", ""]
    line = environment.binaries.command(None, environment.binaries.mosquitto_sub, *arguments, *options)
    start = time.perf_counter()
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True, timeout=TIMEOUT_S)
    return time.perf_counter() - start


def _open_session(ingest: Service) -> float:
    """Start it, wait until it has subscribed, and stop it: from now on the broker queues for it.

    Returns the processor seconds that a start costs.
    """
    ingest.start()
    time.sleep(0.5)  # the SUBACK follows the CONNACK
    starting = cpu_seconds(ingest.pid)
    ingest.stop()
    return starting


def _drain(environment: Environment, ingest: Service, messages: int, starting: float) -> tuple[float, float]:
    """Let ingest store `messages`; seconds from the first message to the last COMMIT, and seconds of processor."""
    begun = time.time()
    ingest.start()
    deadline = time.monotonic() + TIMEOUT_S
    while counter(ingest, "messages_received_total") < messages:
        if time.monotonic() > deadline:
            raise PermanentError(f"ingest does not come to an end:\n{ingest.tail()}")
        time.sleep(ASK_EVERY_S)
    last_commit = counter(ingest, "last_commit_timestamp_seconds")
    cpu = cpu_seconds(ingest.pid) - starting
    ingest.stop()
    first = (
        "SELECT extract(epoch FROM min(arrived))"
        " FROM (SELECT arrival_time(received_at, time, arrival_lag_ms) AS arrived FROM patient_vitals) AS reading"
        " WHERE arrived >= to_timestamp(%s)"
    )
    return last_commit - float(environment.ask(first, begun)[0]), cpu
