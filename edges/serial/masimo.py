"""Masimo ASCII1, of Rad-8 and Radical-7: a line a second, its fields by name. Pure.

    11/27/26 10:15:01 SN=0000099901 SPO2=097% BPM=071 PI=03.60% ... ALARM=0000 EXC=000800

Sources: Rad-8 manual 4-24, the driver of OpenICE for Radical-7. A line without the exceptions (EXC) is not whole. Where
two oximeters send on one line, the values of two patients would alternate: the second serial number (SN) is not used.
"""

import re
from datetime import datetime

from edges.serial.measurement import Measurement, measured, off, without_value
from edges.serial.text import Damaged, TextDecoder, digits

_BEGIN = re.compile(r"(\d\d/\d\d/\d\d \d\d:\d\d:\d\d) ")
_SERIAL = re.compile(r" SN=(\S+)")
_SPO2 = re.compile(r" SPO2=(\d{3}|---)%?(?= )", re.IGNORECASE)
_RATE = re.compile(r" (?:BPM|PR)=(\d{3}|---)(?= )", re.IGNORECASE)
_EXCEPTIONS = re.compile(r" EXC=([0-9A-F]{3,8})(?::[A-Za-z,]*)?$", re.IGNORECASE)

_TAKES_ITS_PLACE = 3  # lines in a row, one a second
_OFF = 0x001 | 0x020  # no sensor, sensor off patient
_NO_VALUE = {0x002: "the sensor is defective", 0x008: "it searches the pulse", 0x080: "the sensor is not recognised"}


def decoder(*, from_start: bool = False) -> TextDecoder:
    """Return a decoder of this format."""
    return TextDecoder(_OneDevice().parse, from_start=from_start)


class _OneDevice:
    """Uses the lines of one serial number; another one has taken its place when its lines have come alone."""

    def __init__(self) -> None:
        self._serial = ""
        self._others = 0  # lines of another one in a row

    def parse(self, line: str) -> Measurement | None:
        """Return the measurement of a line; raises Damaged for one of another device."""
        found = _parse(line)
        serial = _SERIAL.search(line)
        if found is None or serial is None:
            return found
        self._others = 0 if serial[1] == self._serial else self._others + 1
        if self._serial and 0 < self._others < _TAKES_ITS_PLACE:
            raise Damaged
        self._serial, self._others = serial[1], 0
        return found


def _parse(line: str) -> Measurement | None:
    begin = _BEGIN.match(line)
    if begin is None:
        if "SPO2=" in line.upper():
            raise Damaged
        return None
    fields = [pattern.findall(line.rstrip()) for pattern in (_SPO2, _RATE, _EXCEPTIONS)]
    if any(len(found) != 1 for found in fields):
        raise Damaged
    [spo2], [rate], [exceptions] = fields
    try:
        clock = datetime.strptime(begin[1], "%m/%d/%y %H:%M:%S")  # noqa: DTZ007  the device knows no zone
    except ValueError:
        raise Damaged from None
    bits = int(exceptions, 16)
    if bits & _OFF:
        return off(clock)
    for bit, reason in _NO_VALUE.items():
        if bits & bit:
            return without_value(reason, clock)
    return measured({"heart_rate": digits(rate), "spo2": digits(spo2)}, clock)
