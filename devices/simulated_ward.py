"""Sources of simulated patients, each with a scenario, measured at a fixed interval. Pure."""

from collections.abc import Iterator

from devices.patient import Patient, admit, advance, at_admission, measure
from devices.scenario import Scenario, assign, effect
from devices.source import Source
from vitals.sample import Sample

MODEL = "VitalFlow simulator"


def simulated_ward(
    count: int,
    *,
    ward: str,
    boot: int,
    seed: int = 0,
    scenario: Scenario = Scenario.MIXED,
    interval_s: float = 1.0,
    prefix: str | None = None,
) -> list[Source]:
    """Return `count` devices of one ward, named `{prefix}01` and so on; the default prefix is `{ward}-bed-`.

    Their readings are spread evenly over the interval, so that they arrive as a stream and not in bursts.
    """
    prefix = f"{ward}-bed-" if prefix is None else prefix
    width = max(2, len(str(count)))
    return [
        Source(
            device=f"{prefix}{index + 1:0{width}}",
            ward=ward,
            patient_id=f"p-{index + 1:04}",
            model=MODEL,
            interval_s=interval_s,
            boot=boot,
            samples=samples(admit(seed, index), assign(scenario, index), interval_s, interval_s * index / count),
        )
        for index in range(count)
    ]


def samples(
    patient: Patient, scenario: Scenario, interval_s: float, phase_s: float = 0.0
) -> Iterator[tuple[float, Sample | None]]:
    """Yield the samples of `patient` at `phase_s`, `phase_s + interval_s` and so on, without end."""
    state = at_admission(patient)
    number = 0
    while True:
        # Multiplied and not accumulated: adding 0.1 for a day would be off by many readings.
        due = phase_s + number * interval_s
        yield due, measure(patient, state, effect(scenario, state.elapsed_s - patient.delay_s))
        number += 1
        state = advance(patient, state, interval_s)
