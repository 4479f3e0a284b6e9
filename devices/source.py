"""What a device measures and when: the seam between where values come from and the client that sends them.

`simulation` and `replay` make sources; `publisher` takes a source's samples at their moments and stamps each
one into a `vitals.reading.Reading`. Pure: no clock, no socket.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from vitals.reading import Consciousness, Reading, reading


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment, before it has a name (boot and seq).

    values         sign key -> value, in the units of `vitals.signs`; a sign that was not measured is absent
    sensor_off     keys of the signs whose sensor is off the patient
    time           when it was measured, where the source knows; None takes the moment of sending
    """

    values: Mapping[str, float]
    sensor_off: tuple[str, ...] = ()
    on_oxygen: bool | None = None
    consciousness: Consciousness | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One device, and everything it is going to measure.

    device, ward   the levels of its topics; `device` is also its MQTT client id
    boot           unix seconds of its start; with seq it names a reading
    interval_s     seconds between readings, told in the birth message so that silence can be noticed
    samples        (seconds since the start of the fleet, what is measured then), in order of time. None is a
                   moment at which the device measures nothing: no reading is made, so no seq is used up
    can_wait       a recording stays in its file while the outbox is full; a patient's next heartbeat does not wait
    """

    device: str
    ward: str
    patient_id: str | None
    model: str
    interval_s: float
    boot: int
    samples: Iterable[tuple[float, Sample | None]]
    can_wait: bool = False

    def stamp(self, sample: Sample, seq: int, now: datetime) -> Reading:
        """Name a sample: this device's boot, `seq`, and a time in whole milliseconds, as monitors have."""
        time = sample.time or now
        return reading(
            time - timedelta(microseconds=time.microsecond % 1000),
            sample.values,
            boot=self.boot,
            seq=seq,
            patient_id=self.patient_id,
            on_oxygen=sample.on_oxygen,
            consciousness=sample.consciousness,
            sensor_off=sample.sensor_off,
        )
