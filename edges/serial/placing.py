"""Turn measurements of a port into readings of its device. Pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from edges.config.serial_table import SerialPort
from edges.serial.measurement import Measurement
from vitals.reading import Reading, reading

INTERVAL_S = 1.0  # between two readings of a sign
_SLACK_S = 0.1  # of a device that sends once a second


def reading_of(measurement: Measurement, port: SerialPort, received: datetime, zone: ZoneInfo) -> Reading | None:
    """Return the reading of a measurement; None without a value and without a sensor that is off."""
    if not measurement.values and not measurement.sensor_off:
        return None
    time = received
    if port.clock == "device" and measurement.clock is not None:
        time = measurement.clock.replace(tzinfo=zone).astimezone(UTC)
    return reading(time, measurement.values, sensor_off=measurement.sensor_off)


class Sampler:
    """Chooses at most one measurement a second of each sign, the newest; one without a value delays none with one."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, bool], float] = {}

    def choose(self, measurements: list[Measurement], now: float) -> list[Measurement]:
        """Return the measurements that are due at a monotonic time."""
        due = []
        for measurement in reversed(measurements):
            stated = {(sign, True) for sign in (*measurement.values, *measurement.sensor_off)}
            stated |= {(item.sign, False) for item in measurement.unmeasured}
            if any(now - self._last.get(key, -INTERVAL_S) >= INTERVAL_S - _SLACK_S for key in stated):
                due.append(measurement)
                self._last |= dict.fromkeys(stated, now)
        return due[::-1]
