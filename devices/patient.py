"""A patient's body: how the signs stand, waver and move together. The first step of a simulated reading's way.

Pure: no clock, no socket, no shared generator of chance. Time is an argument, and the noise of a step is drawn
from (seed, patient, step), so the same seed gives the same ward on any machine at any hour.

The model is for demonstration and for tests, not for teaching medicine. Each sign is
    baseline + circadian drift + mean-reverting noise + the scenario's pull + what other signs do to it,
rounded as a monitor shows it. What it takes from physiology:
- fever: about 8 heartbeats more per minute and degree, the textbook rule of Liebermeister, and 2 to 3 breaths
- less oxygen or a falling pressure bring heart and respiratory rate up (chemoreflex and baroreflex)
- body temperature and heart rate are highest in the late afternoon; blood pressure falls at night by about a tenth
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, exp, floor, pi, sqrt
from random import Random

from devices.scenario import Effect
from vitals.sample import Sample
from vitals.signs import BY_KEY

CUFF_S = 60.0  # seconds between measurements of the blood pressure; a ward's is slower, a demonstration's is not
FIRST_CUFF_S = 10.0  # every cuff has measured once by then
DAY_S = 86_400.0
ADMITTED_AT_S = 8 * 3600.0  # the simulated day begins at eight in the morning, whatever the wall clock says


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one sign behaves in an adult at rest.

    mean, spread   over patients: normal distribution, kept within two spreads
    noise          standard deviation of its wavering within one patient
    tau_s          seconds in which a deviation falls to a third: how fast it wavers
    daily, peak_h  half the swing over a day, and the hour of its top
    """

    mean: float
    spread: float
    noise: float
    tau_s: float
    daily: float = 0.0
    peak_h: float = 0.0
    cuff: bool = False


# The one place in this room that knows how the signs behave. A sign of `vitals.signs` that is not here is one
# that the simulated monitor does not measure.
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
    """Who lies in the bed. `delay_s` shifts the scenario, so that neighbours do not deteriorate in step."""

    seed: int
    index: int
    baseline: Mapping[str, float]
    on_oxygen: bool
    cuff_phase_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class PatientState:
    """How the patient is now: seconds since admission, steps taken, deviation of each sign of BEHAVIOUR."""

    elapsed_s: float
    previous_s: float
    step: int
    deviation: tuple[float, ...]


def admit(seed: int, index: int) -> Patient:
    """Patient number `index` of the ward that `seed` makes. The same two numbers give the same patient."""
    chance = Random(f"{seed}/{index}/patient")
    baseline = {key: b.mean + b.spread * max(-2.0, min(2.0, chance.gauss(0.0, 1.0))) for key, b in BEHAVIOUR.items()}
    return Patient(
        seed,
        index,
        baseline,
        on_oxygen=chance.random() < 0.1,
        cuff_phase_s=chance.random() * FIRST_CUFF_S,
        delay_s=chance.random() * 15.0,
    )


def at_admission(patient: Patient) -> PatientState:
    """The state at second 0, with wavering as large as it will ever be: no patient starts at the mean."""
    chance = _rng(patient, 0)
    return PatientState(0.0, -1.0, 0, tuple(chance.gauss(0.0, b.noise) for b in BEHAVIOUR.values()))


def advance(patient: Patient, state: PatientState, dt: float) -> PatientState:
    """`dt` seconds later: every deviation goes back towards zero and is pushed about anew.

    The exact step of an Ornstein-Uhlenbeck process (Uhlenbeck and Ornstein, Phys. Rev. 1930;36:823), so its
    spread does not depend on how long the steps are.
    """
    step = state.step + 1
    chance = _rng(patient, step)
    moved = []
    for deviation, b in zip(state.deviation, BEHAVIOUR.values(), strict=True):
        kept = exp(-dt / b.tau_s)
        moved.append(deviation * kept + b.noise * sqrt(1.0 - kept * kept) * chance.gauss(0.0, 1.0))
    return PatientState(state.elapsed_s + dt, state.elapsed_s, step, tuple(moved))


def measure(patient: Patient, state: PatientState, effect: Effect) -> Sample | None:
    """What the monitor shows of `state` under a scenario's `effect`; None where it is silent."""
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
    """The signs as they are, before a sensor looks: causes first, then what follows from them."""
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
    if "heart_rate" not in effect.targets:  # there the rhythm itself is the trouble and does not answer
        body["heart_rate"] += 8.0 * fever + 2.2 * hypoxia + 0.5 * max(0.0, pressure_drop - 10.0)
    body["resp_rate"] += 1.2 * fever + 0.8 * hypoxia
    # The diastolic pressure goes with the systolic one, about half as far.
    body["diastolic_bp"] -= 0.5 * pressure_drop
    return body


def _cuff_is_due(patient: Patient, state: PatientState) -> bool:
    """Whether a measurement of the cuff fell between the previous moment and this one."""
    return floor((state.elapsed_s - patient.cuff_phase_s) / CUFF_S) > floor(
        (state.previous_s - patient.cuff_phase_s) / CUFF_S
    )


def _displayed(key: str, value: float) -> float:
    sign = BY_KEY[key]
    return max(sign.low, min(sign.high, round(value, sign.decimals or None)))


def _rng(patient: Patient, step: int) -> Random:
    # An integer seed costs a third of a text one, and this runs for every reading. The odd factors keep
    # patients and steps apart.
    return Random((patient.seed * 1_000_003 + patient.index) * 4_294_967_311 + step)
