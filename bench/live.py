"""Measure thousands of devices, each on its own connection, and every service behind them.

The delay from publishing to COMMIT is exact and costs ingest nothing: every row knows its transaction, PostgreSQL keeps
when each was committed (track_commit_timestamp), and a reading's own time is the moment before it was published.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from bench.alert_probes import probe
from bench.environment import Environment, settle
from bench.load_generator import WARD
from bench.report import Figures, Log
from bench.resource_usage import Usage
from bench.services import running
from vitals.errors import PermanentError

WARM_UP_S = 5.0
PROBES = 1000  # at most: each is a device that the worker knows from then on
DEVICES_A_PROBE = 250  # a probe a second for so many: what it costs is a part of a reading's cost, always the same
SETTLED_S = 5.0  # seconds without a new row after which no more comes
COUNT = "SELECT count(*) FROM patient_vitals WHERE ward = %s"
COUNTS = """
    SELECT count(*), count(DISTINCT (device_id, boot, seq, CASE WHEN seq < 0 THEN time END)),
           count(*) FILTER (WHERE time BETWEEN to_timestamp(%s) AND to_timestamp(%s))
    FROM patient_vitals WHERE ward = %s"""
DELAYS = """
    SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
               ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - time))
    FROM patient_vitals WHERE ward = %s AND time BETWEEN to_timestamp(%s) AND to_timestamp(%s)"""
DATABASE = {"track_commit_timestamp": "on"}
"""What the database is started with, beside what it always is."""
ALARM_PATH_NICE = -6
"""Of broker and alert worker, which so get 3.8 times the share of a busy processor that another program here has. In
containers it is three to four times that of database and ingest (`cpu_shares` in docker-compose.yml)."""


def live(environment: Environment, devices: int, seconds: float, numbered: bool, log: Log) -> Figures:
    """Measure for `seconds`. `numbered`: False for devices without boot and seq, each sign in a message of its own.

    1. Start ingest and the worker; connect every device.
    2. After a warm-up measure processors and memory, and probe how soon alerts come.
    3. Let the devices end; wait for the last row.
    4. Ask the database: how many rows, and how long after its own time each was committed.

    `load_late_s` is how late the load itself was at worst: figures beside a large one are the machine's.
    `alarm_path_preferred` is whether this user may give broker and alert worker a larger share of the processors.
    """
    command = [sys.executable, "-m", "bench.load_generator", str(environment.broker.port), str(devices)]
    command += ["numbered" if numbered else "unnumbered"]
    with running(environment, "ingest") as ingest, running(environment, "alerts", "run") as worker:
        generator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
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
            preferred = all([_prefer(pids[name]) for name in ("broker", "alerts")])
            log(f"measuring for {seconds:g} s")
            usage, begun = Usage(pids), time.time()
            to_alert = probe(environment.broker.port, seconds, min(devices / DEVICES_A_PROBE, PROBES / seconds))
            took = time.time() - begun
            used = usage.stop()
            generator.terminate()
            load = json.loads(generator.communicate(timeout=60)[0])
        finally:
            generator.kill()
            generator.wait()
        log("settling")
        settle(lambda: int(environment.ask(COUNT, WARD)[0]), load["published"], SETTLED_S)
    rows, stored, measured = environment.ask(COUNTS, begun, begun + took, WARD)
    if not measured:
        raise PermanentError(f"none of {load['published']} readings was measured and stored in the {seconds:g} s")
    (delays,) = environment.ask(DELAYS, WARD, begun, begun + took)
    return {
        "devices": devices,
        "seconds": seconds,
        "messages_per_s": round(measured / took),
        "published": load["published"],
        "stored": stored,
        "lost": load["published"] - stored,
        "doubled": rows - stored,
        "disconnected": load["disconnected"],
        "load_late_s": round(load["late_s"], 3),
        "receipts_per_device_s": round(load["receipts"] / devices / (took + WARM_UP_S), 3),
        "publish_to_committed": dict(
            zip(("p50_ms", "p99_ms", "worst_ms"), (round(s * 1000, 1) for s in delays), strict=True)
        ),
        "publish_to_alert": to_alert,
        "alarm_path_preferred": preferred,
        "used": [
            {"program": name, "us_per_message": round(each.cpu_s / measured * 1e6, 1), **asdict(each)}
            for name, each in used.items()
        ],
        "machine": environment.machine,
    }


def _prefer(pid: int) -> bool:
    """Return whether a program got the larger share of a busy processor: not without the right to do so."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, ALARM_PATH_NICE)
        # Linux shares first among sessions, and every program here has one of its own (sched(7), autogroup).
        with suppress(FileNotFoundError):
            Path(f"/proc/{pid}/autogroup").write_text(str(ALARM_PATH_NICE))
    except OSError:
        return False
    return True
