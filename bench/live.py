"""Measure thousands of devices, each on its own connection, and every service behind them.

The delay from publishing to COMMIT is exact and costs ingest nothing: every row knows its transaction, PostgreSQL keeps
when each was committed (track_commit_timestamp), and a reading's own time is the moment before it was published.
"""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import psycopg

from bench.alert_probes import Delays, probe
from bench.environment import Environment
from bench.load_generator import WARD
from bench.report import Log, Result
from bench.resource_usage import Usage, Used, memory_mib
from bench.services import running
from vitals.errors import PermanentError

WARM_UP_S = 5.0
MINUTE_TWO_S = 120.0
PROBES = 1000  # at most: each is a device that the worker knows from then on
DEVICES_A_PROBE = 250  # a probe a second for so many: what it costs is a part of a reading's cost, always the same
SETTLED_S = 5.0  # seconds without a new row after which no more comes
DATABASE = {"track_commit_timestamp": "on"}
"""What the database is started with, beside what it always is."""


@dataclass
class LiveResult(Result):
    """The figures of one run. `late_s` is how late the load itself was at worst: a figure beside a large one is the
    machine's and not ours."""

    devices: int
    seconds: float
    messages_per_s: float = 0.0
    published: int = 0
    stored: int = 0
    lost: int = 0
    duplicates: int = 0
    disconnected: int = 0
    receipts_per_device_s: float = 0.0
    late_s: float = 0.0
    to_committed_p50_ms: float = 0.0
    to_committed_p99_ms: float = 0.0
    to_committed_worst_ms: float = 0.0
    to_alert: Delays | None = None
    used: dict[str, Used] = field(default_factory=dict)
    cpu_us_per_reading: dict[str, float] = field(default_factory=dict)
    ingest_mib_at_minute_2: float | None = None
    machine: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Format the figures for a terminal."""
        alert = self.to_alert
        assert alert is not None
        minute_two = (
            "" if self.ingest_mib_at_minute_2 is None else f", ingest at minute 2 {self.ingest_mib_at_minute_2}"
        )
        return "\n".join(
            [
                f"readings              {self.published} published, {self.stored} stored, {self.lost} lost, "
                f"{self.duplicates} doubled; {self.messages_per_s:.0f} a second",
                f"publish to committed  p50 {self.to_committed_p50_ms} ms, p99 {self.to_committed_p99_ms} ms, "
                f"worst {self.to_committed_worst_ms} ms",
                f"publish to alert      p50 {alert.p50_ms} ms, p99 {alert.p99_ms} ms, worst {alert.worst_ms} ms; "
                f"{alert.probes} probes, {alert.missing} without an alert",
                f"receipts              {self.receipts_per_device_s} a device and second",
                f"the load              {self.disconnected} connections lost, late by {self.late_s} s at worst",
                *(
                    f"{name:<21} {used.cores} of a core, {self.cpu_us_per_reading[name]} us a reading, "
                    f"{used.peak_mib} MiB at most, {used.end_mib} at the end"
                    for name, used in self.used.items()
                ),
                ", ".join(self.machine.values()) + minute_two,
            ]
        )


def live(environment: Environment, devices: int, seconds: float, numbered: bool, log: Log) -> LiveResult:
    """Measure for `seconds`. `numbered`: False for devices without boot and seq, each sign in a message of its own.

    1. Start ingest and the worker; connect every device.
    2. After a warm-up measure processors and memory, and probe how soon alerts come.
    3. Let the devices end; wait for the last row.
    4. Ask the database: how many rows, and how long after its own time each was committed.
    """
    result = LiveResult(devices, seconds, machine=environment.machine)
    kind = "numbered" if numbered else "unnumbered"
    with running(environment, "ingest") as ingest, running(environment, "alerts", "run") as worker:
        generator = subprocess.Popen(
            [sys.executable, "-m", "bench.load_generator", str(environment.broker.port), str(devices), kind],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert generator.stdout is not None
            log(f"connecting {devices} devices")
            if not generator.stdout.readline():
                raise PermanentError("the devices could not connect")
            time.sleep(WARM_UP_S)
            pids = {
                "devices": generator.pid,
                "broker": environment.broker.pid,
                "ingest": ingest.pid,
                "alerts": worker.pid,
                "database": environment.database.pid,
            }
            log(f"measuring for {seconds:g} s")
            begun = time.time()
            _measure(result, environment, pids, log)
            ended = time.time()
            generator.terminate()
            load = json.loads(generator.communicate(timeout=60)[0])
        finally:
            generator.kill()
            generator.wait()
        result.published = load["published"]
        result.disconnected = load["disconnected"]
        result.late_s = round(load["late_s"], 3)
        result.receipts_per_device_s = round(load["receipts"] / devices / (ended - begun + WARM_UP_S), 3)
        _ask(result, environment, begun, ended)
    return result


def _measure(result: LiveResult, environment: Environment, pids: dict[str, int], log: Log) -> None:
    usage = Usage(pids)
    usage.start()
    started = time.monotonic()
    at_minute_two = threading.Timer(MINUTE_TWO_S, lambda: _note_memory(result, pids["ingest"]))
    at_minute_two.start()
    per_s = min(result.devices / DEVICES_A_PROBE, PROBES / result.seconds)
    result.to_alert = probe(environment.broker.port, result.seconds, per_s)
    at_minute_two.cancel()
    seconds = time.monotonic() - started
    result.used = usage.stop(seconds)
    log("settling")


def _note_memory(result: LiveResult, pid: int) -> None:
    result.ingest_mib_at_minute_2 = round(memory_mib(pid), 1)


def _ask(result: LiveResult, environment: Environment, begun: float, ended: float) -> None:
    """Wait for the last row; then count, and ask for the delays of what was measured between the two moments."""
    count = """
        SELECT count(*), count(DISTINCT (device_id, boot, seq, CASE WHEN seq < 0 THEN time END)),
               count(*) FILTER (WHERE received_at BETWEEN to_timestamp(%s) AND to_timestamp(%s))
        FROM patient_vitals WHERE ward = %s"""
    delays = """
        SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
                   ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - time))
        FROM patient_vitals WHERE ward = %s AND time BETWEEN to_timestamp(%s) AND to_timestamp(%s)"""
    with psycopg.connect(environment.database.url(), autocommit=True) as connection:
        seen, since = -1, time.monotonic()
        while seen < result.published and time.monotonic() - since < SETTLED_S:
            row = connection.execute("SELECT count(*) FROM patient_vitals WHERE ward = %s", [WARD]).fetchone()
            assert row is not None
            if row[0] != seen:
                seen, since = row[0], time.monotonic()
            time.sleep(0.2)
        row = connection.execute(count, [begun, ended, WARD]).fetchone()
        assert row is not None
        rows, result.stored, measured = row
        result.messages_per_s = round(measured / (ended - begun))
        result.lost = result.published - result.stored
        result.duplicates = rows - result.stored
        found = connection.execute(delays.encode(), [WARD, begun, ended]).fetchone()
        if found is None or found[0] is None:
            raise PermanentError(
                f"none of {result.published} readings was measured and stored in the {result.seconds:g} s"
            )
        readings = result.messages_per_s * (ended - begun)
        result.cpu_us_per_reading = {name: round(used.cpu_s / readings * 1e6, 1) for name, used in result.used.items()}
        milliseconds = (round(seconds * 1000, 1) for seconds in found[0])
        result.to_committed_p50_ms, result.to_committed_p99_ms, result.to_committed_worst_ms = milliseconds
