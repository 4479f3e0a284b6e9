"""Whatever is killed, cut, stalled or full: is every reading stored once, and every alert raised once?

A whole VitalFlow under load, with a proxy in each link. Faults strike one after the other at seeded moments; then all
of it may settle, and what the devices wrote down is compared with the table.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random

import psycopg

from bench.chaos_environment import ChaosEnvironment
from bench.environment import Environment
from bench.fault_run import AUTOSAVE_S, READINGS_PER_S, TIMEOUT_S, WATCHED, FaultCounts, FaultRun
from bench.faults import Fault
from bench.recording_devices import STEADY
from bench.report import Log
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError

VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links", "disk")
LONG_S, SHORT_S = 25.0, 6.0  # seconds that a link is down now and then; the long ones outlast every keep-alive
LONG_RUN_S = 240.0  # minimum duration of a run with those


@dataclass(kw_only=True)
class ChaosReport(FaultCounts):
    """The counts of one run.

    recovery_s    the longest, by victim, from its return until readings measured after it are in the table (for alerts:
                  until the worker evaluates readings again)
    """

    seconds: float
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    acknowledged_by_broker: int = 0
    rejected: int = 0
    gaps: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)


def chaos(
    environment: Environment, seconds: float, victims: Sequence[str], devices: int, seed: int, log: Log
) -> ChaosReport:
    """Harm `victims` in turn for `seconds`.

    1. Put a proxy into each link; start ingest, the worker, and devices that write down what they make.
    2. Strike, in an order and at moments that the seed gives; after each fault wait until readings are stored again.
    3. Wait until all that was made is stored, or no more comes. Then end the devices' day: they make no more readings
       and deliver what they have.
    4. Count what the devices wrote down, what is in the table, and the alerts.
    """
    report = ChaosReport(seconds=seconds, seed=seed, devices=devices, machine=environment.machine)
    moment = Random(seed)
    with ExitStack() as ends:
        run = _Run(ChaosEnvironment(environment, devices, ends), report, log)
        ends.callback(run.recorder.close)
        run.programs.start()
        run.recorder.acknowledge_half(STEADY, WATCHED // 2, 30.0)
        faults = run.programs.faults(victims, LONG_S if seconds >= LONG_RUN_S else SHORT_S)
        if "disk" in victims and environment.disk is None:
            report.not_run.append("a full disk of the database: no small file system could be mounted")
        if not faults:
            raise PermanentError("; ".join(["no fault can be injected", *report.not_run]))
        names = ", ".join(fault.name for fault in faults)
        log(f"{devices} devices, {READINGS_PER_S} readings/s, seed {seed}; victims: {names}")
        until = time.monotonic() + seconds
        turn: list[Fault] = []
        while time.monotonic() < until:
            turn = turn or moment.sample(faults, len(faults))
            time.sleep(moment.uniform(0.3, 1.5))
            run.inject(turn.pop(), moment)
        run.end()
        run.count_all()
    return report


class _Run(FaultRun):
    """One run: what is harmed, and what was seen of it."""

    def __init__(self, programs: ChaosEnvironment, report: ChaosReport, log: Log) -> None:
        self.programs = programs
        self._environment = environment = programs.environment
        self._report = report
        broker = BrokerEndpoint.parse(environment.broker.url)
        super().__init__(programs.fleets, broker, self._connect_as_owner, programs.evaluated, log)

    def inject(self, fault: Fault, moment: Random) -> None:
        """Inject a fault, and wait until it is recovered from."""
        report, began = self._report, time.time()
        if fault.stops_alerts:
            self.uptime.close()
        what = fault.strike(moment)
        over = time.time()
        fault.restore()
        report.faults[fault.name] = report.faults.get(fault.name, 0) + 1
        report.kills += fault.is_kill
        if fault.stops_alerts and not self.uptime.reopen():
            report.not_recovered.append(f"{what}: the worker")
        if fault.name != "alerts" and not self.stored_since(over, fault.ward):
            report.not_recovered.append(what)
            self._log(f"{what}: nothing stored within {TIMEOUT_S:.0f} s")
            return
        took = time.time() - over
        report.recovery_s[fault.name] = round(max(took, report.recovery_s.get(fault.name, 0.0)), 2)
        back = "readings evaluated" if fault.name == "alerts" else "readings stored"
        self._log(f"{what} for {over - began:.1f} s, {back} again {took:.1f} s later")
        if fault.name.startswith("broker"):
            self.outages.append((began - AUTOSAVE_S, time.time()))

    def count_all(self) -> None:
        """Count, with what the database and the broker say about it."""
        report = self._report
        report.acknowledged_by_broker = len(self.count(report).record.taken)
        counts = "SELECT (SELECT count(*) FROM rejected_message), (SELECT count(*) FROM device_gap)"
        report.rejected, report.gaps = self._environment.ask(counts)

    def _connect_as_owner(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self._environment.database.url(), autocommit=True)
