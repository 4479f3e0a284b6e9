"""How many readings a second the alarm engine evaluates on one core: no sockets, no JSON.

The patients are made up and mostly well: heart rate, saturation and breathing wander every second, a cuff measures
every five minutes, and one bed in ten deteriorates, so that rules are pending, active and clearing all the time. The
same number of readings is spread over few beds and over many; what the second costs more than the first is what
memory costs, because no reading looks at another bed.
"""

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from alerts.engine.bed import Bed
from alerts.rulefile.parser import load
from bench.environment import processor
from bench.report import Log, Result
from vitals.reading import Reading, reading
from vitals.rules import RuleSet

FEW, MANY = 25, 2_000  # beds: a ward, and a large hospital
ROUNDS = 3  # the best of so many counts: what disturbs a measurement only ever makes it slower
CUFF_S = 300


@dataclass(frozen=True)
class EngineResult(Result):
    """The figures of one run; rates in readings a second of one core."""

    readings: int
    rules: int
    few_beds: int
    few_beds_per_s: int
    many_beds: int
    many_beds_per_s: int
    changes: int  # of alerts, in the run over few beds
    machine: dict[str, str]

    def text(self) -> str:
        """Format the figures for a terminal."""
        return "\n".join(
            [
                f"{self.few_beds:>5} beds  {self.few_beds_per_s:>8} readings/s  {self.rules} rules",
                f"{self.many_beds:>5} beds  {self.many_beds_per_s:>8} readings/s",
                ", ".join(self.machine.values()),
            ]
        )


def engine(readings: int, log: Log) -> EngineResult:
    """Evaluate so many readings with the default rules, on few beds and on many."""
    rules = load()
    few, changes = _best(rules, readings, FEW, log)
    many, _ = _best(rules, readings, MANY, log)
    machine = {"cores": str(os.cpu_count()), "python": platform.python_version(), "processor": processor()}
    return EngineResult(readings, len(rules.rules), FEW, few, MANY, many, changes, machine)


def _best(rules: RuleSet, readings: int, beds: int, log: Log) -> tuple[int, int]:
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
    return max(rates), changes


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
