"""A simulated patient: how the vital signs fluctuate and depend on each other.

Pure: no clock, no socket, no shared random generator. Time is an argument, and the noise of a step is drawn from (seed,
patient, step), so that the same seed gives the same ward on any machine at any time.

The model is made for demonstration and tests, not for teaching medicine. Each sign is
    baseline + circadian drift + mean-reverting noise + the scenario's target + the effect of other signs,
rounded as a monitor shows it. What it takes from physiology:
- fever: about 8 heartbeats more per minute and degree, the textbook rule of Liebermeister, and 2 to 3 breaths
- less oxygen or a falling pressure raise heart and respiratory rate (chemoreflex and baroreflex)
- body temperature and heart rate are highest in the late afternoon; blood pressure falls at night by about a tenth
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, exp, floor, pi, sqrt
from random import Random

from devices.scenario import Effect
from vitals.sample import Sample
from vitals.signs import BY_KEY

CUFF_S = 60.0  # seconds between blood pressure measurements; on a real ward they are less frequent
FIRST_CUFF_S = 10.0  # every patient has a first measurement by then
DAY_S = 86_400.0
ADMITTED_AT_S = 8 * 3600.0  # the simulated day begins at 08:00, independent of the wall clock


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Behaviour of one sign in an adult at rest.

    mean, spread   distribution over patients: normal, clipped at two standard deviations
    noise          standard deviation of the fluctuation within one patient
    tau_s          time constant of the fluctuation: seconds in which a deviation falls to 1/e
    daily, peak_h  amplitude of the circadian drift, and the hour of its maximum
    cuff           measured by the cuff, once every CUFF_S
    """

    mean: float
    spread: float
    noise: float
    tau_s: float
    daily: float = 0.0
    peak_h: float = 0.0
    cuff: bool = False


# A sign of `vitals.signs` that is missing here is not measured by the simulated monitor.
BEHAVIOUR: dict[str, Behaviour] = {
    "heart_rate": Behaviour(75, 7, 1.8, 20, daily=4, peak_h=17),
    "spo2": Behaviour(97.3, 0.8, 0.5, 30),
    "resp_rate": Behaviour(15.5, 1.5, 0.8, 25),
    "temperature": Behaviour(36.8, 0.15, 0.03, 600, daily=0.3, peak_h=18),
    "systolic_bp": Behaviour(122, 7, 4, 90, daily=6, peak_h=16, cuff=True),
    "diastolic_bp": Behaviour(77, 5, 2, 90, daily=4, peak_h=16, cuff=True),
}
_SIGNS = tuple(BEHAVIOUR)


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient's constants. `delay_s` shifts the scenario, so that patients do not deteriorate at the same time."""

    seed: int
    index: int
    baseline: Mapping[str, float]
    on_oxygen: bool
    cuff_phase_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class PatientState:
    """The patient's current state. `deviation` has a value for each sign of BEHAVIOUR."""

    elapsed_s: float
    previous_s: float
    step: int
    deviation: tuple[float, ...]


def admit(seed: int, index: int) -> Patient:
    """Return patient number `index` of the ward given by `seed`. The same two numbers give the same patient."""
    rng = Random(f"{seed}/{index}/patient")
    baseline = {key: b.mean + b.spread * max(-2.0, min(2.0, rng.gauss(0.0, 1.0))) for key, b in BEHAVIOUR.items()}
    return Patient(
        seed,
        index,
        baseline,
        on_oxygen=rng.random() < 0.1,
        cuff_phase_s=rng.random() * FIRST_CUFF_S,
        delay_s=rng.random() * 15.0,
    )


def at_admission(patient: Patient) -> PatientState:
    """Return the state at second 0, with deviations of their usual size: no patient starts at the mean."""
    rng = _rng(patient, 0)
    return PatientState(0.0, -1.0, 0, tuple(rng.gauss(0.0, b.noise) for b in BEHAVIOUR.values()))


def advance(patient: Patient, state: PatientState, dt: float) -> PatientState:
    """Return the state `dt` seconds later.

    Each deviation makes an exact step of an Ornstein-Uhlenbeck process (Uhlenbeck and Ornstein, Phys. Rev.
    1930;36:823), so its variance does not depend on the length of the steps.
    """
    step = state.step + 1
    rng = _rng(patient, step)
    moved = []
    for deviation, b in zip(state.deviation, BEHAVIOUR.values(), strict=True):
        kept = exp(-dt / b.tau_s)
        moved.append(deviation * kept + b.noise * sqrt(1.0 - kept * kept) * rng.gauss(0.0, 1.0))
    return PatientState(state.elapsed_s + dt, state.elapsed_s, step, tuple(moved))


def measure(patient: Patient, state: PatientState, effect: Effect) -> Sample | None:
    """Return the values that the monitor shows of `state` under a scenario's `effect`; None if it is silent."""
    if effect.silent:
        return None
    body = _body(patient, state, effect)
    body.update(effect.displayed)
    cuff = _cuff_is_due(patient, state)
    values = {
        key: _displayed(key, body[key])
        for key, b in BEHAVIOUR.items()
        if key not in effect.off and (cuff or not b.cuff)
    }
    return Sample(
        values,
        sensor_off=effect.off,
        on_oxygen=patient.on_oxygen or effect.needs_oxygen,
        consciousness=effect.consciousness,
    )


def _body(patient: Patient, state: PatientState, effect: Effect) -> dict[str, float]:
    """Return the true signs, before measurement: first the causes, then their effects."""
    now_s = (ADMITTED_AT_S + state.elapsed_s) % DAY_S
    body = {}
    for key, deviation in zip(_SIGNS, state.deviation, strict=True):
        b = BEHAVIOUR[key]
        rest = patient.baseline[key] + b.daily * cos(2 * pi * (now_s - b.peak_h * 3600) / DAY_S)
        target = effect.targets.get(key, rest)
        body[key] = rest + effect.severity * (target - rest) + deviation
    fever = max(0.0, body["temperature"] - 37.5)
    hypoxia = max(0.0, 94.0 - body["spo2"])
    pressure_drop = patient.baseline["systolic_bp"] - body["systolic_bp"]
    if "heart_rate" not in effect.targets:  # otherwise the rhythm itself is disturbed and does not respond
        body["heart_rate"] += 8.0 * fever + 2.2 * hypoxia + 0.5 * max(0.0, pressure_drop - 10.0)
    body["resp_rate"] += 1.2 * fever + 0.8 * hypoxia
    # The diastolic pressure follows the systolic one, about half as far.
    body["diastolic_bp"] -= 0.5 * pressure_drop
    return body


def _cuff_is_due(patient: Patient, state: PatientState) -> bool:
    """Return whether a measurement of the cuff is due between the previous state and this one."""
    return floor((state.elapsed_s - patient.cuff_phase_s) / CUFF_S) > floor(
        (state.previous_s - patient.cuff_phase_s) / CUFF_S
    )


def _displayed(key: str, value: float) -> float:
    sign = BY_KEY[key]
    return max(sign.low, min(sign.high, round(value, sign.decimals or None)))


def _rng(patient: Patient, step: int) -> Random:
    # An integer seed takes a third of the time of a string, and this runs for every reading. The odd factors separate
    # patients and steps.
    return Random((patient.seed * 1_000_003 + patient.index) * 4_294_967_311 + step)
