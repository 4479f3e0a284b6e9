"""Scenarios: what happens to a simulated patient, as a function of the seconds since admission.

Pure and deterministic: a scenario sets causes (oxygen saturation falls), and `patient` computes their effect on other
signs (heart and respiratory rate rise). Courses begin within the first minute and repeat, so that a short demonstration
shows something and a long one does not end.

Where the numbers come from:
- normal and deranged ranges: Royal College of Physicians, National Early Warning Score (NEWS) 2, 2017. The
  targets below lie in the bands that score 2 or 3 for the sign in question
- tachycardia is a heart rate above 100 /min in an adult, bradycardia below 60, of concern below 50: American
  Heart Association, Advanced Cardiovascular Life Support, 2020
- sepsis: respiratory rate >= 22, systolic pressure <= 100 mm[Hg] and altered mentation: Singer et al.,
  Sepsis-3, JAMA 2016;315:801. `patient` raises the heart rate with fever and low pressure
- artefacts resemble those of real bedside recordings (a pulse of 277, a saturation of 36): MIMIC II
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vitals.reading import Consciousness


class Scenario(StrEnum):
    """The available courses; MIXED assigns each device of a fleet one of the others."""

    MIXED = "mixed"
    STABLE = "stable"
    TACHYCARDIA = "tachycardia"
    BRADYCARDIA = "bradycardia"
    DESATURATION = "desaturation"
    SEPSIS = "sepsis"
    PROBE_OFF = "probe-off"
    ARTEFACT = "artefact"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Effect:
    """Effect of a scenario at one moment.

    targets        sign key -> the value that the sign approaches, by `severity` (0 not at all, 1 completely)
    off            keys of the signs whose sensor is off
    displayed         sign key -> the value that the monitor shows whatever the patient has: an artefact
    silent         the device measures and publishes nothing, though it stays connected
    """

    severity: float = 0.0
    targets: Mapping[str, float] = field(default_factory=dict)
    off: tuple[str, ...] = ()
    displayed: Mapping[str, float] = field(default_factory=dict)
    silent: bool = False
    consciousness: Consciousness = "A"
    needs_oxygen: bool = False


_NOTHING = Effect()

# One bed of twenty each; the other thirteen are stable, like most of a real ward.
_MIX = {
    2: Scenario.DESATURATION,
    5: Scenario.TACHYCARDIA,
    7: Scenario.SEPSIS,
    10: Scenario.BRADYCARDIA,
    12: Scenario.PROBE_OFF,
    15: Scenario.ARTEFACT,
    17: Scenario.SILENCE,
}


def assign(scenario: Scenario, index: int) -> Scenario:
    """Return the scenario of device number `index` (from 0): MIXED depends on it, any other is for all devices."""
    return _MIX.get(index % 20, Scenario.STABLE) if scenario is Scenario.MIXED else scenario


def effect(scenario: Scenario, elapsed_s: float) -> Effect:
    """Return the effect of `scenario` `elapsed_s` seconds after admission; none at a negative time."""
    course = _COURSES.get(scenario)
    return _NOTHING if course is None or elapsed_s < 0 else course(elapsed_s)


def _wave(elapsed_s: float, onset: float, rise: float, hold: float, fall: float, rest: float) -> float:
    """Return the severity of a repeating course: none, rising, held, falling, none. All durations in seconds."""
    at = elapsed_s % (onset + rise + hold + fall + rest) - onset
    if at <= 0:
        return 0.0
    if at < rise:
        return at / rise
    if at < rise + hold:
        return 1.0
    return max(0.0, 1.0 - (at - rise - hold) / fall)


def _tachycardia(t: float) -> Effect:
    return Effect(_wave(t, 15, 10, 60, 30, 65), {"heart_rate": 144})


def _bradycardia(t: float) -> Effect:
    return Effect(_wave(t, 20, 15, 60, 25, 60), {"heart_rate": 38, "systolic_bp": 96})


def _desaturation(t: float) -> Effect:
    severity = _wave(t, 12, 20, 50, 30, 68)
    return Effect(severity, {"spo2": 82}, needs_oxygen=severity > 0.5)


def _sepsis(t: float) -> Effect:
    # Hours of a real course in minutes: worsening for three, constant for two, treated and improving for three.
    severity = _wave(t, 5, 180, 120, 180, 60)
    targets = {"temperature": 39.3, "resp_rate": 26.0, "spo2": 91.0, "systolic_bp": 82.0}
    consciousness: Consciousness = "A" if severity < 0.6 else "C" if severity < 0.95 else "V"
    return Effect(severity, targets, consciousness=consciousness, needs_oxygen=severity > 0.4)


def _probe_off(t: float) -> Effect:
    # First the finger clip slips off, in the next cycle the electrodes, which measure respiration too.
    cycle, at = divmod(t, 120)
    if not 20 <= at < 65:
        return _NOTHING
    return Effect(off=("spo2",) if cycle % 2 == 0 else ("heart_rate", "resp_rate"))


def _artefact(t: float) -> Effect:
    # A moving arm: two bursts of eight seconds in each 90 s. All values are within what a sensor can report.
    at = t % 90
    if 15 <= at < 23:
        return Effect(displayed={"spo2": 36 + 3 * (int(at) % 5)})
    if 50 <= at < 58:
        return Effect(displayed={"heart_rate": 277 - 11 * (int(at) % 4), "resp_rate": 2 + int(at) % 3})
    return _NOTHING


def _silence(t: float) -> Effect:
    return Effect(silent=25 <= t % 150 < 85)


_COURSES: dict[Scenario, Callable[[float], Effect]] = {
    Scenario.TACHYCARDIA: _tachycardia,
    Scenario.BRADYCARDIA: _bradycardia,
    Scenario.DESATURATION: _desaturation,
    Scenario.SEPSIS: _sepsis,
    Scenario.PROBE_OFF: _probe_off,
    Scenario.ARTEFACT: _artefact,
    Scenario.SILENCE: _silence,
}
