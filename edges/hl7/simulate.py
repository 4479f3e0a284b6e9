"""Simulated monitors that send HL7: each bed has a connection, and sends a PCD-01 report at each interval."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from devices.scenario import Scenario
from devices.simulated_ward import simulated_ward
from devices.source import Source
from edges.hl7.client import Client, Receiver, Result
from edges.hl7.pcd01 import write_report
from edges.hl7.write import Origin

APPLICATION = "VITALFLOW-SIMULATOR"
AUTHORITY = "SIMULATED"
UNIT = "SIM"


@dataclass(slots=True)
class SimulationStats:
    """What has been sent. `skipped`: measurements that were due while the receiver did not answer."""

    answers: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def summary(self) -> str:
        """Return one sentence."""
        codes = ", ".join(f"{count} {code}" for code, count in sorted(self.answers.items())) or "no answer"
        return f"{self.answers.total()} messages: {codes}; {self.skipped} skipped because the receiver did not answer"


def simulated_beds(
    count: int, ward: str, *, seed: int = 0, scenario: Scenario = Scenario.MIXED, interval_s: float = 5.0
) -> list[Source]:
    """Return the sources of `count` beds, named `{ward}-hl7-01` and so on."""
    boot = int(time.time())
    sources = simulated_ward(
        count, ward=ward, boot=boot, seed=seed, scenario=scenario, interval_s=interval_s, prefix=f"{ward}-hl7-"
    )
    # `devices simulate` has patients p-0001 and so on, and a patient is in one bed.
    return [replace(source, patient_id=f"p-hl7-{number:04}") for number, source in enumerate(sources, 1)]


def site_file(sources: Sequence[Source]) -> str:
    """Return the configuration of a site (TOML) whose places are these beds."""
    places = [
        f'[[place]]\nunit = "{UNIT}"\nbed = "{bed_name(source)}"\nward = "{source.ward}"\ndevice = "{source.device}"\n'
        for source in sources
    ]
    return "\n".join(['zone = "UTC"\n', f'[patients]\nauthority = ["{AUTHORITY}"]\n', *places])


def bed_name(source: Source) -> str:
    """Return what a report of this source states as its bed."""
    return source.device.rpartition("-")[2]


async def simulate(
    sources: Sequence[Source], to: Receiver, stats: SimulationStats, emit: Callable[[str], None], seconds: float | None
) -> None:
    """Send the reports of all beds until `seconds` have passed, or for ever."""
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as beds:
            for source in sources:
                beds.create_task(_send_bed(source, to, stats, emit))
    except TimeoutError:
        return


async def _send_bed(source: Source, to: Receiver, stats: SimulationStats, emit: Callable[[str], None]) -> None:
    clock = asyncio.get_running_loop().time
    begin = clock()
    origin = Origin(APPLICATION, UNIT, bed_name(source), AUTHORITY)
    seq = 0
    async with Client(to) as client:
        for due, sample in source.samples:
            if clock() - begin > due + (source.interval_s or 0.0):  # a monitor keeps nothing for later
                stats.skipped += sample is not None
                continue
            await asyncio.sleep(begin + due - clock())
            if sample is None:
                continue
            seq += 1
            now = datetime.now(UTC)
            control_id = f"{source.device}-{source.boot}-{seq}"
            answer = await client.deliver(write_report(source.stamp(sample, seq, now), origin, control_id, now))
            stats.answers[answer.code] += 1
            if answer.result is not Result.ACCEPT:
                emit(f"{to} answers {answer.code} to {control_id}: {answer.text or 'without a reason'}")
