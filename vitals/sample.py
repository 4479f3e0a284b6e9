"""A sample: values measured at one time, before boot and seq are assigned.

`recording` and the simulated patients produce samples; a device turns each into a `reading`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from vitals.reading import Consciousness


@dataclass(frozen=True, slots=True)
class Sample:
    """Values measured at one time.

    values         sign key -> value in the unit of `vitals.signs`; absent if not measured
    sensor_off     keys of the signs whose sensor is off the patient
    time           time of measurement; None: the time of sending
    """

    values: Mapping[str, float]
    sensor_off: tuple[str, ...] = ()
    on_oxygen: bool | None = None
    consciousness: Consciousness | None = None
    time: datetime | None = None

    def by_sign(self) -> "list[Sample]":
        """Return a sample for each value, for a device that publishes each sign in a message of its own."""
        return [replace(self, values={key: value}) for key, value in self.values.items()] or [self]
