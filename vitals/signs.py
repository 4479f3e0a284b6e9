"""The table of vital signs; no other module outside devices, NEWS2, thresholds and recording formats names one.

A new sign is a row here and one migration that adds its column (docs/adding-a-sign.md).

Codes: LOINC from HL7 FHIR R4 vital signs, MDC (ISO/IEEE 11073-10101) as `partition << 16 | term`
from the HL7 Personal Health Device guide, units from UCUM. SpO2 carries two LOINC codes because
US Core asks for both.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """One vital sign.

    `low` and `high`, in `unit`, bound the values that a sensor can plausibly report of a human; a value outside is a
    measurement error. `critical_below` and `critical_above` are the limits of the verdict CRITICAL, which every stored
    reading carries. `fhir_profile` names the profile of HL7 FHIR R4 for the sign alone, if there is one.
    """

    key: str
    label: str
    short: str
    unit: str
    loinc: tuple[str, ...]
    mdc: int
    low: float
    high: float
    decimals: int = 0
    critical_below: float | None = None
    critical_above: float | None = None
    fhir_profile: str = "vitalsigns"


SIGNS: tuple[Sign, ...] = (
    # key, label, short, UCUM, LOINC, MDC, plausible low and high
    Sign(
        "heart_rate",
        "Heart rate",
        "HR",
        "/min",
        ("8867-4",),
        147842,
        0,
        350,
        critical_above=120,
        fhir_profile="heartrate",
    ),
    Sign(
        "spo2",
        "Oxygen saturation",
        "SpO2",
        "%",
        ("2708-6", "59408-5"),
        150456,
        0,
        100,
        critical_below=90,
        fhir_profile="oxygensat",
    ),
    Sign("resp_rate", "Respiratory rate", "RR", "/min", ("9279-1",), 151562, 0, 150, fhir_profile="resprate"),
    Sign(
        "temperature",
        "Body temperature",
        "Temp",
        "Cel",
        ("8310-5",),
        150364,
        15,
        45,
        decimals=1,
        fhir_profile="bodytemp",
    ),
    Sign("systolic_bp", "Systolic blood pressure", "SBP", "mm[Hg]", ("8480-6",), 150021, 20, 300),
    Sign("diastolic_bp", "Diastolic blood pressure", "DBP", "mm[Hg]", ("8462-4",), 150022, 5, 250),
)
SIGN_KEYS: tuple[str, ...] = tuple(sign.key for sign in SIGNS)
BY_KEY: dict[str, Sign] = {sign.key: sign for sign in SIGNS}

KEYS_ELSEWHERE: dict[str, str] = {
    "heart_rate": "hr heartrate pulse pulse_rate bpm",
    "spo2": "spo sao2 oxygen oxygen_saturation saturation",
    "resp_rate": "rr resp respiratory_rate respiration respiration_rate",
    "temperature": "temp body_temperature",
    "systolic_bp": "sbp sys systolic nibp_sys",
    "diastolic_bp": "dbp dia diastolic nibp_dia",
}
"""Names of these keys in other systems, for advice to an engineer; ingest does not read them."""

NO_VALUES_ELSEWHERE = {("heart_rate", 0), ("heart_rate", 255), ("spo2", 0), ("resp_rate", 0)}
"""Plausible values that some devices send where they measure nothing; each counts as measured."""

MEAN_BP = Sign("mean_bp", "Mean arterial pressure", "MAP", "mm[Hg]", ("8478-0",), 150023, 5, 300)
"""Computed from both pressures of one cuff measurement, not stored; see `mean_pressure`."""

BLOOD_PRESSURE = Sign(
    "blood_pressure", "Blood pressure", "BP", "mm[Hg]", ("85354-9",), 150020, 5, 300, fhir_profile="bp"
)
"""The panel of both pressures, which has no value of its own; MDC_PRESS_BLD_NONINV."""

SYSTOLIC, DIASTOLIC = SIGN_KEYS.index("systolic_bp"), SIGN_KEYS.index("diastolic_bp")
"""Positions of the two pressures in SIGNS."""


def mean_pressure(systolic: float, diastolic: float) -> float:
    """Return the mean arterial pressure: the diastolic one and a third of the pulse pressure.

    Source: the usual approximation where a cuff reports no mean of its own, e.g. DeMers and Wachs, StatPearls
    NBK538226 (2023).
    """
    return diastolic + (systolic - diastolic) / 3


NORMAL = "NORMAL"
CRITICAL = "CRITICAL"

# (position in SIGNS, limit), computed once because `classify` runs for every reading.
_ABOVE = tuple((i, s.critical_above) for i, s in enumerate(SIGNS) if s.critical_above is not None)
_BELOW = tuple((i, s.critical_below) for i, s in enumerate(SIGNS) if s.critical_below is not None)


def classify(values: tuple[float | None, ...]) -> str:
    """Return CRITICAL if any of `values` (in the order of SIGNS) is beyond its critical limit, else NORMAL."""
    for position, limit in _ABOVE:
        value = values[position]
        if value is not None and value > limit:
            return CRITICAL
    for position, limit in _BELOW:
        value = values[position]
        if value is not None and value < limit:
            return CRITICAL
    return NORMAL


def critical_signs(values: tuple[float | None, ...]) -> set[str]:
    """Return the keys of the signs whose value is beyond a critical limit, which `classify` judges."""
    nothing = (None,) * len(SIGNS)
    return {
        key
        for place, key in enumerate(SIGN_KEYS)
        if classify((*nothing[:place], values[place], *nothing[place + 1 :])) == CRITICAL
    }
