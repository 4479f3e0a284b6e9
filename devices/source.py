"""What a device measures and when: the seam between where values come from and the client that sends them.

`simulation` and `replay` make sources; `publisher` takes a source's samples at their moments and stamps each
one into a `vitals.reading.Reading`. Pure: no clock, no socket.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vitals.reading import Reading, reading
from vitals.sample import Sample


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
