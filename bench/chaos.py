"""Whatever is killed, cut, stalled or full: is every reading stored once, and every alert raised once?

A whole VitalFlow under load, with a proxy in each link. Faults strike one after the other at seeded moments; then all
of it may settle, and what the devices wrote down is compared with the table.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random

import psycopg

from bench.beds import STEADY
from bench.faults import Awake, Fault, Kill, LoseStore, Struck
from bench.ground import Ground
from bench.hospital import READINGS_PER_S, WATCHED, Hospital
from bench.survived import Survived
from bench.verdict import Name, Record, doubled_rows, judge, unwritten
from bench.witness import Witness, retained
from vitals.errors import PermanentError
from vitals.topics import Topics

VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links", "disk")
PATIENCE = 60.0  # seconds for readings to be stored again, and at the end for the last one
LONG_S, SHORT_S = 25.0, 6.0  # seconds that a link is down now and then; the long ones outlast every keep-alive
LONG_RUN_S = 240.0  # seconds of a run that has room for those
STILL = 40.0  # seconds without a new row after which no more is expected; devices send again after 15
Say = Callable[[str], None]


def chaos(ground: Ground, seconds: float, victims: Sequence[str], devices: int, seed: int, say: Say) -> Survived:
    """Harm `victims` in turn for `seconds`.

    1. Put a proxy into each link; start ingest, the worker, and devices that write down what they make.
    2. Strike, in an order and at moments that the seed gives; after each fault wait until readings are stored again.
    3. Wait until all that was made is stored, or no more comes. Then end the devices' day: they make no more readings
       and deliver what they have.
    4. Count what the devices wrote down, what is in the table, and the alerts.
    """
    survived = Survived(seconds, seed, devices, READINGS_PER_S, machine=ground.machine)
    moment = Random(seed)
    with ExitStack() as ends:
        hospital = Hospital(ground, devices, ends)
        witness = Witness(ground.broker.port, Topics())
        ends.callback(witness.close)
        hospital.start()
        _acknowledge_half(witness)
        faults = hospital.faults(victims, LONG_S if seconds >= LONG_RUN_S else SHORT_S)
        if "disk" in victims and ground.disk is None:
            survived.not_run.append("a full disk of the database: no small file system could be mounted")
        if not faults:
            raise PermanentError("; ".join(["there is nobody to harm", *survived.not_run]))
        awake = Awake(hospital.alerts)
        say(
            f"{devices} devices, {READINGS_PER_S} readings/s, seed {seed}; victims: {', '.join(f.name for f in faults)}"
        )
        until = time.monotonic() + seconds
        turn: list[Fault] = []
        while time.monotonic() < until:
            turn = turn or moment.sample(faults, len(faults))
            time.sleep(moment.uniform(0.3, 1.5))
            _strike(turn.pop(), moment, awake, hospital, survived, say)
        say("all is well again; waiting for what is still owed")
        calm = time.time()
        time.sleep(10)  # for alarms that fell due at the end
        awake.close()
        _rows(ground, calm, Record.read(hospital.records), hospital.cut_short)
        say("the devices end their day")
        hospital.end_of_shift()
        record = Record.read(hospital.records)
        rows = _rows(ground, time.time(), record, hospital.cut_short)
        survived.unwritten = len(gone := unwritten(record, rows, hospital.cut_short))
        survived.generated = len(record.made) - len(gone)
        survived.lost = len(record.made.keys() - set(rows) - gone)
        _count(survived, ground, record, rows, witness, awake)
    return survived


def _acknowledge_half(witness: Witness) -> None:
    """Wait for the steady alarms, and acknowledge every other one of them."""
    expected = WATCHED // 2
    deadline = time.monotonic() + 30
    while len(steady := [a for (name, _), a in witness.now.items() if name.startswith(STEADY)]) < expected:
        if time.monotonic() > deadline:
            raise PermanentError(f"{len(steady)} of {expected} alarms came at the start")
        time.sleep(0.1)
    for alert in steady[::2]:
        witness.acknowledge(alert)


def _strike(fault: Fault, moment: Random, awake: Awake, hospital: Hospital, survived: Survived, say: Say) -> None:
    if fault.stops_alarms:
        awake.close()
    struck = fault.strike(moment)
    survived.faults[fault.name] = survived.faults.get(fault.name, 0) + 1
    survived.kills += isinstance(fault, Kill | LoseStore)
    if fault.stops_alarms and not awake.reopen(PATIENCE):
        survived.not_recovered.append(f"{struck.what}: the worker")
    took = time.time() - struck.over if fault.name == "alerts" else _stored_again(hospital.ground, fault, struck)
    if took is None:
        survived.not_recovered.append(struck.what)
        say(f"{struck.what}: nothing stored within {PATIENCE:.0f} s")
        return
    survived.recovery_s[fault.name] = round(max(took, survived.recovery_s.get(fault.name, 0.0)), 2)
    back = "readings evaluated" if fault.name == "alerts" else "readings stored"
    say(f"{struck.what} for {struck.over - struck.began:.1f} s, {back} again {took:.1f} s later")


def _stored_again(ground: Ground, fault: Fault, struck: Struck) -> float | None:
    """Seconds from the return until a reading measured after it is in the table; None where that never happens."""
    question = "SELECT 1 FROM patient_vitals WHERE time > to_timestamp(%s) AND ward = coalesce(%s, ward) LIMIT 1"
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(ground.database.url(), autocommit=True) as connection:
        while connection.execute(question, [struck.over, fault.ward]).fetchone() is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
    return time.time() - struck.over


def _rows(ground: Ground, until: float, record: Record, cut_short: Sequence[str]) -> list[Name]:
    """The name of every row, once all that was made until then is there, or no more comes."""
    owed = {name for name, moment in record.made.items() if moment <= until} - unwritten(record, (), cut_short)
    missing, since = -1, time.monotonic()
    with psycopg.connect(ground.database.url(), autocommit=True) as connection:
        while True:
            rows = connection.execute("SELECT device_id, boot, seq FROM patient_vitals").fetchall()
            left = len(owed.difference(rows))
            if left != missing:
                missing, since = left, time.monotonic()
            if not left or time.monotonic() - since > STILL:
                return rows
            time.sleep(1)


def _count(
    survived: Survived,
    ground: Ground,
    record: Record,
    rows: list[Name],
    witness: Witness,
    awake: Awake,
) -> None:
    with psycopg.connect(ground.database.url(), autocommit=True) as connection:
        history = {(row[0], row[1]) for row in connection.execute("SELECT alert_id, revision FROM alert_event")}
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM rejected_message), (SELECT count(*) FROM device_gap)"
        ).fetchone()
    assert counts is not None
    survived.rejected, survived.gaps = counts
    survived.acknowledged_by_broker = len(record.taken)
    survived.stored = len(set(rows))
    survived.duplicates = doubled_rows(rows)
    alarms = judge(record, list(witness.told), retained(ground.broker.port, Topics()), awake.spans)
    survived.alerts_raised, survived.alerts_due = alarms.raised, alarms.due
    survived.alerts_lost, survived.alerts_doubled = alarms.lost, alarms.doubled
    survived.alert_changes_not_in_history = len({(a.alert_id, a.revision) for a in witness.told} - history)
