"""A sample: what was measured at one moment, before it has a name (boot and seq).

`recording` and the simulated patients make samples; a device stamps each into a `reading`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vitals.reading import Consciousness


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment.

    values         sign key -> value, in the units of `vitals.signs`; a sign that was not measured is absent
    sensor_off     keys of the signs whose sensor is off the patient
    time           when it was measured, where the source knows; None takes the moment of sending
    """

    values: Mapping[str, float]
    sensor_off: tuple[str, ...] = ()
    on_oxygen: bool | None = None
    consciousness: Consciousness | None = None
    time: datetime | None = None
