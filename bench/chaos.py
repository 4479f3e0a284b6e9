"""Whatever is killed, cut, stalled or full: is every reading stored once, and every alert raised once?

A whole VitalFlow under load, with a proxy in each link. Faults strike one after the other at seeded moments; then all
of it may settle, and what the devices wrote down is compared with the table.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random

import psycopg

from bench.accounting import Record, Span, account_alerts, doubled_rows, lost_with_broker, never_in_outbox
from bench.alert_recorder import AlertRecorder, retained
from bench.chaos_environment import READINGS_PER_S, WATCHED, ChaosEnvironment
from bench.chaos_report import ChaosReport
from bench.environment import Environment
from bench.faults import Fault, FaultRecord, Kill, UptimeMonitor, WipeBrokerStore
from bench.recording_devices import STEADY, WRONG_CLOCK, Name
from bench.report import Log
from vitals.errors import PermanentError
from vitals.topics import Topics

VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links", "disk")
TIMEOUT_S = 60.0  # seconds for readings to be stored again, and at the end for the last one
LONG_S, SHORT_S = 25.0, 6.0  # seconds that a link is down now and then; the long ones outlast every keep-alive
LONG_RUN_S = 240.0  # seconds of a run that has room for those
AUTOSAVE_S = 10.0  # of mosquitto.conf: what a killed broker received since may be lost
SETTLED_S = 40.0  # seconds without a new row after which no more is expected; devices send again after 15

NAMES = """
    SELECT device_id, boot, seq, CASE WHEN seq > 0 THEN 0 ELSE (extract(epoch FROM time) * 1000)::bigint END
    FROM patient_vitals"""
"""The name of each row, as `recording_devices.name` has it."""


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
        chaos_environment = ChaosEnvironment(environment, devices, ends)
        recorder = AlertRecorder(environment.broker.port, Topics())
        ends.callback(recorder.close)
        chaos_environment.start()
        _acknowledge_half(recorder)
        faults = chaos_environment.faults(victims, LONG_S if seconds >= LONG_RUN_S else SHORT_S)
        if "disk" in victims and environment.disk is None:
            report.not_run.append("a full disk of the database: no small file system could be mounted")
        if not faults:
            raise PermanentError("; ".join(["no fault can be injected", *report.not_run]))
        uptime = UptimeMonitor(chaos_environment.alerts)
        log(
            f"{devices} devices, {READINGS_PER_S} readings/s, seed {seed}; victims: {', '.join(f.name for f in faults)}"
        )
        until = time.monotonic() + seconds
        turn: list[Fault] = []
        outages: list[Span] = []  # of the broker
        while time.monotonic() < until:
            turn = turn or moment.sample(faults, len(faults))
            time.sleep(moment.uniform(0.3, 1.5))
            fault = turn.pop()
            begun = time.time()
            _inject(fault, moment, uptime, chaos_environment, report, log)
            if fault.name.startswith("broker"):
                outages.append((begun - AUTOSAVE_S, time.time()))
        log("all is well again; waiting for what is still owed")
        calm = time.time()
        time.sleep(10)  # for alarms that fell due at the end
        uptime.close()
        _rows(environment, calm, Record.read(chaos_environment.records), chaos_environment.last_lines, outages)
        log("the devices end their day")
        chaos_environment.finish()
        record = Record.read(chaos_environment.records)
        rows = _rows(environment, time.time(), record, chaos_environment.last_lines, outages)
        report.unwritten = len(gone := never_in_outbox(record, rows, chaos_environment.last_lines))
        report.generated = len(record.made) - len(gone)
        missing = record.made.keys() - set(rows) - gone
        report.lost_with_broker = len(excused := lost_with_broker(missing, record, outages))
        lost = missing - excused
        report.lost = len(lost)
        report.examples = [f"{' '.join(map(str, name))} made at {record.made[name]:.1f}" for name in sorted(lost)[:20]]
        _count(report, environment, record, rows, recorder, uptime)
    return report


def _acknowledge_half(recorder: AlertRecorder) -> None:
    """Wait for the steady alarms, and acknowledge every other one of them."""
    expected = WATCHED // 2
    deadline = time.monotonic() + 30
    while len(steady := [a for (name, _), a in recorder.now.items() if name.startswith(STEADY)]) < expected:
        if time.monotonic() > deadline:
            raise PermanentError(f"{len(steady)} of {expected} alarms came at the start")
        time.sleep(0.1)
    for alert in steady[::2]:
        recorder.acknowledge(alert)


def _inject(
    fault: Fault,
    moment: Random,
    uptime: UptimeMonitor,
    chaos_environment: ChaosEnvironment,
    report: ChaosReport,
    log: Log,
) -> None:
    if fault.stops_alerts:
        uptime.close()
    fault_record = fault.inject(moment)
    report.faults[fault.name] = report.faults.get(fault.name, 0) + 1
    report.kills += isinstance(fault, Kill | WipeBrokerStore)
    if fault.stops_alerts and not uptime.reopen(TIMEOUT_S):
        report.not_recovered.append(f"{fault_record.what}: the worker")
    took = (
        time.time() - fault_record.over
        if fault.name == "alerts"
        else _stored_again(chaos_environment.environment, fault, fault_record)
    )
    if took is None:
        report.not_recovered.append(fault_record.what)
        log(f"{fault_record.what}: nothing stored within {TIMEOUT_S:.0f} s")
        return
    report.recovery_s[fault.name] = round(max(took, report.recovery_s.get(fault.name, 0.0)), 2)
    back = "readings evaluated" if fault.name == "alerts" else "readings stored"
    log(f"{fault_record.what} for {fault_record.over - fault_record.began:.1f} s, {back} again {took:.1f} s later")


def _stored_again(environment: Environment, fault: Fault, fault_record: FaultRecord) -> float | None:
    """Seconds from the return until a reading measured after it is in the table; None where that never happens."""
    question = """
        SELECT 1 FROM patient_vitals
        WHERE time > to_timestamp(%s) AND ward = coalesce(%s, ward) AND NOT device_id LIKE %s LIMIT 1"""
    deadline = time.monotonic() + TIMEOUT_S
    with psycopg.connect(environment.database.url(), autocommit=True) as connection:
        while connection.execute(question, [fault_record.over, fault.ward, f"%{WRONG_CLOCK}%"]).fetchone() is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
    return time.time() - fault_record.over


def _rows(
    environment: Environment, until: float, record: Record, last_lines: Sequence[str], outages: Sequence[Span]
) -> list[Name]:
    """The name of every row, once all that was made until then is there, or no more comes."""
    owed = {name for name, moment in record.made.items() if moment <= until}
    owed -= never_in_outbox(record, (), last_lines) | lost_with_broker(owed, record, outages)
    missing, since = -1, time.monotonic()
    with psycopg.connect(environment.database.url(), autocommit=True) as connection:
        while True:
            rows = connection.execute(NAMES).fetchall()
            left = len(owed.difference(rows))
            if left != missing:
                missing, since = left, time.monotonic()
            if not left or time.monotonic() - since > SETTLED_S:
                return rows
            time.sleep(1)


def _count(
    report: ChaosReport,
    environment: Environment,
    record: Record,
    rows: list[Name],
    recorder: AlertRecorder,
    uptime: UptimeMonitor,
) -> None:
    with psycopg.connect(environment.database.url(), autocommit=True) as connection:
        history = {(row[0], row[1]) for row in connection.execute("SELECT alert_id, revision FROM alert_event")}
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM rejected_message), (SELECT count(*) FROM device_gap)"
        ).fetchone()
    assert counts is not None
    report.rejected, report.gaps = counts
    report.acknowledged_by_broker = len(record.taken)
    report.stored = len(set(rows))
    report.duplicates = doubled_rows(rows)
    report.unknown = len(set(rows) - record.made.keys())
    alarms = account_alerts(record, list(recorder.received), retained(environment.broker.port, Topics()), uptime.spans)
    report.alerts_raised, report.alerts_due = alarms.raised, alarms.due
    report.alerts_lost, report.alerts_doubled = alarms.lost, alarms.doubled
    report.alert_changes_not_in_history = len({(a.alert_id, a.revision) for a in recorder.received} - history)
