"""Nonin: lines of text, and serial data formats #1, #2 and #7. Pure.

Sources: manuals of 9847, 8500 and BT4000, the serial drivers of Pufferfish and OpenICE. A packet of #2 and #7 is 25
frames of 5 bytes, each with a sum; it counts only if all 25 follow each other, so that no field is taken for another.
The rate is (first & 3) << 7 | (second & 127).
"""

import re
from collections.abc import Callable

from edges.serial.measurement import Measurement, measured, off, without_value
from edges.serial.text import Damaged, TextDecoder, digits

_TEXT = re.compile(r"\d\d:\d\d:\d\d SPO2=(\d{3}|---) HR=(\d{3}|---)[ A-Z*]{0,6}")

_NO_RATE, _NO_SPO2 = 511, 127
_MARK = 0x80  # in the first byte of a frame
_DISCONNECTED = 0x40
_FRAME, _PACKET = 5, 25
_SYNC = 0x01  # status of the first frame of a packet
_SPO2_AT, _RATE_AT = 8, 19  # fields SpO2-D and HR-D: what the device displays
_PACKET_NO_VALUE = {0x20: "artifact", 0x10: "out of track", 0x08: "sensor alarm"}
_FORMAT_1_NO_VALUE = {0x20: "out of track"}


def text_decoder(*, from_start: bool = False) -> TextDecoder:
    """Return a decoder of lines of text. They have the time of day and no date, so the device's clock is not used."""
    return TextDecoder(_parse_text, from_start=from_start)


def _parse_text(line: str) -> Measurement | None:
    found = _TEXT.fullmatch(line)
    if found is None:
        if "SPO2=" in line:
            raise Damaged
        return None
    return measured({"heart_rate": digits(found[2]), "spo2": digits(found[1])})


class MarkedFrames:
    """A decoder of frames of a fixed length in which only the first byte has bit 7. They have no sum.

    A frame is used when the next one begins right after it, or nothing follows: so a byte that is doubled damages it.
    """

    def __init__(self, length: int, decode: Callable[[bytes], Measurement]) -> None:
        self.noise = self.damaged = 0
        self._length = length
        self._decode = decode
        self._frame = bytearray()

    def feed(self, data: bytes) -> list[Measurement]:
        """Return the frames that another one follows."""
        found = []
        for byte in data:
            if byte & _MARK:
                found += self._end()
                self._frame.append(byte)
            elif self._frame and len(self._frame) <= self._length:
                self._frame.append(byte)
            else:
                self.noise += 1
        return found

    def flush(self) -> list[Measurement]:
        """Return the last frame if it is complete; its rest, if it comes yet, is noise."""
        return self._end()

    def _end(self) -> list[Measurement]:
        frame, self._frame = bytes(self._frame), bytearray()
        if len(frame) == self._length:
            return [self._decode(frame)]
        self.damaged += bool(frame)
        return []


def decoder_1(*, from_start: bool = False) -> MarkedFrames:
    """Return a decoder of format #1: three bytes a second."""
    return MarkedFrames(3, _decode_1)


def _decode_1(frame: bytes) -> Measurement:
    status = frame[0]
    return _measured(status, (status & 3) << 7 | frame[1], frame[2], _FORMAT_1_NO_VALUE)


class Packets:
    """A decoder of formats #2 and #7.

    is_frame   whether five bytes are a frame
    status     position of the status in a frame
    """

    def __init__(self, is_frame: Callable[[bytes | bytearray, int], bool], status: int) -> None:
        self.noise = self.damaged = 0
        self._is_frame = is_frame
        self._status = status
        self._data = bytearray()
        self._locked = False
        self._fields = bytearray()  # one of each frame of the packet
        self._statuses = 0  # of all of its frames

    def feed(self, data: bytes) -> list[Measurement]:
        """Return the packets that are complete."""
        self._data += data
        found: list[Measurement] = []
        at = 0
        # Where frames are lost, two that follow each other show where the next one begins.
        while len(self._data) - at >= (_FRAME if self._locked else 2 * _FRAME):
            if self._is_frame(self._data, at) and (self._locked or self._is_frame(self._data, at + _FRAME)):
                self._locked = True
                found += self._add(self._data[at + self._status], self._data[at + 3])
                at += _FRAME
            else:
                found += self._end()
                self._locked = False
                self.noise += 1
                at += 1
        del self._data[:at]
        return found

    def flush(self) -> list[Measurement]:
        """Return the last packet if it is complete."""
        return self._end() if len(self._fields) == _PACKET else []

    def _add(self, status: int, field: int) -> list[Measurement]:
        found = []
        if status & _SYNC:
            found = self._end()
        elif not self._fields:
            return []  # of a packet whose begin is lost
        elif len(self._fields) == _PACKET:  # a frame too many
            self._discard()
            return []
        self._fields.append(field)
        self._statuses |= status
        return found

    def _end(self) -> list[Measurement]:
        fields, statuses = bytes(self._fields), self._statuses
        self._fields.clear()
        self._statuses = 0
        if len(fields) < _PACKET:
            self.damaged += bool(fields)
            return []
        rate = (fields[_RATE_AT] & 3) << 7 | (fields[_RATE_AT + 1] & 127)
        return [_measured(statuses, rate, fields[_SPO2_AT], _PACKET_NO_VALUE)]

    def _discard(self) -> None:
        self._fields.clear()
        self._statuses = 0
        self.damaged += 1


def decoder_2(*, from_start: bool = False) -> Packets:
    """Return a decoder of format #2: 1, status, pleth, field, sum."""
    return Packets(_is_frame_2, 1)


def decoder_7(*, from_start: bool = False) -> Packets:
    """Return a decoder of format #7: status, pleth in two bytes, field, sum."""
    return Packets(_is_frame_7, 0)


def _is_frame_2(data: bytes | bytearray, at: int) -> bool:
    return data[at] == 1 and data[at + 1] >= _MARK and sum(data[at : at + 4]) & 0xFF == data[at + 4]


def _is_frame_7(data: bytes | bytearray, at: int) -> bool:
    return data[at] >= _MARK and sum(data[at : at + 4]) & 0xFF == data[at + 4]


def _measured(status: int, rate: int, spo2: int, no_value: dict[int, str]) -> Measurement:
    if status & _DISCONNECTED:
        return off()
    for bit, reason in no_value.items():
        if status & bit:
            return without_value(reason)
    return measured({"heart_rate": None if rate == _NO_RATE else rate, "spo2": None if spo2 == _NO_SPO2 else spo2})
