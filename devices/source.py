"""Source of the samples of a device: `simulated_ward` and `replay` create sources, `producer` reads them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vitals.reading import Reading, reading, without_number
from vitals.sample import Sample


@dataclass(frozen=True, slots=True)
class Source:
    """One device, and all samples that it will measure.

    device, ward   the levels of its topics; `device` is also its MQTT client id
    boot           unix seconds of its start; identifies a reading together with seq
    interval_s     seconds between readings; the online status reports it, so that silence can be detected.
                   None: it is not known
    samples        (seconds since the start of the fleet, sample) in order of time. If the sample is None, nothing is
                   measured then: no reading is produced and no seq is used
    is_recording   whether the device exists only for a recording: at its end it deletes its status
    can_wait       whether to pause the source while the outbox is full: possible for a recording, not for a patient
    right_clock    whether its times are those of measurement, also of samples that come late
    numbered       whether it publishes boot and seq; a device that does not gets no receipts
    """

    device: str
    ward: str
    patient_id: str | None
    model: str
    interval_s: float | None
    boot: int
    samples: Iterable[tuple[float, Sample | None]]
    is_recording: bool = False
    can_wait: bool = False
    numbered: bool = True
    right_clock: bool = False

    def stamp(self, sample: Sample, seq: int, now: datetime) -> Reading:
        """Make a reading of a sample: with boot, `seq` and a time in whole milliseconds, as monitors report it."""
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

    def published(self, reading: Reading) -> Reading:
        """Return a reading as it is published: the outbox always numbers it."""
        return reading if self.numbered else without_number(reading)
