"""Choose among the sensors of a row, and decide what a 0 or a missing value of a monitor means."""

from collections.abc import Mapping

from vitals.recording.items import PRESSURES
from vitals.recording.layouts import Layout
from vitals.sample import Sample
from vitals.signs import SIGN_KEYS

Found = Mapping[str, Mapping[int, float | None]]  # sign -> rank of the source -> value
NO_SATURATION, NO_RATE = 100, 255  # of an oximeter: 127 or 255, and 255, 511 or 65535, mean that there is none


def choose(found: Found, layout: Layout) -> Sample | None:
    """Return the values of the first source that has one; both pressures are of one source."""
    if not layout.zero_is_missing:
        found = {key: _without_zeros(ranks) for key, ranks in found.items()}
    measured = {*_measured_zeros(found)} if layout.zero_is_missing else {*SIGN_KEYS}
    values: dict[str, float] = {}
    off = []
    cuff = min(
        (
            rank
            for key in PRESSURES
            for rank, value in found.get(key, {}).items()
            if value or (value == 0 and key in measured)
        ),
        default=0,
    )
    for key, ranks in found.items():
        chosen = {cuff: ranks.get(cuff)} if key in PRESSURES else ranks
        for value in chosen.values():
            if value is not None and (value or key in measured):
                values[key] = value
                break
        else:
            if layout.signs[key].continuous:
                off.append(key)
    return Sample(values, sensor_off=tuple(off)) if values or off else None


def _without_zeros(ranks: Mapping[int, float | None]) -> Mapping[int, float | None]:
    """Return the values of a sign without a 0 that another of its sensors contradicts."""
    return {rank: value or None for rank, value in ranks.items()} if any(ranks.values()) else ranks


def unmeasured(values: Mapping[str, float]) -> tuple[str, ...]:
    """Return the signs of a row, of a file in which 0 is a value, that no sensor has measured.

    1. A saturation of 0: it is computed from a pulse.
    2. Each rate of 0 where all rates and saturations of the row are 0, or the saturation is: the sensors are off.
    3. Numbers of an oximeter without a value, of which 255 could be a rate.
    """
    saturation, rate = values.get("spo2"), values.get("heart_rate")
    zeros = [key for key in ("heart_rate", "spo2", "resp_rate") if values.get(key) == 0]
    if saturation is not None and saturation > NO_SATURATION and rate is not None and rate >= NO_RATE:
        return ("heart_rate", "spo2")
    if saturation == 0:
        return tuple(key for key in zeros if key != "resp_rate" or not rate)
    return ()


def _measured_zeros(found: Found) -> list[str]:
    """Return the signs of which a 0 is a measurement, because another sensor shows that the sensor is on the patient.

    1. The respiratory rate, while the ECG gives a heart rate: impedance pneumography uses the electrodes of the ECG, so
       they are on the patient, and the 0 is an apnoea.
    2. The heart rate, where ECG and oximeter both say 0 while the oximeter still gives a saturation: it is on the
       finger and detects no pulse. It counts as an asystole until a person has checked.
    All at 0 at once, or the ECG alone, indicates lost leads or a disconnected monitor: the sensors are off, and
    `all-sensors-off` says so. Sources: Folke et al., Med Biol Eng Comput 2003;41:377 (impedance pneumography by the
    electrodes of the ECG); Jubran, Crit Care 2015;19:272 (a saturation is computed from the pulse).
    """
    rates = found.get("heart_rate", {})
    ecg, pulse = rates.get(0), rates.get(1)
    measured = []
    if ecg:
        measured.append("resp_rate")
    if ecg == 0 == pulse and any(found.get("spo2", {}).values()):
        measured.append("heart_rate")
    return measured
