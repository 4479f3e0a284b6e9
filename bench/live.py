"""A hospital's day in small: thousands of devices, each on its own connection, and everything behind them.

The delay from publishing to COMMIT is exact and costs ingest nothing: every row knows its transaction, PostgreSQL keeps
when each was committed (track_commit_timestamp), and a reading's own time is the moment before it was published.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import psycopg

from bench.crowd import WARD
from bench.ground import Ground
from bench.probes import Delays, probe
from bench.services import running
from bench.usage import Usage, Used, memory_mib
from vitals.errors import PermanentError

WARM_UP_S = 5.0
MINUTE_TWO_S = 120.0
PROBES = 1000  # at most: each is a device that the worker knows from then on
DEVICES_A_PROBE = 250  # a probe a second for so many: what it costs is a part of a reading's cost, always the same
SETTLED_S = 5.0  # seconds without a new row after which no more comes
Say = Callable[[str], None]
DATABASE = {"track_commit_timestamp": "on"}
"""What the database is started with, beside what it always is."""


@dataclass
class Lived:
    """The figures of one run. `late_s` is how late the load itself was at worst: a figure beside a large one is the
    machine's and not ours."""

    devices: int
    seconds: float
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

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def live(ground: Ground, devices: int, seconds: float, say: Say) -> Lived:
    """Measure for `seconds`.

    1. Start ingest and the worker; connect every device.
    2. After a warm-up measure processors and memory, and probe how soon alerts come.
    3. Let the devices end; wait for the last row.
    4. Ask the database: how many rows, and how long after its own time each was committed.
    """
    lived = Lived(devices, seconds, machine=ground.machine)
    with running(ground, "ingest") as ingest, running(ground, "alerts", "run") as worker:
        crowd = subprocess.Popen(
            [sys.executable, "-m", "bench.crowd", str(ground.broker.port), str(devices)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert crowd.stdout is not None
            say(f"connecting {devices} devices")
            if not crowd.stdout.readline():
                raise PermanentError("the devices could not connect")
            time.sleep(WARM_UP_S)
            pids = {
                "devices": crowd.pid,
                "broker": ground.broker.pid,
                "ingest": ingest.pid,
                "alerts": worker.pid,
                "database": ground.database.pid,
            }
            say(f"measuring for {seconds:g} s")
            begun = time.time()
            _measure(lived, ground, pids, say)
            ended = time.time()
            crowd.terminate()
            spoken = json.loads(crowd.communicate(timeout=60)[0])
        finally:
            crowd.kill()
            crowd.wait()
        lived.published = spoken["published"]
        lived.disconnected = spoken["disconnected"]
        lived.late_s = round(spoken["late_s"], 3)
        lived.receipts_per_device_s = round(spoken["receipts"] / devices / (ended - begun + WARM_UP_S), 3)
        _ask(lived, ground, begun, ended)
    return lived


def _measure(lived: Lived, ground: Ground, pids: dict[str, int], say: Say) -> None:
    usage = Usage(pids)
    usage.start()
    started = time.monotonic()
    at_minute_two = threading.Timer(MINUTE_TWO_S, lambda: _note_memory(lived, pids["ingest"]))
    at_minute_two.start()
    per_s = min(lived.devices / DEVICES_A_PROBE, PROBES / lived.seconds)
    lived.to_alert = probe(ground.broker.port, lived.seconds, per_s)
    at_minute_two.cancel()
    seconds = time.monotonic() - started
    lived.used = usage.stop(seconds)
    readings = lived.devices * seconds
    lived.cpu_us_per_reading = {name: round(used.cpu_s / readings * 1e6, 1) for name, used in lived.used.items()}
    say("settling")


def _note_memory(lived: Lived, pid: int) -> None:
    lived.ingest_mib_at_minute_2 = round(memory_mib(pid), 1)


def _ask(lived: Lived, ground: Ground, begun: float, ended: float) -> None:
    """Wait for the last row; then count, and ask for the delays of what was measured between the two moments."""
    count = "SELECT count(*), count(DISTINCT (device_id, boot, seq)) FROM patient_vitals WHERE ward = %s"
    delays = """
        SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
                   ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - time))
        FROM patient_vitals WHERE ward = %s AND time BETWEEN to_timestamp(%s) AND to_timestamp(%s)"""
    with psycopg.connect(ground.database.url(), autocommit=True) as connection:
        seen, since = -1, time.monotonic()
        while seen < lived.published and time.monotonic() - since < SETTLED_S:
            row = connection.execute("SELECT count(*) FROM patient_vitals WHERE ward = %s", [WARD]).fetchone()
            assert row is not None
            if row[0] != seen:
                seen, since = row[0], time.monotonic()
            time.sleep(0.2)
        row = connection.execute(count, [WARD]).fetchone()
        assert row is not None
        rows, lived.stored = row
        lived.lost = lived.published - lived.stored
        lived.duplicates = rows - lived.stored
        found = connection.execute(delays.encode(), [WARD, begun, ended]).fetchone()
        if found is None or found[0] is None:
            raise PermanentError(
                f"none of {lived.published} readings was measured and stored in the {lived.seconds:g} s"
            )
        told = (round(seconds * 1000, 1) for seconds in found[0])
        lived.to_committed_p50_ms, lived.to_committed_p99_ms, lived.to_committed_worst_ms = told


def told(lived: Lived) -> str:
    """The figures for people."""
    alert = lived.to_alert
    assert alert is not None
    minute_two = "" if lived.ingest_mib_at_minute_2 is None else f", ingest at minute 2 {lived.ingest_mib_at_minute_2}"
    return "\n".join(
        [
            f"readings              {lived.published} published, {lived.stored} stored, {lived.lost} lost, "
            f"{lived.duplicates} doubled",
            f"publish to committed  p50 {lived.to_committed_p50_ms} ms, p99 {lived.to_committed_p99_ms} ms, "
            f"worst {lived.to_committed_worst_ms} ms",
            f"publish to alert      p50 {alert.p50_ms} ms, p99 {alert.p99_ms} ms, worst {alert.worst_ms} ms; "
            f"{alert.probes} probes, {alert.missing} without an alert",
            f"receipts              {lived.receipts_per_device_s} a device and second",
            f"the load              {lived.disconnected} connections lost, late by {lived.late_s} s at worst",
            *(
                f"{name:<21} {used.cores} of a core, {lived.cpu_us_per_reading[name]} us a reading, "
                f"{used.peak_mib} MiB at most, {used.end_mib} at the end"
                for name, used in lived.used.items()
            ),
            ", ".join(lived.machine.values()) + minute_two,
        ]
    )
