"""How many readings a second the alarm engine evaluates on one core: no sockets, no JSON.

The patients are made up and mostly well: heart rate, saturation and breathing wander every second, a cuff measures
every five minutes, and one bed in ten deteriorates, so that rules are pending, active and clearing all the time. The
same number of readings is spread over few beds and over many. Over many, each bed has fewer readings, and more of them
are those of its first crisis, which cost about five times as much as others.
"""

import time
from datetime import UTC, datetime, timedelta
from random import Random

from alerts.engine.bed import Bed
from alerts.rulefile.parser import load
from bench.environment import describe_machine
from bench.report import Figures, Log
from vitals.reading import Reading, reading
from vitals.rules import RuleSet

FEW, MANY = 25, 2_000  # beds: a ward, and a large hospital
ROUNDS = 3  # the best of so many counts: what disturbs a measurement only ever makes it slower
CUFF_S = 300


def engine(readings: int, log: Log) -> Figures:
    """Evaluate so many readings with the default rules, on few beds and on many."""
    rules = load()
    rates = [_best(rules, readings, beds, log) for beds in (FEW, MANY)]
    return {"readings": readings, "rules": len(rules.rules), "rates": rates, "machine": describe_machine()}


def _best(rules: RuleSet, readings: int, beds: int, log: Log) -> Figures:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    stream = [_reading(start, *divmod(number, beds)) for number in range(readings)]
    rates = []
    changes = 0
    for _ in range(ROUNDS):
        ward = [Bed(f"device-{number}", "bench", rules, start) for number in range(beds)]
        changes = 0
        begun = time.process_time()
        for number, sample in enumerate(stream):
            changes += len(ward[number % beds].evaluate(sample, "bench", sample.time))
        rates.append(round(readings / (time.process_time() - begun)))
        log(f"{beds} beds: {rates[-1]} readings/s, {changes} changes")
    return {"beds": beds, "readings_per_s": max(rates), "alert_changes": changes}


def _reading(start: datetime, second: int, bed: int) -> Reading:
    chance = Random(second * MANY + bed)
    # One in ten has a crisis of a minute in every five, half a minute of it beyond the limits.
    worse = max(0, 30 - abs(30 - second % 300)) if bed % 10 == 0 else 0
    signs = {
        "heart_rate": 80.0 + chance.randrange(-8, 9) + 2 * worse,
        "spo2": min(100.0, 97.0 + chance.randrange(-1, 2) - worse / 2),
        "resp_rate": 16.0 + chance.randrange(-3, 4) + worse / 3,
        "temperature": 36.8 + chance.randrange(-1, 2) / 10,
    }
    if second % CUFF_S == bed % CUFF_S:
        signs |= {"systolic_bp": 120.0 + chance.randrange(-9, 10), "diastolic_bp": 75.0}
    return reading(start + timedelta(seconds=second), signs, boot=1, seq=second + 1, patient_id=f"p-{bed}")
