"""How fast ingest empties a queue, from the first message to the last COMMIT, beside mosquitto_sub.

mosquitto_sub, in C, receives and acknowledges the same messages at the same broker and does nothing with them: no
reader of MQTT can be expected to be faster, so the ratio says what decoding, checking and storing cost. It is done
several times and the median is told: one drain of two seconds says as much about the machine's other work as about us.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import median

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from bench.filler import fill
from bench.ground import Ground
from bench.usage import cpu_seconds
from mqtt.endpoint import BrokerEndpoint
from stack.servers import free_port
from vitals.errors import PermanentError
from vitals.topics import Topics

Say = Callable[[str], None]
PATIENCE = 120.0  # seconds without which something is broken


@dataclass(frozen=True)
class Drained:
    """The figures of one run; rates in messages a second, each the median of the rounds. `ratios` are all of them."""

    rounds: int
    messages: int
    stored: int
    mosquitto_sub_per_s: int
    ingest_per_s: int
    ratio: float
    ratios: list[float]
    ingest_cpu_us_per_message: float
    machine: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


@dataclass(frozen=True)
class Way:
    """How the three come in at the broker.

    filler    who publishes, and `counter` who reads what the broker dropped
    ingest    the environment of ingest
    reader    options of mosquitto_sub
    """

    filler: BrokerEndpoint
    counter: BrokerEndpoint
    ingest: dict[str, str]
    reader: list[str]

    @classmethod
    def open_to_all(cls, ground: Ground) -> "Way":
        """At a broker that asks nobody for a name."""
        broker = BrokerEndpoint.parse(ground.broker.url)
        return cls(broker, broker, {"VITALFLOW_MQTT_URL": ground.broker.url}, ["-p", str(ground.broker.port)])

    def without_receipts(self) -> "Way":
        """The same, and no device is told what is stored."""
        return replace(self, ingest={**self.ingest, "VITALFLOW_INGEST_RECEIPT_EVERY_S": "0"})


def drain(ground: Ground, messages: int, rounds: int, say: Say, way: Way | None = None) -> Drained:
    """Measure both in one run, `rounds` times.

    1. Open both persistent sessions, then leave.
    2. Fill: the broker queues every message for both.
    3. Let mosquitto_sub drain its queue, then ingest its own.
    4. Count the rows: a figure for a run that lost something is no figure.
    """
    topics = Topics()
    way = Way.open_to_all(ground) if way is None else way
    before = _rows(ground)
    ingest = _Ingest(ground, way)
    connecting = _mosquitto_sub(ground, way, topics, "-E")
    ingest.open_session()
    done: list[tuple[float, float, float]] = []
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}: filling two queues with {messages} readings")
        fill(way.filler, topics, messages, lambda _: None, way.counter)
        say("  draining with mosquitto_sub")
        reference = _mosquitto_sub(ground, way, topics, "-C", str(messages)) - connecting
        say("  draining with ingest")
        done.append((reference, *ingest.drain(messages)))
        say(f"  {messages / done[-1][0]:.0f} and {messages / done[-1][1]:.0f} messages/s")
    stored = _rows(ground) - before
    if stored != messages * rounds:
        raise PermanentError(f"{messages * rounds} messages were drained and {stored} rows are there")
    ratios = [reference / ours for reference, ours, _ in done]
    return Drained(
        rounds=rounds,
        messages=messages,
        stored=stored,
        mosquitto_sub_per_s=round(messages / median(reference for reference, _, _ in done)),
        ingest_per_s=round(messages / median(ours for _, ours, _ in done)),
        ratio=round(median(ratios), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        ingest_cpu_us_per_message=round(median(cpu for _, _, cpu in done) / messages * 1e6, 1),
        machine=ground.machine,
    )


def _rows(ground: Ground) -> int:
    with psycopg.connect(ground.database.url()) as connection:
        row = connection.execute("SELECT count(*) FROM patient_vitals").fetchone()
    assert row is not None
    return int(row[0])


def _mosquitto_sub(ground: Ground, way: Way, topics: Topics, *options: str) -> float:
    """Run it on its persistent session; the seconds it took."""
    arguments = [*way.reader, "-i", "reference", "-c", "-q", "1", "-t", topics.all_vitals, "-F", ""]
    line = ground.binaries.command(None, ground.binaries.mosquitto_sub, *arguments, *options)
    start = time.perf_counter()
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)
    return time.perf_counter() - start


class _Ingest:
    """The real program, with its own settings but for addresses."""

    def __init__(self, ground: Ground, way: Way) -> None:
        self._port = free_port()
        self._log = ground.folder / f"ingest-{self._port}.log"
        self._url = ground.database.url()
        self._starting = 0.0  # seconds of processor until the first connection
        self._environment = {
            **os.environ,
            **way.ingest,
            "VITALFLOW_INGEST_URL": ground.ingest_url,
            "VITALFLOW_INGEST_METRICS_PORT": str(self._port),
        }

    def open_session(self) -> None:
        """Start, subscribe, and leave: from now on the broker queues for us."""
        with self._running() as process:
            self._wait(lambda: "connected to the broker" in self._log.read_text())
            time.sleep(0.5)  # the SUBACK follows the CONNACK
            self._starting = cpu_seconds(process.pid)

    def drain(self, messages: int) -> tuple[float, float]:
        """Store so many messages; seconds from the first message to the last COMMIT, and seconds of processor, without
        those of starting."""
        begun = time.time()
        with self._running() as process:
            self._wait(lambda: self._metric("messages_received_total") >= messages)
            last_commit = self._metric("last_commit_timestamp_seconds")
            cpu = cpu_seconds(process.pid) - self._starting
        with psycopg.connect(self._url) as connection:
            first = (
                "SELECT extract(epoch FROM min(received_at)) FROM patient_vitals WHERE received_at >= to_timestamp(%s)"
            )
            row = connection.execute(first, [begun]).fetchone()
        assert row is not None
        return last_commit - float(row[0]), cpu

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return _Stopped([sys.executable, "-m", "ingest"], env=self._environment, stderr=log)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise PermanentError(f"ingest does not come to an end:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _metric(self, name: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        families = text_string_to_metric_families(text)
        samples = (sample for family in families for sample in family.samples)
        return next((sample.value for sample in samples if sample.name == f"vitalflow_ingest_{name}"), 0.0)


class _Stopped(subprocess.Popen[bytes]):
    """A child that is asked to end, and waited for, when its `with` block ends."""

    def __exit__(self, *_: object) -> None:
        self.terminate()
        self.wait(10)
