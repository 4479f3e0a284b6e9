"""Whatever is killed, cut, stalled or full: is every reading stored once, and every alert raised once?

A whole VitalFlow under load, with a proxy in each link. Faults strike one after the other at seeded moments; then all
of it may settle, and what the devices wrote down is compared with the table.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from random import Random

import psycopg

from bench.accounting import Record, Span, account_alerts, doubled_rows, lost_with_broker, never_in_outbox
from bench.alert_recorder import AlertRecorder, retained
from bench.chaos_environment import READINGS_PER_S, WATCHED, ChaosEnvironment
from bench.environment import Environment, settle
from bench.faults import Fault, UptimeMonitor
from bench.recording_devices import STEADY, WRONG_CLOCK, Name
from bench.report import Figures, Log
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError
from vitals.topics import Topics

VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links", "disk")
TIMEOUT_S = 60.0  # seconds for readings to be stored again, and at the end for the last one
LONG_S, SHORT_S = 25.0, 6.0  # seconds that a link is down now and then; the long ones outlast every keep-alive
LONG_RUN_S = 240.0  # minimum duration of a run with those
AUTOSAVE_S = 10.0  # of mosquitto.conf: what a killed broker received since may be lost
SETTLED_S = 40.0  # seconds without a new row after which no more is expected; devices send again after 15

NAMES = """
    SELECT device_id, boot, seq, CASE WHEN seq > 0 THEN 0 ELSE (extract(epoch FROM time) * 1000)::bigint END
    FROM patient_vitals"""
"""The name of each row, as `recording_devices.name` has it."""


@dataclass
class ChaosReport:
    """The counts of one run.

    recovery_s    the longest, by victim, from its return until readings measured after it are in the table (for alerts:
                  until the worker evaluates readings again)
    unwritten     see `accounting`, as for `lost_with_broker`; neither is in `lost`
    unknown       rows that no device made
    examples      some of the readings that were lost
    """

    seconds: float
    seed: int
    devices: int
    readings_per_s: float
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    generated: int = 0
    unwritten: int = 0
    acknowledged_by_broker: int = 0
    stored: int = 0
    lost: int = 0
    lost_with_broker: int = 0
    examples: list[str] = field(default_factory=list)
    duplicates: int = 0
    unknown: int = 0
    rejected: int = 0
    gaps: int = 0
    alerts_raised: int = 0
    alerts_due: int = 0
    alerts_lost: list[str] = field(default_factory=list)
    alerts_doubled: list[str] = field(default_factory=list)
    alert_changes_not_in_history: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)
    not_recovered: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    @property
    def nothing_lost_or_doubled(self) -> bool:
        """Whether nothing was lost or doubled and every victim recovered."""
        wrong = (self.lost, self.duplicates, self.unknown, self.alerts_lost, self.alerts_doubled, self.not_recovered)
        return not any(wrong)

    def as_dict(self) -> Figures:
        """Return the counts as figures."""
        return asdict(self)


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
    report = ChaosReport(seconds, seed, devices, READINGS_PER_S, machine=environment.machine)
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
        log("all is well again; waiting for what is still owed")
        calm = time.time()
        time.sleep(10)  # for alarms that fell due at the end
        run.uptime.close()
        run.settle(calm)
        log("the devices end their day")
        run.programs.finish()
        run.settle(time.time())
        run.count()
    return report


class _Run:
    """One run: what is harmed, and what was seen of it."""

    def __init__(self, programs: ChaosEnvironment, report: ChaosReport, log: Log) -> None:
        self.programs = programs
        self.recorder = AlertRecorder(BrokerEndpoint.parse(programs.environment.broker.url), Topics())
        self.uptime = UptimeMonitor(programs.alerts)
        self._environment = programs.environment
        self._report = report
        self._log = log
        self._outages: list[Span] = []  # of the broker

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
        if fault.stops_alerts and not self.uptime.reopen(TIMEOUT_S):
            report.not_recovered.append(f"{what}: the worker")
        if fault.name != "alerts" and not self._stored_since(over, fault.ward):
            report.not_recovered.append(what)
            self._log(f"{what}: nothing stored within {TIMEOUT_S:.0f} s")
            return
        took = time.time() - over
        report.recovery_s[fault.name] = round(max(took, report.recovery_s.get(fault.name, 0.0)), 2)
        back = "readings evaluated" if fault.name == "alerts" else "readings stored"
        self._log(f"{what} for {over - began:.1f} s, {back} again {took:.1f} s later")
        if fault.name.startswith("broker"):
            self._outages.append((began - AUTOSAVE_S, time.time()))

    def _stored_since(self, over: float, ward: str | None) -> bool:
        """Wait until a reading measured after that moment is in the table; False where that never happens."""
        query = """
            SELECT count(*) FROM patient_vitals
            WHERE time > to_timestamp(%s) AND ward = coalesce(%s, ward) AND NOT device_id LIKE %s"""
        deadline = time.monotonic() + TIMEOUT_S
        while self._environment.ask(query, over, ward, f"%{WRONG_CLOCK}%") == (0,):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def settle(self, until: float) -> None:
        """Wait until all that was made until then is stored, or no more comes."""
        record = Record.read(self.programs.records)
        owed = {name for name, moment in record.made.items() if moment <= until}
        owed -= never_in_outbox(record, (), self.programs.last_lines) | lost_with_broker(owed, record, self._outages)
        settle(lambda: len(owed.intersection(self._rows())), len(owed), SETTLED_S, poll_s=1.0)

    def _rows(self) -> list[Name]:
        with psycopg.connect(self._environment.database.url(), autocommit=True) as connection:
            return connection.execute(NAMES).fetchall()

    def count(self) -> None:
        """Compare what the devices made with the table, and the alerts that were due with those that came."""
        report, record, rows = self._report, Record.read(self.programs.records), self._rows()
        report.acknowledged_by_broker = len(record.taken)
        report.stored = len(set(rows))
        report.duplicates = doubled_rows(rows)
        report.unknown = len(set(rows) - record.made.keys())
        gone = never_in_outbox(record, rows, self.programs.last_lines)
        missing = record.made.keys() - set(rows) - gone
        excused = lost_with_broker(missing, record, self._outages)
        lost = sorted(missing - excused)
        report.generated = len(record.made) - len(gone)
        report.unwritten, report.lost_with_broker, report.lost = len(gone), len(excused), len(lost)
        report.examples = [f"{' '.join(map(str, name))} made at {record.made[name]:.1f}" for name in lost[:20]]
        counts = "SELECT (SELECT count(*) FROM rejected_message), (SELECT count(*) FROM device_gap)"
        report.rejected, report.gaps = self._environment.ask(counts)
        received = list(self.recorder.received)
        last = retained(BrokerEndpoint.parse(self._environment.broker.url), Topics())
        alarms = account_alerts(record, received, last, self.uptime.spans)
        report.alerts_raised, report.alerts_due = alarms.raised, alarms.due
        report.alerts_lost, report.alerts_doubled = alarms.lost, alarms.doubled
        with psycopg.connect(self._environment.database.url()) as connection:
            history = set(connection.execute("SELECT alert_id, revision FROM alert_event").fetchall())
        report.alert_changes_not_in_history = len({(alert.alert_id, alert.revision) for alert in received} - history)
