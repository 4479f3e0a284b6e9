"""Contec CMS50D+ and CMS50E: 60 packets a second of five bytes, of which only the first has bit 7. Pure.

Source: the program CMS50Dplus of A. Brask. There is no sum: a bit that flips in the last two bytes is not seen.
"""

from edges.serial.measurement import Measurement, measured, off, without_value
from edges.serial.nonin import MarkedFrames

_FINGER_OUT = 0x10  # first byte
_PROBE_ERROR, _SEARCHING, _RATE_BIT_7 = 0x10, 0x20, 0x40  # third byte
_NO_SPO2 = 127
_NO_RATE = 255


def decoder(*, from_start: bool = False) -> MarkedFrames:
    """Return a decoder of this format."""
    return MarkedFrames(5, _decode)


def _decode(frame: bytes) -> Measurement:
    if frame[0] & _FINGER_OUT:
        return off()
    if frame[2] & _PROBE_ERROR:
        return without_value("the probe has an error")
    if frame[2] & _SEARCHING:
        return without_value("it searches the pulse")
    rate = (frame[2] & _RATE_BIT_7) << 1 | frame[3]
    spo2 = frame[4]
    return measured({"heart_rate": None if rate == _NO_RATE else rate, "spo2": None if spo2 == _NO_SPO2 else spo2})
