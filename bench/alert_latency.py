"""How soon after a reading is published its alert is there, under load: publish, broker, worker, broker, subscriber.

Everything is on one machine: the broker, ingest with its database, the worker with the default rules, the load, and
the probes of `probes`.
"""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from bench.alert_probes import probe
from bench.environment import Environment
from bench.report import Log, Result
from bench.services import running
from vitals.codec import encode
from vitals.errors import PermanentError
from vitals.reading import reading
from vitals.topics import Topics

PROBES_PER_S = 20
SLICE_S = 0.01  # the load is published in slices, as many readings each as the rate asks
WARM_UP_S = 3.0
TOPICS = Topics()


@dataclass(frozen=True)
class AlertLatencyResult(Result):
    """The figures of one run; milliseconds from publish() to the alert at a subscriber."""

    readings_per_s: int
    devices: int
    seconds: float
    probes: int
    missing: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    worker_cores: float
    worker_mib: float
    machine: dict[str, str]

    def text(self) -> str:
        """Format the figures for a terminal."""
        return "\n".join(
            [
                f"publish to alert  p50 {self.p50_ms} ms, p99 {self.p99_ms} ms, worst {self.worst_ms} ms",
                f"probes            {self.probes}, {self.missing} without an alert",
                f"load              {self.readings_per_s} readings/s",
                f"alert worker      {self.worker_cores} of a core, {self.worker_mib} MiB",
                ", ".join(self.machine.values()),
            ]
        )


def measure_alert_latency(environment: Environment, rate: int, seconds: float, log: Log) -> AlertLatencyResult:
    """Measure at `rate` readings a second, each device at 1 Hz.

    1. Start ingest and the worker, and the load in a process of its own.
    2. After a warm-up publish probes, evenly over time, and note when each one's alert comes.
    3. Ask what the worker used of processor and memory.
    """
    with running(environment, "ingest"), running(environment, "alerts", "run") as worker:
        load = get_context("spawn").Process(
            target=publish_load, args=(environment.broker.port, rate, seconds + WARM_UP_S)
        )
        load.start()
        log(f"{rate} readings/s for {seconds:g} s")
        time.sleep(WARM_UP_S)
        process = psutil.Process(worker.pid)
        before, started = sum(process.cpu_times()[:2]), time.monotonic()
        delays = probe(environment.broker.port, seconds, PROBES_PER_S)
        cores = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
        memory = process.memory_info().rss / 2**20
        load.join()
        if load.exitcode:
            raise PermanentError("the load could not be published at that rate; is the machine busy?")
    return AlertLatencyResult(
        readings_per_s=rate,
        devices=rate,
        seconds=seconds,
        probes=delays.probes,
        missing=delays.missing,
        p50_ms=delays.p50_ms,
        p99_ms=delays.p99_ms,
        worst_ms=delays.worst_ms,
        worker_cores=round(cores, 3),
        worker_mib=round(memory, 1),
        machine=environment.machine,
    )


def publish_load(port: int, rate: int, seconds: float) -> None:
    """Publish `rate` readings a second of as many devices, all of them well, evenly; exits with 1 if it falls
    behind."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="load")
    client.max_inflight_messages_set(20_000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    boot = int(time.time())
    start = time.perf_counter()
    slices = int(seconds / SLICE_S)
    published = 0
    for number in range(slices):
        time.sleep(max(0.0, start + number * SLICE_S - time.perf_counter()))
        now = datetime.now(UTC)
        due = int((number + 1) * SLICE_S * rate)
        for count in range(published, due):
            seq, device = divmod(count, rate)
            signs = {"heart_rate": 70.0 + device % 20, "spo2": 97.0, "resp_rate": 16.0, "temperature": 36.8}
            payload = encode(reading(now, signs, boot=boot, seq=seq + 1, patient_id=f"p-{device}"))
            client.publish(TOPICS.vitals("load", f"device-{device}"), payload, qos=1)
        published = due
    late = time.perf_counter() - start - seconds
    client.disconnect()
    client.loop_stop()
    if late > 1.0:
        sys.exit(1)
